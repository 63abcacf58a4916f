//! TLS towards clients.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Version;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use millrace_certificates::{Authority, Epoch, Names, Pem, Role, Seed};
use millrace_server::http::ListenerConfig;
use millrace_tls::{Certificate, tunnel_config};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::api::{Answer, Api, Options};
use crate::wire::rest;

/// A certificate that the authority of a Broker called so has signed.
fn pem(broker: &str) -> Pem {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let names = Names { dns: vec!["localhost".into()], ips: vec![] };
    let authority = Authority::of(&Seed::new([7; 32]), "default", broker);
    authority.issue(Role::Broker, &names, Epoch::at(now_s, Duration::from_secs(86_400))).unwrap()
}

fn write(dir: &Path, pem: &Pem) {
    std::fs::write(dir.join("tls.crt"), &pem.cert).unwrap();
    std::fs::write(dir.join("tls.key"), &pem.key).unwrap();
}

async fn start(dir: &Path) -> (Api, Certificate) {
    let certificate = Certificate::from_files(&dir.join("tls.crt"), &dir.join("tls.key")).unwrap();
    let shown = Some(certificate.clone());
    let listener = ListenerConfig { certificate: shown, ..ListenerConfig::default() };
    (Api::start_with(Options { listener, ..Options::default() }).await, certificate)
}

/// The certificate that a client is shown, and the protocol that is chosen among those it offers.
async fn shown(api: &Api, alpn: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
    let stream = TcpStream::connect(&api.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = TlsConnector::from(tunnel_config(alpn)).connect(name, stream).await.unwrap();
    let session = stream.get_ref().1;
    (session.peer_certificates().unwrap()[0].to_vec(), session.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn one_port_speaks_http_1_and_http_2_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &pem("main"));
    let (api, _) = start(dir.path()).await;
    for (offered, chosen) in
        [(&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])), (&[b"http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        assert_eq!(shown(&api, offered).await.1.as_deref(), chosen);
    }
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut plain = hyper_util::client::legacy::connect::HttpConnector::new();
        plain.enforce_http(false);
        let config = Arc::unwrap_or_clone(tunnel_config(&[]));
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        let connector = match version {
            Version::HTTP_2 => connector.enable_http2().wrap_connector(plain),
            _ => connector.enable_http1().wrap_connector(plain),
        };
        let http2 = version == Version::HTTP_2;
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).http2_only(http2).build(connector);
        let mut request = api.request("team-a", "ListStreams", b"{}");
        *request.uri_mut() = format!("https://{}/", api.address).parse().unwrap();
        *request.version_mut() = version;
        if http2 {
            request.headers_mut().remove("host");
        }
        let answer = Answer::of(client.request(request).await.unwrap()).await;
        assert_eq!(answer.status, 200, "{version:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart_once_its_files_fit_together() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (pem("main"), pem("other"));
    write(dir.path(), &old);
    let (api, certificate) = start(dir.path()).await;
    tokio::spawn(certificate.follow());
    let before = shown(&api, &[]).await.0;
    std::fs::write(dir.path().join("tls.crt"), &new.cert).unwrap();
    assert_eq!(shown(&api, &[]).await.0, before, "the key is still that of the old one");
    std::fs::write(dir.path().join("tls.key"), &new.key).unwrap();
    let replaced = async { while shown(&api, &[]).await.0 == before {} };
    tokio::time::timeout(Duration::from_secs(60), replaced).await.expect("it was never replaced");
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &pem("main"));
    let (api, _) = start(dir.path()).await;
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(!rest(&mut stream).await.contains("HTTP/1.1"));
}

#[test]
fn files_that_do_not_fit_together_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let from = || Certificate::from_files(&dir.path().join("tls.crt"), &dir.path().join("tls.key"));
    assert!(from().unwrap_err().to_string().contains("tls.crt can't be read"));
    write(dir.path(), &Pem { key: pem("other").key, ..pem("main") });
    assert!(from().unwrap_err().to_string().contains("does not fit the certificate"));
    std::fs::write(dir.path().join("tls.key"), "nothing").unwrap();
    assert!(from().unwrap_err().to_string().contains("tls.key holds no private key"));
}
