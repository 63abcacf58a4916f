use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use millrace_log::jetstream::{ConnectError, ConnectSettings, JetStream, Settings};
use millrace_log::nats_server::{NatsServer, NatsServerError, NatsServerOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::servers::{Server, eventually, free_port};

/// In the environment of a test that another one runs: the data directory of the server that it starts.
const PARENT_OF: &str = "MILLRACE_TEST_PARENT_OF";

fn script(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("fake-nats-server");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    path
}

async fn refusal(options: NatsServerOptions) -> String {
    match NatsServer::start(options).await {
        Ok(server) => panic!("it runs as {}", server.pid()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_its_address_and_ends_when_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = NatsServer::start(NatsServerOptions::new(dir.path())).await.expect("a free port is found");
    let urls = [server.url()];
    let jetstream = JetStream::connect(&urls, ConnectSettings::default(), Settings::default()).await;
    assert_eq!(jetstream.expect("a connection").client().server_info().max_payload, 12 << 20);
    let pid = server.pid();
    server.stop().await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let log = std::fs::read_to_string(dir.path().join("nats-server.log")).expect("a log");
    assert!(log.contains("Server Exiting"), "it ended by itself: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = NatsServerOptions::new(dir.path().join("data"));
    options.binary = Some(script(dir.path(), "echo nats-server: v2.10.29"));
    let text = refusal(options).await;
    assert!(text.contains("is nats-server 2.10.29, but 2.15.2 or later is needed"), "{text}");
    assert!(text.contains("make tools"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_under_that_name_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = NatsServerOptions::new(dir.path().join("data"));
    options.binary = Some(script(dir.path(), "echo hello"));
    let text = refusal(options.clone()).await;
    assert!(text.contains("it answers --version with \"hello\""), "{text}");
    options.binary = Some(dir.path().join("none"));
    let text = refusal(options).await;
    assert!(text.contains("/none can't be run as nats-server") && text.contains("make tools"), "{text}");
}

/// Runs in a process of its own, where PATH and HOME can be others.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_server_is_told_with_the_remedy() {
    const NAME: &str = "nats_server::a_missing_server_is_told_with_the_remedy";
    let Some(dir) = std::env::var_os(PARENT_OF) else {
        let dir = tempfile::tempdir().expect("a directory");
        let status = this_test(NAME, dir.path())
            .env("PATH", dir.path())
            .env("HOME", dir.path())
            .env_remove("XDG_CACHE_HOME")
            .status();
        assert!(status.expect("a process").success());
        return;
    };
    let text = refusal(NatsServerOptions::new(dir)).await;
    assert!(text.contains("neither on PATH nor in the cache of tools"), "{text}");
    assert!(text.contains("make tools"), "{text}");
}

fn this_test(name: &str, data_dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture", "--quiet"]).env(PARENT_OF, data_dir).stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_is_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = NatsServer::start(NatsServerOptions::new(dir.path())).await.expect("a server");
    let text = refusal(NatsServerOptions::new(dir.path())).await;
    assert!(text.contains(&format!("{} is in use", dir.path().display())), "{text}");
    assert!(text.contains("choose another directory"), "{text}");
    server.stop().await;
    NatsServer::start(NatsServerOptions::new(dir.path())).await.expect("it is free again").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_early_shows_its_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind(("127.0.0.1", free_port())).expect("a port");
    let mut options = NatsServerOptions::new(dir.path());
    // Its own routes' port is taken, so that what answers on the clients' port is not mistaken for it.
    options.port = Some(taken.local_addr().expect("an address").port());
    let text = refusal(options).await;
    assert!(text.contains("ended") && text.contains("address already in use"), "{text}");
}

/// What is left after a kill -9 of a parent on a system without `setpriv`.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_left_behind_is_ended_by_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = NatsServerOptions::new(dir.path());
    let server = NatsServer::start(options.clone()).await.expect("a server");
    let path = std::fs::read_link(format!("/proc/{}/exe", server.pid())).expect("its program");
    server.stop().await;
    let config = dir.path().join("nats-server.conf");
    let mut left =
        Command::new(path).arg("-c").arg(&config).stderr(Stdio::null()).spawn().expect("a process");
    eventually("it writes its process id", || async {
        let pid = std::fs::read_to_string(dir.path().join("nats-server.pid")).ok()?;
        (pid.trim() == left.id().to_string()).then_some(())
    })
    .await;
    let reaper = tokio::task::spawn_blocking(move || left.wait());
    let server = NatsServer::start(options).await.expect("a server");
    reaper.await.expect("a task").expect("it has ended");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_id_that_is_somebody_elses_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut other = Command::new("sleep").arg("60").spawn().expect("a process");
    std::fs::write(dir.path().join("nats-server.pid"), other.id().to_string()).expect("a file");
    NatsServer::start(NatsServerOptions::new(dir.path())).await.expect("a server").stop().await;
    assert!(other.try_wait().expect("a state").is_none(), "it still runs");
    other.kill().expect("killed");
    other.wait().expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_outlive_a_parent_that_is_killed() {
    const NAME: &str = "nats_server::a_server_does_not_outlive_a_parent_that_is_killed";
    if let Some(dir) = std::env::var_os(PARENT_OF) {
        let server = NatsServer::start(NatsServerOptions::new(dir)).await.expect("a server");
        println!("\npid {}", server.pid());
        std::future::pending::<()>().await;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut parent = tokio::process::Command::from(this_test(NAME, dir.path()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(parent.stdout.take().expect("its output")).lines();
    let pid: u32 = loop {
        let line = lines.next_line().await.expect("its output").expect("a process id");
        if let Some(pid) = line.strip_prefix("pid ") {
            break pid.parse().expect("a process id");
        }
    };
    let config = dir.path().join("nats-server.conf").to_string_lossy().into_owned();
    let runs = || {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&config)
    };
    assert!(runs());
    parent.kill().await.expect("killed");
    if Path::new("/usr/bin/setpriv").exists() {
        eventually("the server dies with its parent", || async { (!runs()).then_some(()) }).await;
    }
    let server = NatsServer::start(NatsServerOptions::new(dir.path())).await.expect("a server");
    assert!(!runs());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_server_is_told() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let child = NatsServer::start(NatsServerOptions::new(dir.path())).await.expect("a server");
    let killed = Command::new("kill").args(["-9", &child.pid().to_string()]).status().expect("kill");
    assert!(killed.success());
    let ended = tokio::time::timeout(Duration::from_secs(30), child.ended()).await.expect("it is told");
    assert!(matches!(ended, NatsServerError::Died { .. }), "{ended}");
    drop(server);
}

/// Speaks as much of the protocol as a client needs to learn the version.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_refuses_an_old_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let info = "INFO {\"server_id\":\"x\",\"version\":\"2.12.1\",\"max_payload\":1048576,\"headers\":true,\
                        \"jetstream\":true,\"host\":\"127.0.0.1\",\"port\":4222,\"proto\":1,\"go\":\"go1\"}\r\n";
            write.write_all(info.as_bytes()).await.expect("written");
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") && write.write_all(b"PONG\r\n").await.is_err() {
                    break;
                }
            }
        }
    });
    let refused =
        JetStream::connect(std::slice::from_ref(&url), ConnectSettings::default(), Settings::default())
            .await
            .expect_err("an old server");
    assert!(matches!(refused, ConnectError::TooOld { .. }));
    assert_eq!(
        refused.to_string(),
        format!("the NATS server at {url} has version 2.12.1, but 2.15.2 or later is needed: upgrade it")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gives_up_after_its_deadline_when_nobody_answers() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let connect = ConnectSettings { deadline: Duration::from_millis(300), ..ConnectSettings::default() };
    let refused = JetStream::connect(&[url], connect, Settings::default()).await.expect_err("nobody");
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{refused}");
}
