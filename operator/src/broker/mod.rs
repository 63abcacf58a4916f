//! The Broker's reconciler: resolve → build → apply → report.

mod apply;
pub mod build;
pub mod certificates;
pub mod names;
pub mod pods;
pub mod report;
pub mod resolve;
pub mod roll;

pub use names::Names;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use millrace_crds::Broker;

use crate::context::Context;
use crate::events::Tale;
use crate::links::Usage;
use crate::status;
use build::Plan;
use report::Findings;
use resolve::Live;

/// How soon to look again at what tells nobody when it changes: the log's state while pods are replaced.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How soon to try again what the API server has refused, which its quotas and rights may allow by then, and to ask a
/// log server's keeper again why it is not ready.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How often a Broker is looked at when nothing happens: certificates and storage have to be watched.
const LOOK_AT_REST: Duration = Duration::from_secs(300);

/// Why a round was not finished. The next one begins anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused something or did not answer.
    #[error("{what}: {}", said(source))]
    Kube {
        /// What was being done.
        what: String,
        /// What it said.
        #[source]
        source: kube::Error,
    },
    /// Certificates can't be made.
    #[error("certificates can't be made: {0}")]
    Certificates(#[from] millrace_certificates::IssueError),
}

/// What an API error says to a reader.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(answer) => answer.message.clone(),
        error => error.to_string(),
    }
}

/// Notes on an API error what was being done.
pub(crate) fn doing<'a>(what: impl Into<String> + 'a) -> impl FnOnce(kube::Error) -> Error + 'a {
    move |source| Error::Kube { what: what.into(), source }
}

/// Brings a Broker nearer to what its spec says. Any number of these may end at any point: each begins by looking at
/// what is there.
///
/// # Errors
/// When the API server refuses something or does not answer. The round after it goes on.
pub async fn reconcile(broker: Arc<Broker>, context: Arc<Context>) -> Result<Action, Error> {
    let names = Names::of(&broker);
    if broker.metadata.deletion_timestamp.is_some() {
        // What it owns is removed by Kubernetes; volumes and the first access key stay.
        crate::follow::forget(&names, &context);
        return Ok(Action::await_change());
    }
    let client = &context.client;
    let mut live = Live::read(client, &names).await.map_err(doing("looking at the pods"))?;
    live.ask(&*context.links).await;
    let plan = Plan {
        broker: &broker,
        names: names.clone(),
        settings: &context.settings,
        claimed_size: live.claimed_size(),
    };
    live.read_objects(client, &plan).await.map_err(doing("looking at the objects"))?;
    let done = apply::apply(&context, &plan, &live).await?;
    let link = context.links.get(&names);
    let found = Findings {
        broker: &broker,
        live: &live,
        problem: done.problem.clone(),
        linked: link.is_some(),
        usage: link
            .as_ref()
            .and_then(|link| link.observe.stored_bytes())
            .map(|stored_bytes| Usage { stored_bytes, limit_bytes: build::capacity_bytes(&broker) }),
        certificates: done.certificates.clone(),
    };
    let new = report::status(&found, &names, &context.settings, &context.now());
    for tale in tales(&broker, &new, &done) {
        context.teller.tell(&*broker, tale).await;
    }
    if broker.status.as_ref() != Some(&new) {
        status::write(client, &*broker, &new).await.map_err(doing("writing the status"))?;
    }
    context.metrics.broker(&names, &new, found.usage);
    let waits_for_others = done.problem.is_some() || live.pods.iter().any(|pod| pod.said.is_some());
    let wait = match waits_for_others {
        _ if done.look_again => LOOK_AGAIN,
        true => ASK_AGAIN,
        false => LOOK_AT_REST,
    };
    Ok(Action::requeue(wait))
}

/// What this round has to tell.
fn tales(broker: &Broker, new: &millrace_crds::BrokerStatus, done: &apply::Done) -> Vec<Tale> {
    use millrace_crds::condition::{Kind, find};
    let mut tales = done.tales.clone();
    let old = broker.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let (before, now) = (find(old, Kind::Ready), find(&new.conditions, Kind::Ready));
    if let Some(now) = now
        && before.is_none_or(|before| before.reason != now.reason)
    {
        let is_stuck = find(&new.conditions, Kind::Stalled).is_some();
        tales.push(Tale { warning: is_stuck, reason: now.reason.clone(), note: now.message.clone() });
    }
    if let Some(full) = find(&new.conditions, Kind::StorageFull)
        && find(old, Kind::StorageFull).is_none()
    {
        tales.push(Tale::warning("LogFull", full.message.clone()));
    }
    tales
}

/// The key that a Broker is remembered under.
pub(crate) fn key(broker: &Broker) -> String {
    format!("{}/{}", broker.namespace().unwrap_or_default(), broker.uid().unwrap_or_default())
}
