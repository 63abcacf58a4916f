//! Brokers that reach each other over mutual TLS.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millrace_certificates::{Authority, Epoch, Names, Role, Seed};
use millrace_core::BrokerId;
use millrace_log::memory::{Faults, MemoryCluster};
use millrace_server::broker::{Broker, BrokerParts, Member, NoPeers, PeerError, Peers, Settings};
use millrace_server::clock::SystemClock;
use millrace_server::peer_http::{HttpPeers, PEER_NAME, serve_peers};
use millrace_tls::{Identity, Tls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_secs(86_400);
/// Version 1 of a request to append, to no shard at all: it has an answer, and changes nothing.
const NOTHING: Bytes = Bytes::from_static(&[1, 1]);

/// The identity that a Broker's brokers had this many days ago, good for this name.
fn identity(broker: &str, name: &str, days_ago: u32) -> Identity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") - days_ago * DAY;
    let names = Names { dns: vec![name.into()], ips: vec![] };
    let authority = Authority::of(&Seed::new([3; 32]), "default", broker);
    let pem = authority.issue(Role::Broker, &names, Epoch::at(now.as_secs(), DAY)).expect("a certificate");
    Identity::from_pem(pem.cert.as_bytes(), pem.key.as_bytes(), pem.ca.as_bytes()).expect("an identity")
}

fn tls(broker: &str) -> Tls {
    Tls::new(identity(broker, PEER_NAME, 0))
}

/// A broker that answers others, and how they know it.
async fn serve(tls: Option<Tls>) -> (Member, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let memory = MemoryCluster::new(1, 0, Faults::none()).connect("broker");
    let parts = BrokerParts {
        log: Arc::new(memory.clone()),
        kv: Arc::new(memory.clone()),
        heartbeats: Arc::new(memory),
        peers: Arc::new(NoPeers),
        clock: Arc::new(SystemClock),
        declarations: None,
        address: address.clone(),
        settings: Settings::default(),
    };
    let broker = Arc::new(Broker::start(parts).await.expect("a broker"));
    let (id, stop) = (broker.id(), CancellationToken::new());
    tokio::spawn(serve_peers(listener, broker, tls, stop.clone()));
    (Member { id, address }, stop)
}

#[tokio::test]
async fn brokers_with_certificates_of_one_authority_answer_each_other() {
    let (member, _stop) = serve(Some(tls("main"))).await;
    let peers = HttpPeers::new(Some(&tls("main")));
    for _ in 0..3 {
        peers.ask(&member, NOTHING).await.expect("an answer");
    }
}

#[tokio::test]
async fn a_strangers_certificate_is_refused_on_either_side() {
    let (member, _stop) = serve(Some(tls("main"))).await;
    let unreachable = Err(PeerError::Unreachable(member.id));
    // The client knows of no such authority, so nothing was sent.
    assert_eq!(HttpPeers::new(Some(&tls("other"))).ask(&member, NOTHING).await, unreachable);
    // The server has the right authority, but is no broker.
    let (log, _stop) = serve(Some(Tls::new(identity("main", "log-0.svc", 0)))).await;
    let refused = HttpPeers::new(Some(&tls("main"))).ask(&log, NOTHING).await;
    assert_eq!(refused, Err(PeerError::Unreachable(log.id)));
    // The client takes the server, but the server refuses the client's certificate, which has expired: whether
    // the request began is not known to the client.
    let expired = Tls::new(identity("main", PEER_NAME, 9));
    HttpPeers::new(Some(&expired)).ask(&member, NOTHING).await.expect_err("refused");
    // Without TLS.
    HttpPeers::new(None).ask(&member, NOTHING).await.expect_err("refused");
    HttpPeers::new(Some(&tls("main"))).ask(&member, NOTHING).await.expect("others are still answered");
}

#[tokio::test]
async fn with_tls_nothing_is_sent_to_a_broker_without() {
    let (member, _stop) = serve(None).await;
    HttpPeers::new(None).ask(&member, NOTHING).await.expect("an answer");
    let refused = HttpPeers::new(Some(&tls("main"))).ask(&member, NOTHING).await;
    assert_eq!(refused, Err(PeerError::Unreachable(member.id)));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let member = Member { id: BrokerId(1), address };
    let refused = HttpPeers::new(Some(&tls("main"))).ask(&member, NOTHING).await;
    assert_eq!(refused, Err(PeerError::Unreachable(member.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_certificates_are_replaced() {
    let before = || Tls::new(identity("main", PEER_NAME, 1));
    let (server, client) = (before(), before());
    let (member, _stop) = serve(Some(server.clone())).await;
    let replaced = CancellationToken::new();
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let (client, member, replaced) = (client.clone(), member.clone(), replaced.clone());
            tokio::spawn(async move {
                let kept = HttpPeers::new(Some(&client));
                let mut after = 0;
                while after < 20 {
                    after += u32::from(replaced.is_cancelled());
                    kept.ask(&member, NOTHING).await?;
                    // And one over a connection of its own, whatever both ends have by now.
                    HttpPeers::new(Some(&client)).ask(&member, NOTHING).await?;
                }
                Ok::<_, PeerError>(())
            })
        })
        .collect();
    for days_ago in [0, 1, 0, 1, 0] {
        for end in [&server, &client] {
            HttpPeers::new(Some(&client)).ask(&member, NOTHING).await.expect("an answer");
            end.replace(identity("main", PEER_NAME, days_ago));
        }
    }
    replaced.cancel();
    for asker in askers {
        asker.await.expect("no panic").expect("no request is lost");
    }
}

#[tokio::test]
async fn a_listener_that_is_stopped_finishes_and_ends() {
    let (member, stop) = serve(Some(tls("main"))).await;
    let peers = HttpPeers::new(Some(&tls("main")));
    peers.ask(&member, NOTHING).await.expect("an answer");
    stop.cancel();
    while peers.ask(&member, NOTHING).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
