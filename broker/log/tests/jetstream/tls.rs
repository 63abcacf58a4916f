use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_certificates::{Authority, Epoch, Names, Pem, Role, Seed};
use millrace_log::jetstream::{ConnectError, ConnectSettings, JetStream, Settings};
use millrace_log::{LaneAddress, Log};
use millrace_tls::{Identity, Tls};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::cluster::{append, read_all};
use crate::servers::{Server, Three, eventually, log_with_lane, roomy, shard};

const DAY: Duration = Duration::from_secs(86_400);

/// The certificate that a Broker's servers, or those who ask them, had this many days ago.
fn pem(broker: &str, role: Role, days_ago: u32) -> Pem {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - days_ago * DAY;
    let names = Names { dns: vec!["localhost".into()], ips: vec![[127, 0, 0, 1].into()] };
    let authority = Authority::of(&Seed::new([9; 32]), "default", broker);
    authority.issue(role, &names, Epoch::at(now.as_secs(), DAY)).expect("a certificate")
}

fn identity(pem: &Pem) -> Identity {
    Identity::from_pem(pem.cert.as_bytes(), pem.key.as_bytes(), pem.ca.as_bytes()).expect("an identity")
}

fn client(broker: &str) -> Tls {
    Tls::new(identity(&pem(broker, Role::Broker, 0)))
}

fn write(dir: &Path, pem: &Pem) {
    for (name, text) in [("tls.crt", &pem.cert), ("tls.key", &pem.key), ("ca.crt", &pem.ca)] {
        std::fs::write(dir.join(name), text).expect("a file");
    }
}

async fn connect(url: String, tls: Option<Tls>, patience: Duration) -> Result<JetStream, ConnectError> {
    let connect = ConnectSettings { deadline: patience, tls, ..ConnectSettings::default() };
    let settings = Settings { timeout: Duration::from_secs(2), ..Settings::default() };
    JetStream::connect(&[url], connect, settings).await
}

/// The certificate that a server shows, if the handshake comes about.
async fn shown(url: &str, tls: &Tls) -> Option<Vec<u8>> {
    let stream = TcpStream::connect(url.strip_prefix("tls://").expect("a TLS address")).await.ok()?;
    let mut stream = BufReader::new(stream);
    // The server says who it is before TLS begins, and nothing more.
    stream.read_line(&mut String::new()).await.ok()?;
    let name = "127.0.0.1".try_into().expect("an address");
    let stream = TlsConnector::from(tls.client_config(&[])).connect(name, stream).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_with_a_certificate_of_the_authority_are_served() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), &pem("main", Role::Log, 0));
    let server = Server::start_with(|options| options.tls_dir = Some(dir.path().into())).await;
    let patience = Duration::from_secs(30);
    let jetstream = connect(server.tls_url(), Some(client("main")), patience).await.expect("a connection");
    let log = log_with_lane(&jetstream, &roomy()).await;
    append(&log, &shard(1), 0, 1).await;

    let refused = |tls: Option<Tls>| {
        let url = server.tls_url();
        async { connect(url, tls, Duration::from_secs(1)).await.expect_err("it is refused").to_string() }
    };
    // Without a certificate of ours, and without knowing the server's authority.
    let error = refused(None).await;
    assert!(error.contains("UnknownIssuer"), "{error}");
    // The server is of another authority than the client.
    let error = refused(Some(client("other"))).await;
    assert!(error.contains("UnknownIssuer"), "{error}");
    // The client knows the server, but the server does not know the client.
    let (ours, stranger) = (pem("main", Role::Broker, 0), pem("other", Role::Broker, 0));
    let both = format!("{}{}", ours.ca, stranger.ca);
    let stranger = Identity::from_pem(stranger.cert.as_bytes(), stranger.key.as_bytes(), both.as_bytes());
    let stranger = Tls::new(stranger.expect("an identity"));
    assert!(shown(&server.tls_url(), &stranger).await.is_some(), "the client takes the server");
    let error = refused(Some(stranger)).await;
    assert!(error.starts_with("no NATS server answers"), "{error}");
}

/// Passes connections on until it is told to cut them.
struct Proxy {
    url: String,
    cuts: watch::Sender<u32>,
}

impl Proxy {
    async fn to(server: &Server) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("tls://{}", listener.local_addr().expect("an address"));
        let to = server.tls_url().replace("tls://", "");
        let cuts = watch::Sender::new(0);
        let cut = cuts.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (to, mut cut) = (to.clone(), cut.subscribe());
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Proxy { url, cuts }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_certificates_are_taken_by_a_running_server_and_by_reconnects_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), &pem("main", Role::Log, 1));
    let server = Server::start_with(|options| options.tls_dir = Some(dir.path().into())).await;
    let proxy = Proxy::to(&server).await;
    let tls = client("main");
    let jetstream = connect(proxy.url.clone(), Some(tls.clone()), Duration::from_secs(30)).await;
    let log = log_with_lane(&jetstream.expect("a connection"), &roomy()).await;
    let written = watch::Sender::new(Vec::new());
    let writer = tokio::spawn({
        let (log, written) = (log.clone(), written.clone());
        async move {
            loop {
                let (count, last) = {
                    let written = written.borrow();
                    (written.len() as u64, written.last().copied().unwrap_or(0))
                };
                let sequence = append(&log, &shard(1), last, count).await;
                written.send_modify(|written: &mut Vec<u64>| written.push(sequence));
            }
        }
    });
    let more = async || {
        let mut written = written.subscribe();
        let goal = written.borrow().len() + 50;
        written.wait_for(|written| written.len() >= goal).await.expect("the writer goes on");
    };
    more().await;
    let first = shown(&server.tls_url(), &tls).await.expect("a certificate");

    // The next epoch of the same authority: the connection goes on.
    write(dir.path(), &pem("main", Role::Log, 0));
    server.signal(Signal::HUP);
    let second = eventually("the next certificate", || async {
        shown(&server.tls_url(), &tls).await.filter(|shown| *shown != first)
    })
    .await;
    more().await;

    // Another authority altogether. Whoever connects from now on needs the new one.
    write(dir.path(), &pem("other", Role::Log, 0));
    tls.replace(identity(&pem("other", Role::Broker, 0)));
    server.signal(Signal::HUP);
    let third =
        eventually("the other authority's certificate", || async { shown(&server.tls_url(), &tls).await })
            .await;
    assert!(third != first && third != second);
    assert_eq!(shown(&server.tls_url(), &client("main")).await, None, "the old authority is gone");
    proxy.cuts.send_modify(|cuts| *cuts += 1);
    more().await;

    writer.abort();
    let _ = writer.await;
    let acknowledged = written.borrow().clone();
    let stored = read_all(&log, &shard(1), *acknowledged.last().expect("some")).await;
    let stored: Vec<u64> = stored.iter().map(|message| message.sequence).collect();
    assert_eq!(stored[..acknowledged.len()], acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_replicate_to_each_other_over_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), &pem("main", Role::Log, 0));
    let three = Three::start_with(|options| options.tls_dir = Some(dir.path().into())).await;
    let urls: Vec<String> = three.servers.iter().map(Server::tls_url).collect();
    let connect = ConnectSettings { tls: Some(client("main")), ..ConnectSettings::default() };
    let settings = Settings { replicas: 3, timeout: Duration::from_secs(2), ..Settings::default() };
    let jetstream = JetStream::connect(&urls, connect, settings).await.expect("a connection");
    let log = Arc::new(jetstream.log());
    let lane: LaneAddress = shard(1).lane();
    eventually("a lane on three servers", || async { log.ensure_lane(&lane, &roomy()).await.ok() }).await;
    let sequence = append(&*log, &shard(1), 0, 1).await;
    assert_eq!(log.lane_state(&lane).await.expect("a state").last, sequence);
}
