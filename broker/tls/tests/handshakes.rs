//! Handshakes between two ends with certificates of `millrace-certificates`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_certificates::{Authority, Epoch, Names, Pem, Role, Seed};
use millrace_tls::{Identity, IdentityError, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

const DAY: Duration = Duration::from_secs(86_400);
/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The certificate that a Broker's brokers had this many days ago.
fn pem(broker: &str, days_ago: u64) -> Pem {
    let epoch = Epoch::at(now_s() - days_ago * 86_400, DAY);
    let names = Names { dns: vec!["brokers.millrace.internal".into()], ips: vec![] };
    let authority = Authority::of(&Seed::new([5; 32]), "default", broker);
    authority.issue(Role::Broker, &names, epoch).expect("a certificate")
}

fn identity(pem: &Pem) -> Identity {
    Identity::from_pem(pem.cert.as_bytes(), pem.key.as_bytes(), pem.ca.as_bytes()).expect("an identity")
}

fn tls(broker: &str, days_ago: u64) -> Tls {
    Tls::new(identity(&pem(broker, days_ago)))
}

type Ends = (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>);

/// A connection over which a byte went each way: a client hears only then that it was refused.
async fn connect(client: &Tls, server: &Tls, name: &str) -> (io::Result<Ends>, io::Result<()>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(client.client_config(&[b"h2"]));
    let acceptor = TlsAcceptor::from(server.server_config(&[b"h2"]));
    let name = name.to_owned().try_into().expect("a name");
    let client = async {
        let mut stream = connector.connect(name, near).await?;
        exchange(&mut stream).await?;
        io::Result::Ok(stream)
    };
    let server = async {
        let mut stream = acceptor.accept(far).await?;
        exchange(&mut stream).await?;
        io::Result::Ok(stream)
    };
    match tokio::join!(client, server) {
        (Ok(client), Ok(server)) => (Ok((client, server)), Ok(())),
        (client, server) => (
            Err(client.err().unwrap_or_else(|| io::Error::other("the client found nothing wrong"))),
            server.map(|_| ()),
        ),
    }
}

async fn exchange(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> io::Result<()> {
    stream.write_all(b"x").await?;
    stream.flush().await?;
    stream.read_u8().await.map(|_| ())
}

const NAME: &str = "brokers.millrace.internal";

#[tokio::test]
async fn two_ends_of_one_broker_talk_and_each_sees_the_others_certificate() {
    let (ends, _) = connect(&tls("main", 0), &tls("main", 0), NAME).await;
    let (client, server) = ends.expect("a connection");
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(client.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty()));
    assert!(server.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty()));
}

#[tokio::test]
async fn another_brokers_certificate_is_refused_by_clients_and_by_servers() {
    let (main, other) = (tls("main", 0), tls("other", 0));
    for (client, server) in [(&main, &other), (&other, &main)] {
        let (ends, _) = connect(client, server, NAME).await;
        let error = ends.expect_err("strangers");
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    }
    // The server of `main` trusts `other` as well, by a list of two authorities: what is left to refuse is
    // the client's own look at the server, and the other way round.
    let (one, two) = (pem("main", 0), pem("other", 0));
    let both = format!("{}{}", one.ca, two.ca);
    let trusting = Identity::from_pem(one.cert.as_bytes(), one.key.as_bytes(), both.as_bytes());
    let trusting = Tls::new(trusting.expect("an identity"));
    let (ends, at_server) = connect(&other, &trusting, NAME).await;
    assert!(ends.expect_err("an unknown server").to_string().contains("UnknownIssuer"));
    assert!(at_server.is_err());
    let (ends, at_server) = connect(&trusting, &other, NAME).await;
    assert!(ends.is_err());
    assert!(at_server.expect_err("an unknown client").to_string().contains("UnknownIssuer"));
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let (ends, _) = connect(&tls("main", 0), &tls("main", 0), "operator.millrace.internal").await;
    let error = ends.expect_err("another name").to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let server = tls("main", 0);
    let mut config = (*tls("main", 0).client_config(&[])).clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let (near, far) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(config));
    let acceptor = TlsAcceptor::from(server.server_config(&[]));
    let name = NAME.try_into().expect("a name");
    let (_client, server) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    let error = server.expect_err("no certificate").to_string();
    assert!(error.contains("peer sent no certificates"), "{error}");
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_either_end() {
    let (fresh, old) = (tls("main", 0), tls("main", 4));
    let (ends, _) = connect(&fresh, &old, NAME).await;
    assert!(ends.expect_err("expired").to_string().contains("expired"));
    let (ends, at_server) = connect(&old, &fresh, NAME).await;
    assert!(ends.is_err());
    assert!(at_server.expect_err("expired").to_string().contains("expired"));
    // One that is no longer issued but still valid is taken.
    connect(&tls("main", 2), &fresh, NAME).await.0.expect("still valid");
}

#[tokio::test]
async fn a_connection_outlives_the_certificates_it_began_with_and_new_ones_take_the_new() {
    let (client, server) = (tls("main", 1), tls("main", 1));
    let (ends, _) = connect(&client, &server, NAME).await;
    let (mut old_client, mut old_server) = ends.expect("a connection");
    let shown = |ends: &Ends| {
        let of_server = ends.0.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
        let of_client = ends.1.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
        (of_server, of_client)
    };
    // Another authority altogether: key, certificate and trust change at once.
    for end in [&client, &server] {
        end.replace(identity(&pem("other", 0)));
    }
    let (at_client, at_server) = tokio::join!(exchange(&mut old_client), exchange(&mut old_server));
    assert!(at_client.is_ok() && at_server.is_ok());
    let new = connect(&client, &server, NAME).await.0.expect("a connection");
    let (old, new) = (shown(&(old_client, old_server)), shown(&new));
    assert!(old.0 != new.0 && old.1 != new.1);
    connect(&tls("main", 0), &server, NAME).await.0.expect_err("the old authority is not trusted any more");
}

#[tokio::test]
async fn configurations_made_before_a_replacement_take_the_new_identity() {
    let end = tls("main", 0);
    let (client, server) = (end.client_config(&[]), end.server_config(&[]));
    end.replace(identity(&pem("other", 0)));
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = NAME.try_into().expect("a name");
    let (connector, acceptor) = (TlsConnector::from(client), TlsAcceptor::from(server));
    let (client, server) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    let (client, _server) = (client.expect("a connection"), server.expect("a connection"));
    let shown = &client.get_ref().1.peer_certificates().expect("a certificate")[0];
    let wanted = pem("other", 0);
    use rustls::pki_types::pem::PemObject;
    let wanted = rustls::pki_types::CertificateDer::from_pem_slice(wanted.cert.as_bytes()).expect("PEM");
    assert_eq!(shown, &wanted);
}

fn write(dir: &Path, pem: &Pem) {
    std::fs::create_dir_all(dir).expect("a directory");
    for (name, text) in [("tls.crt", &pem.cert), ("tls.key", &pem.key), ("ca.crt", &pem.ca)] {
        std::fs::write(dir.join(name), text).expect("a file");
    }
}

/// Points the link elsewhere at once, as the kubelet does.
fn point(dir: &Path, to: &str) {
    std::os::unix::fs::symlink(to, dir.join("..tmp")).expect("a link");
    std::fs::rename(dir.join("..tmp"), dir.join("..data")).expect("a link in place");
}

#[tokio::test(start_paused = true)]
async fn a_swapped_directory_is_followed_and_a_broken_state_keeps_the_old_identity() {
    let dir = tempfile::tempdir().expect("a directory");
    let mounted = dir.path();
    write(&mounted.join("..1"), &pem("main", 1));
    point(mounted, "..1");
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), mounted.join(name)).expect("a link");
    }
    let end = Tls::from_dir(mounted).expect("an identity");
    let mut replaced = end.replaced();
    let following = tokio::spawn(end.clone().follow(mounted.to_owned()));

    // A key that does not fit. The clock runs ahead whenever nothing else is to do, so it is looked at.
    write(&mounted.join("..2"), &Pem { key: pem("main", 0).key, ..pem("other", 0) });
    point(mounted, "..2");
    tokio::time::sleep(PATIENCE).await;
    assert!(!replaced.has_changed().expect("it is followed"));
    connect(&tls("main", 0), &end, NAME).await.0.expect("the old identity");

    write(&mounted.join("..3"), &pem("other", 0));
    point(mounted, "..3");
    tokio::time::timeout(PATIENCE, replaced.changed()).await.expect("in time").expect("it is followed");
    connect(&tls("other", 0), &end, NAME).await.0.expect("the new identity");
    connect(&tls("main", 0), &end, NAME).await.0.expect_err("the old authority is gone");
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(*replaced.borrow(), 1, "the same files are no change");
    following.abort();
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = || Identity::from_dir(dir.path()).expect_err("something is wrong");
    assert!(matches!(error(), IdentityError::Read { file, .. } if file.ends_with("tls.crt")));
    write(dir.path(), &Pem { cert: "nothing".into(), ..pem("main", 0) });
    assert!(
        error().to_string().contains("tls.crt holds no certificate in PEM: there is none"),
        "{}",
        error()
    );
    write(dir.path(), &Pem { key: "nothing".into(), ..pem("main", 0) });
    assert!(error().to_string().contains("tls.key holds no private key in PEM"), "{}", error());
    write(dir.path(), &Pem { ca: "nothing".into(), ..pem("main", 0) });
    assert!(error().to_string().contains("ca.crt holds no certificate in PEM: there is none"), "{}", error());
    write(dir.path(), &Pem { key: pem("main", 9).key, ..pem("main", 0) });
    assert!(matches!(error(), IdentityError::Mismatch { .. }), "{}", error());
    write(dir.path(), &Pem { ca: pem("other", 0).ca, ..pem("main", 0) });
    assert!(matches!(error(), IdentityError::Stranger { .. }), "{}", error());
    // An expired one is the other end's to refuse.
    write(dir.path(), &pem("main", 9));
    Identity::from_dir(dir.path()).expect("an identity");
}
