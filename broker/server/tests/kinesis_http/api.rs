//! A broker behind a listener, and a client that signs as the AWS SDKs do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as SignerCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millrace_core::{
    CapacityMode, DataId, Lane, Limits, ShardMap, StreamConfig, StreamEntry, StreamState, keys,
};
use millrace_log::memory::{Change, Faults, MemoryCluster};
use millrace_log::{Kv, LaneAddress, LaneConfig, Log};
use millrace_server::broker::{Broker, BrokerParts, Declarations, NoPeers, Settings};
use millrace_server::clock::{Clock, SystemClock};
use millrace_server::http::{BodyBudget, BodyLimits, ListenerConfig, Readiness, Router, serve};
use millrace_server::kinesis::{Account, Kinesis, MAX_REQUEST_BYTES};
use millrace_server::sigv4::{AccessKey, Credentials, Verifier};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const JSON: &str = "application/x-amz-json-1.1";
pub(crate) const CBOR: &str = "application/x-amz-cbor-1.1";

/// The system's clock, and how far a test has put it on.
#[derive(Default)]
pub(crate) struct TestClock {
    ahead_ms: AtomicI64,
    /// When it was stopped; 0 while it goes.
    stopped_ms: AtomicI64,
}

impl TestClock {
    pub(crate) fn put_on(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// From now on only [`TestClock::put_on`] moves it.
    pub(crate) fn stop(&self) {
        self.stopped_ms.store(SystemClock.now_ms(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        let now_ms = match self.stopped_ms.load(Ordering::SeqCst) {
            0 => SystemClock.now_ms(),
            stopped_ms => stopped_ms,
        };
        now_ms + self.ahead_ms.load(Ordering::SeqCst)
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// Bounds that a test may want tighter.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) listener: ListenerConfig,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) bodies_bytes: Option<usize>,
    pub(crate) answers_bytes: Option<usize>,
    pub(crate) declarations: Option<Arc<dyn Declarations>>,
}

pub(crate) struct Api {
    pub(crate) address: String,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) readiness: Readiness,
    memory: MemoryCluster,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: CancellationToken,
    served: Mutex<Option<JoinHandle<()>>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of<B>(response: Response<B>) -> Answer
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// The body as a value, whichever of the two forms it has.
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        if self.headers["content-type"] == CBOR {
            return minicbor_serde::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The error's name and status.
    pub(crate) fn error(&self) -> (String, u16) {
        (self.json()["__type"].as_str().unwrap_or_default().to_owned(), self.status)
    }
}

impl Api {
    pub(crate) async fn start() -> Api {
        Api::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Api {
        let clock = Arc::new(TestClock::default());
        let memory = MemoryCluster::new(1, clock.now_ms(), Faults::none());
        Api::serve(clock, memory, options).await
    }

    /// Another broker over the same log.
    pub(crate) async fn another(&self) -> Api {
        Api::serve(self.clock.clone(), self.memory.clone(), Options::default()).await
    }

    async fn serve(clock: Arc<TestClock>, memory: MemoryCluster, options: Options) -> Api {
        let connection = Arc::new(memory.connect("broker"));
        let broker = Broker::start(BrokerParts {
            log: connection.clone(),
            kv: connection.clone(),
            heartbeats: connection,
            peers: Arc::new(NoPeers),
            clock: clock.clone(),
            declarations: options.declarations,
            address: String::new(),
            settings: Settings::default(),
        });
        let broker = Arc::new(broker.await.unwrap());
        let access_key =
            |namespace: &str| AccessKey { secret: secret(namespace).into(), namespace: namespace.into() };
        let known = ["team-a", "team-b"].map(|namespace| (namespace.to_owned(), access_key(namespace)));
        let verifier = Arc::new(Verifier::new(Credentials::Known(HashMap::from(known))));
        let body = BodyLimits {
            max_bytes: MAX_REQUEST_BYTES,
            timeout: options.body_timeout.unwrap_or(Duration::from_secs(30)),
            budget: BodyBudget::new(options.bodies_bytes.unwrap_or(64 << 20)),
        };
        let readiness = Readiness::default();
        let stop = CancellationToken::new();
        let answers = BodyBudget::new(options.answers_bytes.unwrap_or(64 << 20));
        let kinesis = Arc::new(Kinesis::new(broker.clone(), verifier, body, answers, stop.clone()));
        let router = Arc::new(Router::new(vec![kinesis], readiness.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = tokio::spawn(serve(listener, router, options.listener, stop.clone().cancelled_owned()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let served = Mutex::new(Some(served));
        Api { address, clock, broker, readiness, memory, client, stop, served }
    }

    /// Makes a stream as the controller does, and waits until the broker knows it.
    pub(crate) async fn make_stream(&self, namespace: &str, name: &str, shards: u32) -> DataId {
        let config = StreamConfig {
            mode: CapacityMode::Provisioned,
            shards,
            limits: Limits::None,
            ..StreamConfig::default()
        };
        self.make_stream_with(namespace, name, config).await
    }

    pub(crate) async fn make_stream_with(&self, namespace: &str, name: &str, config: StreamConfig) -> DataId {
        let connection = self.memory.connect("controller");
        let data = DataId::from_random(rand::random());
        let map = ShardMap::new(config.shards, self.clock.now_ms());
        for lane in 0..map.lanes {
            let lane = LaneAddress { data: data.clone(), lane: Lane(lane) };
            let kept = LaneConfig { max_age_s: config.retention_s, max_bytes: 1 << 30 };
            connection.ensure_lane(&lane, &kept).await.unwrap();
        }
        connection.create(&keys::map(&data), map.encode().into()).await.unwrap();
        let created_ms = self.clock.now_ms();
        let entry = StreamEntry { data: data.clone(), state: StreamState::Active, created_ms, config };
        connection.create(&keys::stream(namespace, name), entry.encode().into()).await.unwrap();
        self.until(|| self.broker.stream(namespace, name).is_some_and(|stream| stream.map.is_some())).await;
        data
    }

    /// Puts a stream's entry where one is or is not, as the operator does.
    pub(crate) async fn put_entry(&self, namespace: &str, name: &str, entry: &StreamEntry) {
        let connection = self.memory.connect("operator");
        let key = keys::stream(namespace, name);
        connection.delete(&key, None).await.unwrap();
        connection.create(&key, entry.encode().into()).await.unwrap();
    }

    /// A stream's entry as it is now.
    pub(crate) async fn entry(&self, namespace: &str, name: &str) -> Option<StreamEntry> {
        let found = self.memory.connect("operator").get(&keys::stream(namespace, name)).await.unwrap();
        found.map(|found| StreamEntry::decode(&found.value).unwrap())
    }

    /// Changes a stream's entry as the operator does.
    pub(crate) async fn change_entry(&self, namespace: &str, name: &str, change: impl Fn(&mut StreamEntry)) {
        let connection = self.memory.connect("operator");
        let key = keys::stream(namespace, name);
        let found = connection.get(&key).await.unwrap().expect("the stream is there");
        let mut entry = StreamEntry::decode(&found.value).unwrap();
        change(&mut entry);
        connection.update(&key, entry.encode().into(), found.revision).await.unwrap();
    }

    /// Waits until the broker knows what `holds` asks for.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        let mut changes = self.broker.changes();
        let reached = async {
            while !holds() {
                changes.changed().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("it never came to be");
    }

    /// What has changed in log and key-value store, counted from now on.
    pub(crate) fn watch_changes(&self) -> Arc<Mutex<Vec<Change>>> {
        let changes: Arc<Mutex<Vec<Change>>> = Arc::default();
        let seen = changes.clone();
        self.memory.observe(move |event| {
            if matches!(
                event.change,
                Change::Appended { .. } | Change::Written { .. } | Change::Removed { .. }
            ) {
                seen.lock().push(event.change.clone());
            }
        });
        changes
    }

    /// The request that an SDK would send.
    pub(crate) fn request(&self, namespace: &str, operation: &str, body: &[u8]) -> Request<Full<Bytes>> {
        self.request_of(JSON, namespace, operation, body)
    }

    /// The request that an SDK would send in this form.
    pub(crate) fn request_of(
        &self,
        content_type: &str,
        namespace: &str,
        operation: &str,
        body: &[u8],
    ) -> Request<Full<Bytes>> {
        let target = format!("Kinesis_20131202.{operation}");
        let headers =
            [("host", self.address.as_str()), ("content-type", content_type), ("x-amz-target", &target)];
        let identity = SignerCredentials::new(namespace, secret(namespace), None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("kinesis")
            .time(UNIX_EPOCH + Duration::from_millis(self.clock.now_ms() as u64))
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let uri = format!("http://{}/", self.address);
        let signable =
            SignableRequest::new("POST", &uri, headers.iter().copied(), SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = Request::post(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        request
    }

    /// Sends a request whose answer is not awaited as a whole.
    pub(crate) async fn begin(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.client.request(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.client.request(request).await.unwrap()).await
    }

    /// Calls an operation as somebody of the namespace `team-a`.
    pub(crate) async fn call(&self, operation: &str, input: Value) -> Answer {
        self.call_as("team-a", operation, input).await
    }

    pub(crate) async fn call_as(&self, namespace: &str, operation: &str, input: Value) -> Answer {
        self.send(self.request(namespace, operation, input.to_string().as_bytes())).await
    }

    /// Calls an operation that has to succeed.
    pub(crate) async fn ok(&self, operation: &str, input: Value) -> Value {
        let answer = self.call(operation, input).await;
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        answer.json()
    }

    pub(crate) fn arn(&self, namespace: &str, stream: &str) -> String {
        Account::of_namespace(namespace).stream_arn(REGION, stream)
    }

    /// An iterator of `team-a`'s stream.
    pub(crate) async fn iterator(&self, stream: &str, shard: &str, kind: &str, more: Value) -> String {
        let mut input = json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": kind});
        input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.ok("GetShardIterator", input).await["ShardIterator"].as_str().unwrap().to_owned()
    }

    /// Stops the listener and waits for its end.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let served = self.served.lock().take();
        served.unwrap().await.unwrap();
    }
}

fn secret(namespace: &str) -> String {
    format!("{namespace}/secret+key")
}
