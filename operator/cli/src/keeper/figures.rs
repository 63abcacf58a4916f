//! A nats-server's figures in the text format of Prometheus. They bear no labels: one keeper tells of one server.

use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};

use super::monitor::State;

/// The figures of a server, or just that it does not answer.
pub fn text(state: Option<&State>) -> String {
    let registry = Registry::new();
    gauge(&registry, "up", "Whether nats-server answers on its monitoring port", u64::from(state.is_some()));
    if let Some(state) = state {
        fill(&registry, state);
    }
    TextEncoder::new().encode_to_string(&registry.gather()).expect("text goes into a string")
}

fn fill(registry: &Registry, state: &State) {
    let (stats, config) = (&state.jetstream.stats, &state.jetstream.config);
    gauge(registry, "storage_used_bytes", "What its streams hold on disk", stats.storage);
    gauge(registry, "storage_reserved_bytes", "What its streams may grow to", stats.reserved_storage);
    gauge(registry, "storage_max_bytes", "What it may hold on disk", config.max_storage);
    gauge(registry, "memory_bytes", "The process's memory", state.mem);
    gauge(registry, "connections", "Clients that are connected", state.connections);
    gauge(registry, "routes", "Connections to the cluster's other servers", state.routes);
    counter(
        registry,
        "slow_consumers_total",
        "Clients cut off because they read too slowly",
        state.slow_consumers,
    );
    counter(registry, "api_requests_total", "Requests to JetStream's API", stats.api.total);
    counter(registry, "api_errors_total", "Requests to JetStream's API that failed", stats.api.errors);
    // A server that stands alone leads itself.
    let led = state.jetstream.meta.as_ref().is_none_or(|meta| !meta.leader.is_empty());
    gauge(registry, "meta_leader_known", "Whether the cluster of logs has a leader", u64::from(led));
}

fn gauge(registry: &Registry, name: &str, help: &str, value: u64) {
    let gauge = IntGauge::new(format!("millrace_log_{name}"), help).expect("a name that is fine");
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(Box::new(gauge)).expect("each name is used once");
}

/// The server counts, from its own start on: this passes its number on.
fn counter(registry: &Registry, name: &str, help: &str, value: u64) {
    let counter = IntCounter::new(format!("millrace_log_{name}"), help).expect("a name that is fine");
    counter.inc_by(value);
    registry.register(Box::new(counter)).expect("each name is used once");
}
