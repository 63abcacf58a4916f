//! What the operator counts about itself, in Prometheus' form.

use std::collections::BTreeMap;

use millrace_crds::BrokerStatus;
use millrace_crds::condition::{Kind, find};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::broker::Names;
use crate::links::Usage;

/// The upper bounds of how long a round takes, in seconds.
const ROUND_SECONDS: [f64; 8] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0];

/// What the operator counts about itself. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    leader: IntGauge,
    rounds: HistogramVec,
    errors: IntCounterVec,
    stalled: IntGaugeVec,
    broker_ready: IntGaugeVec,
    certificate_expiry: IntGaugeVec,
    stored: IntGaugeVec,
    capacity: IntGaugeVec,
    decisions: IntCounterVec,
    standings: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let of_broker = ["namespace", "broker"];
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels).expect("the name is legal");
            registry.register(Box::new(gauges.clone())).expect("each name is there once");
            gauges
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels).expect("the name is legal");
            registry.register(Box::new(counters.clone())).expect("each name is there once");
            counters
        };
        let leader = IntGauge::new("millrace_operator_leader", "1 while this process leads")
            .expect("the name is legal");
        registry.register(Box::new(leader.clone())).expect("each name is there once");
        let opts = HistogramOpts::new("millrace_operator_reconcile_seconds", "How long rounds take")
            .buckets(ROUND_SECONDS.to_vec());
        let rounds = HistogramVec::new(opts, &["kind"]).expect("the name is legal");
        registry.register(Box::new(rounds.clone())).expect("each name is there once");
        Metrics {
            leader,
            rounds,
            errors: counters("millrace_operator_reconcile_errors_total", "Rounds that failed", &["kind"]),
            stalled: gauges("millrace_operator_stalled", "Objects that need somebody's help", &["kind"]),
            broker_ready: gauges("millrace_operator_broker_ready", "1 while a Broker is ready", &of_broker),
            certificate_expiry: gauges(
                "millrace_operator_certificate_expiry_seconds",
                "When a Broker's certificates end, as Unix time",
                &of_broker,
            ),
            stored: gauges("millrace_operator_log_stored_bytes", "What the log servers store", &of_broker),
            capacity: gauges(
                "millrace_operator_log_capacity_bytes",
                "What the log servers may store",
                &of_broker,
            ),
            decisions: counters(
                "millrace_operator_decisions_total",
                "What the autoscaler decided",
                &["decision"],
            ),
            standings: gauges(
                "millrace_operator_streams",
                "Streams by what their autoscaler does or waits for",
                &["standing"],
            ),
            registry,
        }
    }
}

impl Metrics {
    /// Everything in Prometheus' text form.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory does not fail, and the names were checked when they were registered.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// Whether this process leads.
    pub fn lead(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A round has ended.
    pub fn round(&self, kind: &str, seconds: f64, failed: bool) {
        self.rounds.with_label_values(&[kind]).observe(seconds);
        if failed {
            self.errors.with_label_values(&[kind]).inc();
        }
    }

    /// How many objects of a kind are stalled.
    pub fn stalled(&self, kind: &str, count: usize) {
        self.stalled.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The autoscaler has decided something.
    pub fn decided(&self, decision: &str) {
        self.decisions.with_label_values(&[decision]).inc();
    }

    /// How many Streams there are of each standing; none of those that are not named.
    pub fn standings(&self, counts: &BTreeMap<&str, usize>) {
        self.standings.reset();
        for (standing, count) in counts {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.standings.with_label_values(&[standing]).set(count);
        }
    }

    /// What is said of a Broker.
    pub fn broker(&self, names: &Names, status: &BrokerStatus, usage: Option<Usage>) {
        let labels = [names.namespace.as_str(), names.broker.as_str()];
        let ready = find(&status.conditions, Kind::Ready).is_some_and(|ready| ready.status == "True");
        self.broker_ready.with_label_values(&labels).set(i64::from(ready));
        if let Some(certificates) = &status.certificates {
            let end = certificates.expire_at.0.as_second();
            self.certificate_expiry.with_label_values(&labels).set(end);
        }
        if let Some(usage) = usage {
            let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            self.stored.with_label_values(&labels).set(bytes(usage.stored_bytes));
            self.capacity.with_label_values(&labels).set(bytes(usage.limit_bytes));
        }
    }

    /// A Broker is gone.
    pub fn forget(&self, names: &Names) {
        let labels = [names.namespace.as_str(), names.broker.as_str()];
        for gauges in [&self.broker_ready, &self.certificate_expiry, &self.stored, &self.capacity] {
            // It may never have been said.
            let _ = gauges.remove_label_values(&labels);
        }
    }
}
