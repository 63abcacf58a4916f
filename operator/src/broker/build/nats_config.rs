//! The configuration of nats-server.

use std::fmt::Write;

use millrace_crds::Broker;
use millrace_crds::broker::Durability;
use millrace_log::nats_server::MAX_PAYLOAD_BYTES;
use serde_json::json;

use super::super::names::{MONITOR_PORT, NATS_PORT, ROUTE_PORT};
use super::{Component, Plan};
use crate::apply::Desired;

/// Of a volume, what streams may fill: a full disk switches JetStream off.
const FILE_STORE_PERCENT: u64 = 85;
/// What nats-server may hold back for one slow connection, in bytes: answers to reads come in bursts.
const MAX_PENDING_BYTES: u64 = 256 << 20;
/// What streams in memory may hold, in bytes: only heartbeats are there.
const MAX_MEMORY_STORE_BYTES: u64 = 64 << 20;

/// What one log server may store, in bytes.
fn file_store_bytes(broker: &Broker) -> u64 {
    // The API server has seen to it that this is an amount.
    broker.spec.log.storage.size.bytes().unwrap_or(0) / 100 * FILE_STORE_PERCENT
}

/// What all log servers may store together, in bytes.
pub fn capacity_bytes(broker: &Broker) -> u64 {
    file_store_bytes(broker).saturating_mul(u64::try_from(broker.spec.log.servers).unwrap_or(0))
}

pub(super) fn config_map(plan: &Plan<'_>) -> Desired {
    Desired::new(
        "",
        "v1",
        "ConfigMap",
        json!({
            "metadata": plan.metadata(&plan.names.log(), Some(Component::Log)),
            "data": {"nats-server.conf": configuration(plan)},
        }),
    )
}

/// The configuration file. Source: <https://docs.nats.io/running-a-nats-service/configuration>.
pub(super) fn configuration(plan: &Plan<'_>) -> String {
    let log = &plan.broker.spec.log;
    let names = &plan.names;
    let tls = "tls { cert_file: /etc/nats/tls/tls.crt, key_file: /etc/nats/tls/tls.key, ca_file: \
               /etc/nats/tls/ca.crt, verify: true, timeout: 5 }";
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{args}");
    };
    line(format_args!("# Written by the Millrace operator: changes are undone."));
    line(format_args!("server_name: $POD_NAME"));
    line(format_args!("listen: \"0.0.0.0:{NATS_PORT}\""));
    line(format_args!("http: \"127.0.0.1:{MONITOR_PORT}\""));
    line(format_args!("pid_file: /run/nats/nats.pid"));
    line(format_args!("max_payload: {MAX_PAYLOAD_BYTES}"));
    line(format_args!("max_pending: {MAX_PENDING_BYTES}"));
    line(format_args!("{tls}"));
    line(format_args!("jetstream {{"));
    line(format_args!("  store_dir: /data"));
    match plan.broker.spec.durability {
        Durability::Synced => line(format_args!("  sync_interval: always")),
        Durability::Relaxed => line(format_args!("  sync_interval: 2m")),
    }
    line(format_args!("  max_file_store: {}", file_store_bytes(plan.broker)));
    line(format_args!("  max_memory_store: {MAX_MEMORY_STORE_BYTES}"));
    line(format_args!("}}"));
    if log.servers > 1 {
        line(format_args!("cluster {{"));
        line(format_args!("  name: \"{}/{}\"", names.namespace, names.broker));
        line(format_args!("  listen: \"0.0.0.0:{ROUTE_PORT}\""));
        line(format_args!("  {tls}"));
        line(format_args!("  routes: ["));
        for ordinal in 0..log.servers {
            line(format_args!("    \"tls://{}:{ROUTE_PORT}\"", names.log_host(ordinal)));
        }
        line(format_args!("  ]"));
        line(format_args!("}}"));
    }
    text
}
