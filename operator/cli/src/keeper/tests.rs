use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_certificates::{Authority, Epoch, Names, Pem, Role, Seed};
use millrace_log::jetstream::{ConnectSettings, JetStream, Settings};
use millrace_log::nats_server::{NatsServer, NatsServerOptions};
use millrace_tls::Identity;

use super::monitor::{Api, Config, Meta, State, Stats};
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn pem(broker: &str, role: Role) -> Pem {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let names = Names { dns: vec![], ips: vec![[127, 0, 0, 1].into()] };
    let authority = Authority::of(&Seed::new([4; 32]), "default", broker);
    authority.issue(role, &names, Epoch::at(now.as_secs(), DAY)).expect("a certificate")
}

fn write(dir: &Path, pem: &Pem) {
    for (name, text) in [("tls.crt", &pem.cert), ("tls.key", &pem.key), ("ca.crt", &pem.ca)] {
        std::fs::write(dir.join(name), text).expect("a file");
    }
}

/// Connects to a server of this Broker; tries for as long as the server has other certificates.
async fn connect(url: &str, broker: &str) -> JetStream {
    let pem = pem(broker, Role::Broker);
    let identity = Identity::from_pem(pem.cert.as_bytes(), pem.key.as_bytes(), pem.ca.as_bytes());
    let tls = Some(Tls::new(identity.expect("an identity")));
    let connect = ConnectSettings { tls, deadline: Duration::from_secs(60), ..ConnectSettings::default() };
    JetStream::connect(&[url.replace("nats://", "tls://")], connect, Settings::default())
        .await
        .expect("a connection")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_replaced_certificates_also_one_that_comes_later_and_its_state_is_told() {
    let (data, certificates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(certificates.path(), &pem("main", Role::Log));
    let port = free_port();
    let monitor = Monitor::new(&format!("http://127.0.0.1:{port}").parse().unwrap()).unwrap();
    let pid_file = data.path().join("nats-server.pid");
    let keeper = Keeper {
        monitor: monitor.clone(),
        pid_file: pid_file.clone(),
        volume: Volume::new(data.path().into()),
        metrics: true,
        whole: Mutex::default(),
    };
    assert!(keeper.healthy().await.is_err() && keeper.ready().await.is_err());
    assert_eq!(keeper.metrics().await.unwrap().lines().last(), Some("millrace_log_up 0"));

    // The keeper is there before the server, and its process id is another's.
    std::fs::write(&pid_file, std::process::id().to_string()).unwrap();
    let tls = Tls::from_dir(certificates.path()).unwrap();
    let reloads = tokio::spawn(Reloads::new(pid_file.clone(), monitor).run(tls.replaced()));
    let following = tokio::spawn(tls.follow(certificates.path().to_owned()));

    let mut options = NatsServerOptions::new(data.path());
    options.monitor_port = Some(port);
    options.tls_dir = Some(certificates.path().into());
    let server = NatsServer::start(options).await.unwrap();
    let connected = connect(&server.url(), "main").await;
    keeper.healthy().await.unwrap();
    keeper.ready().await.unwrap();

    write(certificates.path(), &pem("other", Role::Log));
    connect(&server.url(), "other").await;
    write(certificates.path(), &pem("main", Role::Log));
    connect(&server.url(), "main").await;

    connected.kv().await.expect("the first connection goes on");
    let text = keeper.metrics().await.unwrap();
    assert!(text.contains("\nmillrace_log_up 1\n"), "{text}");
    assert!(text.contains("\nmillrace_log_storage_max_bytes 10737418240\n"), "{text}");
    // The other clients are gone, which the server may have yet to see.
    let alone = async {
        while !keeper.metrics().await.unwrap().contains("\nmillrace_log_connections 1\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), alone).await.expect("one client is left");
    assert!(!reloads.is_finished() && !following.is_finished());
    reloads.abort();
    following.abort();
    server.stop().await;
    assert!(keeper.healthy().await.is_err());
}

#[test]
fn a_process_id_is_taken_only_while_it_is_a_nats_servers() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let why = || reload::server_pid(&file).expect_err("no nats-server");
    assert!(why().contains("can't be read"), "{}", why());
    for nothing in ["", "x", "0", "-1"] {
        std::fs::write(&file, nothing).unwrap();
        assert!(why().ends_with("holds no process id"), "{}", why());
    }
    std::fs::write(&file, i32::MAX.to_string()).unwrap();
    assert!(why().ends_with("which is gone"), "{}", why());
    std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
    assert!(why().contains(&format!("names process {}, which is ", std::process::id())), "{}", why());
}

#[test]
fn a_cluster_without_a_leader_is_told_from_a_server_that_stands_alone() {
    let mut state = State::default();
    let led = |state: &State| figures::text(Some(state)).contains("\nmillrace_log_meta_leader_known 1\n");
    assert!(led(&state));
    state.jetstream.meta = Some(Meta::default());
    assert!(!led(&state));
    state.jetstream.meta = Some(Meta { leader: "log-0".into() });
    assert!(led(&state));
}

#[test]
fn what_nats_server_tells_becomes_figures() {
    let state: State = serde_json::from_str(
        r#"{"config_load_time": "2026-01-01T00:00:00Z", "mem": 5, "connections": 6, "routes": 7,
            "slow_consumers": 8, "unknown": {}, "jetstream": {"config": {"max_storage": 9},
            "stats": {"storage": 10, "reserved_storage": 11, "api": {"total": 12, "errors": 13}}}}"#,
    )
    .unwrap();
    let api = Api { total: 12, errors: 13 };
    assert_eq!(state.jetstream.stats, Stats { storage: 10, reserved_storage: 11, api });
    assert_eq!(state.jetstream.config, Config { max_storage: 9 });
    let text = figures::text(Some(&state));
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("millrace_log_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    };
    let names = [
        "memory_bytes",
        "connections",
        "routes",
        "slow_consumers_total",
        "storage_max_bytes",
        "storage_used_bytes",
        "storage_reserved_bytes",
        "api_requests_total",
        "api_errors_total",
    ];
    assert_eq!(names.map(figure), ["5", "6", "7", "8", "9", "10", "11", "12", "13"]);
}

#[test]
fn an_address_that_is_none_is_refused() {
    assert!(Monitor::new(&"127.0.0.1:8222".parse().unwrap()).is_err());
    assert!(Monitor::new(&"https://127.0.0.1:8222".parse().unwrap()).is_err());
}

#[test]
fn a_volume_says_how_much_is_left_only_when_it_is_full() {
    let there = tempfile::tempdir().unwrap();
    assert_eq!(Volume::new(there.path().into()).full(), Ok(None));
    let gone = Volume::new(there.path().join("none")).full();
    assert!(gone.is_err_and(|why| why.contains("can't be looked at")));
}

#[test]
fn a_write_error_is_told_from_a_stream_that_catches_up() {
    assert!(is_write_error(
        "JetStream stream '$G > S' write error: write /data/8.blk: no space left on device"
    ));
    assert!(!is_write_error("JetStream stream '$G > S' is not current"));
}
