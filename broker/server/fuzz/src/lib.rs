//! The Kinesis API on a log in memory, whose time passes only when nothing else is left to do: one input, one run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use millrace_core::{
    CapacityMode, DataId, Lane, Limits, ShardMap, StreamConfig, StreamEntry, StreamState, keys,
};
use millrace_log::memory::{Faults, MemoryCluster};
use millrace_log::{Kv, LaneAddress, LaneConfig, Log};
use millrace_server::broker::{Broker, BrokerParts, NoPeers, Settings};
use millrace_server::clock::Clock;
use millrace_server::http::{Api as _, Body, BodyBudget, BodyLimits, full};
use millrace_server::kinesis::{Account, Kinesis, MAX_REQUEST_BYTES};
use millrace_server::sigv4::{ANY_NAMESPACE, Credentials, Verifier};
use minicbor::Decoder;
use minicbor::data::Type;
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub const JSON: &str = "application/x-amz-json-1.1";
pub const CBOR: &str = "application/x-amz-cbor-1.1";
/// 2026-01-01T00:00:00Z.
pub const NOW_MS: i64 = 1_767_225_600_000;
const DATE: &str = "20260101T000000Z";
/// Every call ends within this long; subscriptions, which go on, are begun within it.
const PATIENCE: Duration = Duration::from_secs(600);

/// The clock of one run: tokio's, which is paused, and random numbers that are always the same.
struct RunClock {
    began: Instant,
    drawn: AtomicU64,
}

impl Clock for RunClock {
    fn now_ms(&self) -> i64 {
        NOW_MS + self.began.elapsed().as_millis() as i64
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

/// A broker with the stream `orders` of two shards, and the API before it, which takes any credentials.
pub struct Api {
    runtime: Runtime,
    broker: Arc<Broker>,
    kinesis: Kinesis,
}

impl Api {
    pub fn start() -> Api {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (broker, kinesis) = runtime.block_on(start());
        Api { runtime, broker, kinesis }
    }

    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The answer's head and the beginning of its body: all of it, but of a subscription the events of a minute.
    pub fn call(&self, content_type: &str, operation: &str, body: impl Into<Bytes>) -> (u16, Bytes) {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=k/{}/us-east-1/kinesis/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, Signature={}",
            &DATE[..8],
            "0".repeat(64)
        );
        let request = Request::post("/")
            .header("host", "h")
            .header("content-type", content_type)
            .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
            .header("x-amz-date", DATE)
            .header("authorization", authorization)
            .body(full(body))
            .unwrap();
        self.runtime.block_on(async {
            let answered = tokio::time::timeout(PATIENCE, self.kinesis.answer(request)).await;
            beginning(answered.expect("the call never ended")).await
        })
    }

    /// What a call is answered with that has to succeed.
    pub fn ok(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.call(JSON, operation, input.to_string());
        assert_eq!(status, 200, "{operation}: {body:?}");
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }

    pub fn stream_arn(&self) -> String {
        Account::of_namespace(ANY_NAMESPACE).stream_arn("us-east-1", "orders")
    }
}

async fn beginning(answer: Response<Body>) -> (u16, Bytes) {
    let (head, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    let all = async {
        while let Some(frame) = body.frame().await {
            bytes.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    };
    // A subscription lasts longer; what has come by then is enough.
    let _ = tokio::time::timeout(Duration::from_secs(60), all).await;
    (head.status.as_u16(), bytes.into())
}

async fn start() -> (Arc<Broker>, Kinesis) {
    let clock = Arc::new(RunClock { began: Instant::now(), drawn: AtomicU64::new(1) });
    let memory = MemoryCluster::new(1, NOW_MS, Faults::none());
    let connection = Arc::new(memory.connect("broker"));
    make_stream(&*connection).await;
    let broker = Broker::start(BrokerParts {
        log: connection.clone(),
        kv: connection.clone(),
        heartbeats: connection,
        peers: Arc::new(NoPeers),
        clock,
        declarations: None,
        address: String::new(),
        settings: Settings::default(),
    });
    let broker = Arc::new(broker.await.unwrap());
    let mut changes = broker.changes();
    while broker.stream(ANY_NAMESPACE, "orders").is_none_or(|stream| stream.map.is_none()) {
        changes.changed().await;
    }
    let limits = BodyLimits {
        max_bytes: MAX_REQUEST_BYTES,
        timeout: Duration::from_secs(30),
        budget: BodyBudget::new(64 << 20),
    };
    let verifier = Arc::new(Verifier::new(Credentials::Any));
    let answers = limits.budget.clone();
    let kinesis = Kinesis::new(broker.clone(), verifier, limits, answers, CancellationToken::new());
    (broker, kinesis)
}

async fn make_stream(connection: &(impl Log + Kv)) {
    let config = StreamConfig {
        mode: CapacityMode::Provisioned,
        shards: 2,
        limits: Limits::None,
        ..StreamConfig::default()
    };
    let (data, map) = (DataId::from_random(7), ShardMap::new(config.shards, NOW_MS));
    for lane in 0..map.lanes {
        let lane = LaneAddress { data: data.clone(), lane: Lane(lane) };
        let kept = LaneConfig { max_age_s: config.retention_s, max_bytes: 1 << 30 };
        connection.ensure_lane(&lane, &kept).await.unwrap();
    }
    connection.create(&keys::map(&data), map.encode().into()).await.unwrap();
    let entry = StreamEntry { data, state: StreamState::Active, created_ms: NOW_MS, config };
    connection.create(&keys::stream(ANY_NAMESPACE, "orders"), entry.encode().into()).await.unwrap();
}

/// An answer has the form of its request, and what went wrong is the caller's fault.
pub fn check_answer(form: &str, operation: &str, (status, body): (u16, Bytes)) {
    assert!(status < 500 || status == 501, "{operation}: {status} {body:?}");
    if body.is_empty() || (operation == "SubscribeToShard" && status == 200) {
        return;
    }
    let members = match form {
        CBOR => cbor_members(&body).expect("CBOR"),
        _ => serde_json::from_slice::<Map<String, Value>>(&body)
            .expect("JSON")
            .into_iter()
            .map(|m| m.0)
            .collect(),
    };
    assert_eq!(members.iter().any(|name| name == "__type"), status != 200, "{operation}: {members:?}");
}

/// The members of an answer, all of which is CBOR. Times in it have tags, which serde's values know nothing of.
fn cbor_members(body: &[u8]) -> Result<Vec<String>, minicbor::decode::Error> {
    let mut decoder = Decoder::new(body);
    let mut members = Vec::new();
    let mut left = decoder.map()?;
    while left != Some(0) && (left.is_some() || decoder.datatype()? != Type::Break) {
        members.push(decoder.str()?.to_owned());
        decoder.skip()?;
        left = left.map(|left| left - 1);
    }
    if left.is_none() {
        decoder.skip()?;
    }
    match decoder.position() == body.len() {
        true => Ok(members),
        false => Err(minicbor::decode::Error::message("more than one item")),
    }
}

/// What registers a consumer of the stream: its ARN.
pub fn register_consumer(api: &Api) -> String {
    let input = json!({"StreamARN": api.stream_arn(), "ConsumerName": "c"});
    api.ok("RegisterStreamConsumer", input)["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned()
}
