//! Figures of a broker that are looked up when somebody asks for them.

use std::sync::Arc;

use super::Inner;

/// Adds them to the broker's metrics. They hold no broker that has ended.
pub(super) fn register(broker: &Arc<Inner>) {
    let metrics = &broker.context.metrics;
    let ask = |name: &str, help: &str, figure: fn(&Inner) -> f64| {
        let broker = Arc::downgrade(broker);
        metrics.ask(name, help, move || broker.upgrade().map_or(0.0, |broker| figure(&broker)));
    };
    ask("millrace_shards_owned", "Shards that this broker appends to.", |broker| {
        broker.owned.read().values().filter(|shard| !shard.is_gone()).count() as f64
    });
    ask("millrace_peers_alive", "Other brokers that are alive.", |broker| broker.members.peers() as f64);
    ask(
        "millrace_heartbeat_age_seconds",
        "Time since the log has taken a heartbeat of this broker, or since the broker began.",
        |broker| broker.heard.age().as_secs_f64(),
    );
}
