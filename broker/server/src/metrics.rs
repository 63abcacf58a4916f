//! What a broker counts, for those who watch it. Counted once for each request or pack, on handles that are made
//! before; rendered only when somebody asks.
//!
//! Labels come from fixed sets, but for namespace and stream: these are counted for the first 1,000 streams alone,
//! and for all others together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_core::{DataId, Record};
use parking_lot::RwLock;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, PullingGauge,
    Registry, TextEncoder,
};

use crate::broker::{Placed, PutError, ReadBatch, Stream};

/// How many streams are counted one by one.
const LABELLED_STREAMS: usize = 1_000;
/// What the others are counted under. No namespace has such a name.
const OTHER: [&str; 2] = ["_other", "_other"];
/// What requests are counted under that name no operation which is built.
const UNKNOWN_OPERATION: &str = "unknown";

const REQUEST_SECONDS: [f64; 8] = [0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0, 25.0];
const APPEND_SECONDS: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 15.0];
const PACK_BYTES: [f64; 6] = [1_024.0, 8_192.0, 65_536.0, 262_144.0, 1_048_576.0, 12_582_912.0];
const PACK_RECORDS: [f64; 6] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0];

/// How a doubt about an append was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is stored.
    Stored,
    /// It is not, and never will be.
    NotStored,
    /// Nobody knows.
    Unknown,
}

/// What one stream is counted under.
#[derive(Debug)]
struct StreamCounters {
    labels: [String; 2],
    records_in: IntCounter,
    bytes_in: IntCounter,
    throttled: IntCounter,
}

/// The counters of one operation of an API.
#[derive(Debug)]
struct OperationCounters {
    ok: IntCounter,
    seconds: Histogram,
}

/// A broker's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    operations: RwLock<HashMap<&'static str, Arc<OperationCounters>>>,
    stored: IntCounter,
    throttled: IntCounter,
    storage_full: IntCounter,
    unanswered: IntCounter,
    bytes_in: IntCounter,
    records_out: IntCounter,
    bytes_out: IntCounter,
    forwarded: IntCounter,
    append_seconds: Histogram,
    pack_bytes: Histogram,
    pack_records: Histogram,
    in_doubt: IntCounterVec,
    stream_records_in: IntCounterVec,
    stream_bytes_in: IntCounterVec,
    stream_throttled: IntCounterVec,
    stream_open_shards: IntGaugeVec,
    streams: RwLock<HashMap<DataId, Arc<StreamCounters>>>,
    other_streams: Arc<StreamCounters>,
}

/// Makes and registers metrics. Their names and labels are literals of this file, so that none can be refused.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let made = made.expect("names and labels are well formed");
        self.0.register(Box::new(made.clone())).expect("names are registered once");
        made
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let make = Maker(&registry);
        let seconds = HistogramOpts::new(
            "millrace_request_seconds",
            "Time from a request's head to its answer, by operation of the API.",
        );
        let records = make.counters(
            "millrace_records_in_total",
            "Records that clients sent, by outcome.",
            &["outcome"],
        );
        let outcome = |outcome: &str| records.with_label_values(&[outcome]);
        let stream_labels = ["namespace", "stream"];
        let stream_records_in = make.counters(
            "millrace_stream_records_in_total",
            "Records that were stored, by stream.",
            &stream_labels,
        );
        let stream_bytes_in = make.counters(
            "millrace_stream_bytes_in_total",
            "Bytes of keys and data that were stored, by stream.",
            &stream_labels,
        );
        let stream_throttled = make.counters(
            "millrace_stream_throttled_records_total",
            "Records that a shard's limit refused, by stream.",
            &stream_labels,
        );
        let stream_counters = |labels: [String; 2]| StreamCounters {
            records_in: stream_records_in.with_label_values(&labels),
            bytes_in: stream_bytes_in.with_label_values(&labels),
            throttled: stream_throttled.with_label_values(&labels),
            labels,
        };
        Metrics {
            requests: make.counters(
                "millrace_requests_total",
                "Requests that were answered, by operation of the API and outcome: ok, or the error's name.",
                &["operation", "outcome"],
            ),
            request_seconds: make
                .keep(HistogramVec::new(seconds.buckets(REQUEST_SECONDS.to_vec()), &["operation"])),
            operations: RwLock::default(),
            stored: outcome("stored"),
            throttled: outcome("throttled"),
            storage_full: outcome("storage_full"),
            unanswered: outcome("unanswered"),
            bytes_in: make
                .counter("millrace_bytes_in_total", "Bytes of keys and data of records that were stored."),
            records_out: make.counter("millrace_records_out_total", "Records that clients read."),
            bytes_out: make
                .counter("millrace_bytes_out_total", "Bytes of keys and data of records that clients read."),
            forwarded: make.counter(
                "millrace_forwarded_records_total",
                "Records that were brought to the broker which owns their shard.",
            ),
            append_seconds: make.histogram(
                "millrace_append_seconds",
                "Time until the log has acknowledged a pack, with doubts settled.",
                &APPEND_SECONDS,
            ),
            pack_bytes: make.histogram("millrace_pack_bytes", "Sizes of stored packs.", &PACK_BYTES),
            pack_records: make.histogram(
                "millrace_pack_records",
                "How many records the stored packs hold.",
                &PACK_RECORDS,
            ),
            in_doubt: make.counters(
                "millrace_appends_in_doubt_total",
                "Appends whose outcome had to be looked up in the log, by what it was.",
                &["outcome"],
            ),
            other_streams: Arc::new(stream_counters(OTHER.map(str::to_owned))),
            stream_open_shards: make.keep(IntGaugeVec::new(
                Opts::new("millrace_stream_open_shards", "Open shards, by stream: the same on every broker."),
                &stream_labels,
            )),
            streams: RwLock::default(),
            stream_records_in,
            stream_bytes_in,
            stream_throttled,
            registry,
        }
    }
}

impl Metrics {
    /// Counts a request that was answered. `operation`: one of those that the API has; `None` for any other.
    pub(crate) fn request(
        &self,
        operation: Option<&'static str>,
        error: Option<&'static str>,
        took: Duration,
    ) {
        let operation = operation.unwrap_or(UNKNOWN_OPERATION);
        let known = self.operations.read().get(operation).cloned();
        let counters = known.unwrap_or_else(|| {
            let counters = Arc::new(OperationCounters {
                ok: self.requests.with_label_values(&[operation, "ok"]),
                seconds: self.request_seconds.with_label_values(&[operation]),
            });
            self.operations.write().insert(operation, counters.clone());
            counters
        });
        counters.seconds.observe(took.as_secs_f64());
        match error {
            None => counters.ok.inc(),
            Some(error) => self.requests.with_label_values(&[operation, error]).inc(),
        }
    }

    /// Counts the records of one request to store some. The results stand in the order of the records.
    pub(crate) fn put(&self, stream: &Stream, records: &[Record], results: &[Result<Placed, PutError>]) {
        let [mut stored, mut bytes, mut throttled, mut full, mut unanswered] = [0; 5];
        for (record, result) in records.iter().zip(results) {
            match result {
                Ok(_) => {
                    stored += 1;
                    bytes += record.billed_bytes() as u64;
                }
                Err(PutError::Throttled(_)) => throttled += 1,
                Err(PutError::StorageFull(_)) => full += 1,
                Err(PutError::Unavailable(_)) => unanswered += 1,
            }
        }
        self.stored.inc_by(stored);
        self.bytes_in.inc_by(bytes);
        self.throttled.inc_by(throttled);
        self.storage_full.inc_by(full);
        self.unanswered.inc_by(unanswered);
        let counters = self.stream(stream);
        counters.records_in.inc_by(stored);
        counters.bytes_in.inc_by(bytes);
        counters.throttled.inc_by(throttled);
    }

    /// Counts what one request has read.
    pub(crate) fn read(&self, batch: &ReadBatch) {
        let bytes = |record: &millrace_core::StoredRecord| record.partition_key.len() + record.data.len();
        self.records_out.inc_by(batch.records.len() as u64);
        self.bytes_out.inc_by(batch.records.iter().map(|(_, record)| bytes(record) as u64).sum());
    }

    /// Counts records on their way to another broker.
    pub(crate) fn forwarded(&self, records: usize) {
        self.forwarded.inc_by(records as u64);
    }

    /// Counts a pack that was stored.
    pub(crate) fn appended(&self, bytes: usize, records: usize, took: Duration) {
        self.append_seconds.observe(took.as_secs_f64());
        self.pack_bytes.observe(bytes as f64);
        self.pack_records.observe(records as f64);
    }

    /// Counts an append that was in doubt.
    pub(crate) fn settled(&self, settled: Settled) {
        let outcome = match settled {
            Settled::Stored => "stored",
            Settled::NotStored => "not_stored",
            Settled::Unknown => "unknown",
        };
        self.in_doubt.with_label_values(&[outcome]).inc();
    }

    fn stream(&self, stream: &Stream) -> Arc<StreamCounters> {
        if let Some(counters) = self.streams.read().get(&stream.entry.data) {
            return counters.clone();
        }
        let mut streams = self.streams.write();
        if streams.len() >= LABELLED_STREAMS {
            return self.other_streams.clone();
        }
        let counters = streams.entry(stream.entry.data.clone()).or_insert_with(|| {
            let labels = [stream.namespace.clone(), stream.name.clone()];
            Arc::new(StreamCounters {
                records_in: self.stream_records_in.with_label_values(&labels),
                bytes_in: self.stream_bytes_in.with_label_values(&labels),
                throttled: self.stream_throttled.with_label_values(&labels),
                labels,
            })
        });
        counters.clone()
    }

    /// Adds a figure that is asked for each time that the metrics are rendered.
    ///
    /// # Panics
    /// When the name is none that Prometheus takes, or is taken already.
    pub fn ask(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        Maker(&self.registry).keep(PullingGauge::new(name, help, Box::new(value)));
    }

    /// All metrics in the text format of Prometheus. `streams`: those that there are now; others are forgotten.
    pub(crate) fn render(&self, streams: &[Arc<Stream>]) -> String {
        let there: HashSet<&DataId> = streams.iter().map(|stream| &stream.entry.data).collect();
        self.streams.write().retain(|data, counters| {
            let stays = there.contains(data);
            if !stays {
                let labels = counters.labels.each_ref().map(String::as_str);
                for counters in [&self.stream_records_in, &self.stream_bytes_in, &self.stream_throttled] {
                    let _ = counters.remove_label_values(&labels);
                }
                let _ = self.stream_open_shards.remove_label_values(&labels);
            }
            stays
        });
        for stream in streams {
            let counters = self.stream(stream);
            if !Arc::ptr_eq(&counters, &self.other_streams) {
                let open = stream.map.as_ref().map_or(0, |map| map.open.len());
                let gauge = self.stream_open_shards.with_label_values(&counters.labels);
                gauge.set(i64::try_from(open).unwrap_or(i64::MAX));
            }
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics can't be written");
            String::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use millrace_core::{
        Position, SequenceNumber, ShardId, ShardMap, StreamConfig, StreamEntry, StreamState,
    };

    fn stream(number: u128) -> Stream {
        let entry = StreamEntry {
            data: DataId::from_random(number),
            state: StreamState::Active,
            created_ms: 0,
            config: StreamConfig::default(),
        };
        let map = Some(Arc::new(ShardMap::new(3, 0)));
        Stream {
            namespace: "team-a".into(),
            name: format!("s{number}"),
            entry,
            map,
            attributes: Arc::default(),
        }
    }

    fn put_one(metrics: &Metrics, stream: &Stream) {
        let record = Record {
            partition_key: "key".into(),
            explicit_hash_key: None,
            data: Bytes::from_static(b"12345"),
        };
        let sequence = SequenceNumber { epoch: 1, position: Position { pack: 1, index: 0 } };
        metrics.put(stream, &[record], &[Ok(Placed { shard: ShardId(0), sequence })]);
    }

    #[test]
    fn records_are_counted_by_outcome_and_stream() {
        let (metrics, stream) = (Metrics::default(), stream(1));
        put_one(&metrics, &stream);
        put_one(&metrics, &stream);
        let text = metrics.render(&[Arc::new(stream.clone())]);
        for line in [
            "millrace_records_in_total{outcome=\"stored\"} 2",
            "millrace_records_in_total{outcome=\"throttled\"} 0",
            "millrace_bytes_in_total 16",
            "millrace_stream_bytes_in_total{namespace=\"team-a\",stream=\"s1\"} 16",
            "millrace_stream_open_shards{namespace=\"team-a\",stream=\"s1\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn requests_are_counted_by_operation_and_outcome() {
        let metrics = Metrics::default();
        metrics.request(Some("PutRecord"), None, Duration::from_millis(3));
        metrics.request(Some("PutRecord"), Some("ResourceNotFoundException"), Duration::from_millis(3));
        metrics.request(None, Some("UnknownOperationException"), Duration::ZERO);
        let text = metrics.render(&[]);
        for line in [
            "millrace_requests_total{operation=\"PutRecord\",outcome=\"ok\"} 1",
            "millrace_requests_total{operation=\"PutRecord\",outcome=\"ResourceNotFoundException\"} 1",
            "millrace_requests_total{operation=\"unknown\",outcome=\"UnknownOperationException\"} 1",
            "millrace_request_seconds_bucket{operation=\"PutRecord\",le=\"0.005\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn only_so_many_streams_have_labels_and_those_that_are_gone_make_room() {
        let metrics = Metrics::default();
        for number in 0..LABELLED_STREAMS as u128 + 7 {
            put_one(&metrics, &stream(number));
        }
        let text = metrics.render(&[]);
        let other = "millrace_stream_records_in_total{namespace=\"_other\",stream=\"_other\"} 7";
        assert!(text.lines().any(|found| found == other), "{text}");
        assert_eq!(text.matches("stream=\"s").count(), 0, "none of them is there any more");
        put_one(&metrics, &stream(5_000));
        let text = metrics.render(&[Arc::new(stream(5_000))]);
        assert!(text.contains("{namespace=\"team-a\",stream=\"s5000\"} 1"), "{text}");
    }

    #[test]
    fn a_figure_is_asked_for_when_the_metrics_are_rendered() {
        let metrics = Metrics::default();
        metrics.ask("millrace_peers_alive", "Other brokers that are alive.", || 2.0);
        assert!(metrics.render(&[]).contains("\nmillrace_peers_alive 2\n"));
    }
}
