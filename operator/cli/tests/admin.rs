//! A broker's port for probes, through the life of a process and an outage of its log.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millrace_log::nats_server::{NatsServer, NatsServerOptions};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker process. Killed when dropped.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn broker(nats_port: u16, admin_port: u16) -> Broker {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command
        .args(["broker", "--nats", &format!("nats://127.0.0.1:{nats_port}"), "--listen", "127.0.0.1:0"])
        .args(["--control", "--metrics", "--admin-listen", &format!("127.0.0.1:{admin_port}")])
        .stderr(Stdio::null());
    Broker(command.spawn().unwrap())
}

/// The status and body of an answer; `None` while nobody listens.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

async fn until(what: &str, good: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !good() {
        assert!(Instant::now() < deadline, "it did not come to be: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_log_and_health_does_not() {
    let (nats_port, admin_port) = (free_port(), free_port());
    let mut broker = broker(nats_port, admin_port);
    let status = |path: &str| get(admin_port, path).map(|(status, _)| status);
    until("the process answers", || status("/health") == Some(200)).await;
    let (code, why) = get(admin_port, "/ready").unwrap();
    assert_eq!((code, why.as_str()), (503, "the broker is starting: it connects to its log\n"));

    let dir = tempfile::tempdir().unwrap();
    let options = || NatsServerOptions { port: Some(nats_port), ..NatsServerOptions::new(dir.path()) };
    let server = NatsServer::start(options()).await.unwrap();
    until("the broker is ready", || status("/ready") == Some(200)).await;
    let (_, metrics) = get(admin_port, "/metrics").unwrap();
    for name in [
        "millrace_peers_alive 0",
        "millrace_nats_connects 1",
        "millrace_bodies_bytes 0",
        "millrace_answers_bytes 0",
    ] {
        assert!(metrics.lines().any(|line| line == name), "{name} is missing in\n{metrics}");
    }

    if std::env::var("MILLRACE_TEST").is_ok_and(|mode| mode == "fast") {
        println!("shortened: MILLRACE_TEST is fast, and an outage takes more than ten seconds");
    } else {
        server.stop().await;
        until("the outage is told", || status("/ready") == Some(503)).await;
        assert!(get(admin_port, "/ready").unwrap().1.contains("no heartbeat"));
        assert_eq!(status("/health"), Some(200));
        let server = NatsServer::start(options()).await.unwrap();
        until("the broker is ready again", || status("/ready") == Some(200)).await;
        server.stop().await;
    }

    Command::new("kill").args(["-TERM", &broker.0.id().to_string()]).status().unwrap();
    until("the broker is not ready any more", || status("/ready") != Some(200)).await;
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        match broker.0.try_wait().unwrap() {
            Some(ended) => break ended,
            None => assert!(Instant::now() < deadline, "the broker does not end"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(ended.success());
}
