//! What becomes of connections.

use async_nats::connection::State;
use tokio::runtime::Handle;

use crate::servers::{Server, eventually};

#[tokio::test]
async fn a_connection_that_nobody_uses_ends_though_its_server_is_gone() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let mut server = Server::start().await;
    let without = tasks();
    let jetstream = server.connect().await;
    let kv = jetstream.kv().await.expect("a bucket");
    let with = tasks();
    assert!(with > without, "a connection has no task of its own: {with} tasks, and {without} before");
    server.kill();
    let is_connected = || jetstream.client().connection_state() == State::Connected;
    eventually("the loss is seen", || async { (!is_connected()).then_some(()) }).await;
    assert_eq!(tasks(), with, "it has ended while somebody uses it");
    drop((jetstream, kv));
    eventually("its tasks end", || async { (tasks() <= without).then_some(()) }).await;
}
