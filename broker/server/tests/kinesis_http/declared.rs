//! Streams that are declared elsewhere: the declaration goes first, and KV follows in the same call.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use millrace_core::{DataId, StreamConfig, StreamEntry, StreamState};
use millrace_server::broker::{ControlError, Declarations};
use parking_lot::Mutex;
use serde_json::json;

use crate::api::{Api, Options};

/// Notes what is declared, and lets a test come in between the declaration and KV.
#[derive(Default)]
struct Declared {
    calls: Mutex<Vec<String>>,
    refuses: Mutex<Option<ControlError>>,
    /// What the operator makes of KV before the broker comes to it.
    entry: Mutex<Option<StreamEntry>>,
    api: OnceLock<Weak<Api>>,
}

impl Declared {
    async fn note(&self, call: String) -> Result<(), ControlError> {
        self.calls.lock().push(call);
        let entry = self.entry.lock().take();
        if let (Some(entry), Some(api)) = (entry, self.api.get().and_then(Weak::upgrade)) {
            api.put_entry("team-a", "orders", &entry).await;
        }
        self.refuses.lock().take().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Declarations for Declared {
    async fn create(&self, namespace: &str, name: &str, config: &StreamConfig) -> Result<(), ControlError> {
        self.note(format!("create {namespace}/{name} with {}", config.shards)).await
    }

    async fn delete(&self, namespace: &str, name: &str) -> Result<(), ControlError> {
        self.note(format!("delete {namespace}/{name}")).await
    }

    async fn configure(
        &self,
        namespace: &str,
        name: &str,
        change: &(dyn for<'c> Fn(&'c mut StreamConfig) + Send + Sync),
    ) -> Result<(), ControlError> {
        let mut config = StreamConfig::default();
        change(&mut config);
        self.note(format!("configure {namespace}/{name} for {} s", config.retention_s)).await
    }
}

async fn start() -> (Arc<Api>, Arc<Declared>) {
    let declared = Arc::new(Declared::default());
    let declarations: Option<Arc<dyn Declarations>> = Some(declared.clone());
    let api = Arc::new(Api::start_with(Options { declarations, ..Options::default() }).await);
    let _ = declared.api.set(Arc::downgrade(&api));
    (api, declared)
}

fn entry(data: u128, state: StreamState) -> StreamEntry {
    StreamEntry { data: DataId::from_random(data), state, created_ms: 0, config: StreamConfig::default() }
}

#[tokio::test]
async fn a_control_call_changes_the_declaration_and_kv() {
    let (api, declared) = start().await;
    api.ok("CreateStream", json!({"StreamName": "orders", "ShardCount": 3})).await;
    assert_eq!(api.entry("team-a", "orders").await.unwrap().config.shards, 3);
    api.change_entry("team-a", "orders", |entry| entry.state = StreamState::Active).await;
    api.make_stream("team-a", "logs", 1).await;
    api.ok("IncreaseStreamRetentionPeriod", json!({"StreamName": "logs", "RetentionPeriodHours": 48})).await;
    assert_eq!(api.entry("team-a", "logs").await.unwrap().config.retention_s, 48 * 3_600);
    api.ok("DeleteStream", json!({"StreamName": "orders"})).await;
    assert_eq!(api.entry("team-a", "orders").await.unwrap().state, StreamState::Deleting);
    let expected =
        ["create team-a/orders with 3", "configure team-a/logs for 172800 s", "delete team-a/orders"];
    assert_eq!(*declared.calls.lock(), expected);
}

#[tokio::test]
async fn what_the_declaration_refuses_changes_nothing() {
    let (api, declared) = start().await;
    let why = || "no more than 5 streams".to_owned();
    for (refused, name, status) in [
        (ControlError::Refused(why()), "InvalidArgumentException", 400),
        (ControlError::TooMany(why()), "LimitExceededException", 400),
        (ControlError::Forbidden(why()), "AccessDeniedException", 400),
        (ControlError::Exists("orders".into()), "ResourceInUseException", 400),
        (ControlError::Unavailable(why()), "InternalFailureException", 500),
    ] {
        *declared.refuses.lock() = Some(refused);
        let answer = api.call("CreateStream", json!({"StreamName": "orders", "ShardCount": 3})).await;
        assert_eq!(answer.error(), (name.to_owned(), status));
        if status == 400 && name != "ResourceInUseException" {
            assert_eq!(answer.json()["message"], why());
        }
        assert_eq!(api.entry("team-a", "orders").await, None);
    }
}

#[tokio::test]
async fn a_stream_that_the_operator_made_first_is_made() {
    let (api, declared) = start().await;
    let made = entry(5, StreamState::Creating);
    *declared.entry.lock() = Some(made.clone());
    api.ok("CreateStream", json!({"StreamName": "orders", "ShardCount": 3})).await;
    assert_eq!(api.entry("team-a", "orders").await, Some(made));
}

#[tokio::test]
async fn deleting_a_stream_removes_none_that_was_made_under_its_name_since() {
    let (api, declared) = start().await;
    api.make_stream("team-a", "orders", 1).await;
    let newer = entry(5, StreamState::Active);
    *declared.entry.lock() = Some(newer.clone());
    api.ok("DeleteStream", json!({"StreamName": "orders"})).await;
    assert_eq!(api.entry("team-a", "orders").await, Some(newer));
}
