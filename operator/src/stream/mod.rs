//! The Stream's reconciler: resolve → decide → apply → report.

mod apply;
pub mod autoscaler;
pub mod decide;
pub mod report;
pub mod resolve;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::controller::Action;
use millrace_core::StreamState;
use millrace_core::map::StoredFormatError;
use millrace_crds::condition::{Kind, find};
use millrace_crds::{Stream, StreamStatus};
use millrace_log::KvError;

use crate::context::Context;
use crate::events::Tale;
use crate::status;
use decide::{Blocked, Step, decide};
use resolve::resolve;

/// How many steps a round takes at most. There are never more than a few.
const MOST_STEPS: usize = 8;
/// How soon to look again at what tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a round was not finished. The next one begins anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused something or did not answer.
    #[error("{what}: {}", crate::broker::said(source))]
    Kube {
        /// What was being done.
        what: &'static str,
        /// What it said.
        #[source]
        source: kube::Error,
    },
    /// The log did not answer.
    #[error("the Broker's log: {0}")]
    Log(#[from] KvError),
    /// The log holds what can't be read.
    #[error("the Broker's log holds what this version can't read: {0}")]
    Unreadable(#[from] StoredFormatError),
    /// Others change it all the time.
    #[error("the Stream changes faster than it can be reconciled")]
    Restless,
}

impl Error {
    pub(crate) fn kube(what: &'static str, source: kube::Error) -> Error {
        Error::Kube { what, source }
    }
}

/// Brings a Stream nearer to what its spec says. Any number of these may end at any point: each step is decided on
/// what is there.
///
/// # Errors
/// When the API server or the log does not answer. The round after it goes on.
pub async fn reconcile(stream: Arc<Stream>, context: Arc<Context>) -> Result<Action, Error> {
    let mut stream = stream;
    for _ in 0..MOST_STEPS {
        let found = resolve(&stream, &context).await?;
        let step = decide(&stream, &found);
        if !apply::apply(&stream, &found, &step, &context).await? {
            report(&stream, &found, &step, &context).await?;
            let waits = matches!(&step, Step::Blocked(Blocked::NoBrokerToDelete));
            return Ok(if waits { Action::requeue(LOOK_AGAIN) } else { Action::await_change() });
        }
        if let Some(tale) = done(&stream, &found, &step) {
            context.teller.tell(&*stream, tale).await;
        }
        match step {
            Step::RemoveFinalizer => return Ok(Action::await_change()),
            Step::AddFinalizer => match again(&stream, &context).await? {
                Some(now) => stream = Arc::new(now),
                None => return Ok(Action::await_change()),
            },
            _ => {}
        }
    }
    Err(Error::Restless)
}

/// The object as it is now, unless it is gone.
async fn again(stream: &Stream, context: &Context) -> Result<Option<Stream>, Error> {
    let namespace = stream.namespace().unwrap_or_default();
    let streams: Api<Stream> = Api::namespaced(context.client.clone(), &namespace);
    let now = streams.get_opt(&stream.name_any()).await;
    let now = now.map_err(|source| Error::kube("looking at the Stream again", source))?;
    Ok(now.filter(|now| now.metadata.uid == stream.metadata.uid))
}

/// What is to be told of a step that was taken.
fn done(stream: &Stream, found: &resolve::Found, step: &Step) -> Option<Tale> {
    let (Step::Change(entry), Some(stored)) = (step, &found.stored) else { return None };
    let name = stream.stream_name();
    match (stored.entry.state, entry.state) {
        (before, after) if before == after => None,
        (StreamState::Retained, _) => {
            let note = format!("The records that were kept under the name {name} are served again.");
            Some(Tale::normal("DataFound", note))
        }
        (_, StreamState::Retained) => {
            let broker = &stream.spec.broker_ref.name;
            let note =
                format!("The records stay in Broker {broker}: a Stream of the name {name} finds them again.");
            Some(Tale::normal("DataRetained", note))
        }
        (_, StreamState::Deleting) => {
            Some(Tale::normal("DataDeleted", "The records are deleted, as deletionPolicy says."))
        }
        _ => None,
    }
}

/// Writes the status, if it says something new, and tells what has happened since.
async fn report(
    stream: &Stream,
    found: &resolve::Found,
    step: &Step,
    context: &Context,
) -> Result<(), Error> {
    if *step == Step::Blocked(Blocked::NoLog) && is_served(stream, found) {
        return Ok(());
    }
    let new = report::status(stream, found, step, &context.settings.region, &context.now());
    if stream.status.as_ref() == Some(&new) {
        return Ok(());
    }
    for tale in tales(stream, &new) {
        context.teller.tell(stream, tale).await;
    }
    status::write(&context.client, stream, &new).await.map_err(|e| Error::kube("writing the status", e))
}

/// Whether the stream is as it was last said, as far as others can tell: an operator that has just begun is not
/// connected to the log as yet, which takes nothing from a stream that brokers serve.
fn is_served(stream: &Stream, found: &resolve::Found) -> bool {
    let is_ready =
        |conditions: &[Condition]| find(conditions, Kind::Ready).is_some_and(|ready| ready.status == "True");
    let broker = found.broker.as_ref().and_then(|broker| broker.status.as_ref());
    let status = stream.status.as_ref();
    broker.is_some_and(|status| is_ready(&status.conditions))
        && status.is_some_and(|status| {
            is_ready(&status.conditions) && status.observed_generation == stream.metadata.generation
        })
}

/// What has happened between two statuses.
fn tales(stream: &Stream, new: &StreamStatus) -> Vec<Tale> {
    let mut tales = Vec::new();
    let old = stream.status.clone().unwrap_or_default();
    let (before, now) = (find(&old.conditions, Kind::Ready), find(&new.conditions, Kind::Ready));
    if let Some(now) = now
        && before.is_none_or(|before| before.reason != now.reason)
        && now.reason != "Configuring"
    {
        let is_stuck = find(&new.conditions, Kind::Stalled).is_some();
        tales.push(Tale { warning: is_stuck, reason: now.reason.clone(), note: now.message.clone() });
    }
    if let (Some(before), Some(now)) = (old.open_shards, new.open_shards)
        && before != now
    {
        tales.push(Tale::normal("Resharded", format!("Open shards: {before} before, {now} now.")));
    }
    if let Some(full) = find(&new.conditions, Kind::StorageFull)
        && find(&old.conditions, Kind::StorageFull).is_none()
    {
        tales.push(Tale::warning("QuotaFull", full.message.clone()));
    }
    if find(&old.conditions, Kind::HotKey).is_some() && find(&new.conditions, Kind::HotKey).is_none() {
        tales.push(Tale::normal("HotKeyGone", "No key alone brings more than a shard takes any more."));
    }
    tales
}
