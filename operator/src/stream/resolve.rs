//! What is there of a Stream: reads only.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use millrace_autoscaler::Outlook;
use millrace_core::{ShardMap, StreamEntry, keys};
use millrace_crds::{Broker, Stream};
use millrace_server::controller::Told;

use super::Error;
use crate::apply::INSTANCE;
use crate::broker::Names;
use crate::context::Context;
use crate::links::{Failure, Link, Usage};

/// What is there of a Stream.
pub struct Found {
    /// The Broker that it names.
    pub broker: Option<Broker>,
    /// Another Stream that had the name first.
    pub rival: Option<String>,
    /// The way to its Broker's log.
    pub link: Option<Link>,
    /// What the log holds of it.
    pub stored: Option<Stored>,
    /// Whether there may be data of it on volumes, looked at when it is deleted without its Broker being there.
    pub may_have_data: bool,
}

/// What the log holds of a Stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The entry.
    pub entry: StreamEntry,
    /// The entry's revision.
    pub revision: u64,
    /// The shard map.
    pub map: Option<ShardMap>,
    /// Why its controller does not tend it.
    pub failure: Option<Failure>,
    /// How full it is.
    pub usage: Option<Usage>,
    /// What its autoscaler sees.
    pub outlook: Option<Arc<Outlook>>,
    /// What that has decided lately, oldest first.
    pub decisions: Vec<Told>,
}

/// Reads everything.
///
/// # Errors
/// When the API server or the log does not answer.
pub async fn resolve(stream: &Stream, context: &Context) -> Result<Found, Error> {
    let namespace = stream.namespace().unwrap_or_default();
    let rival = rival(stream, context).await?;
    let brokers: Api<Broker> = Api::namespaced(context.client.clone(), &namespace);
    let name = &stream.spec.broker_ref.name;
    let broker =
        brokers.get_opt(name).await.map_err(|source| Error::kube("looking at the Broker", source))?;
    let names = Names { namespace: namespace.clone(), broker: name.clone() };
    let link = broker.as_ref().and_then(|_| context.links.get(&names));
    let stored = match &link {
        Some(link) => stored(link, &namespace, stream.stream_name()).await?,
        None => None,
    };
    let is_deleted = stream.metadata.deletion_timestamp.is_some();
    let may_have_data = match is_deleted && broker.is_none() {
        true => {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
            let of_log =
                ListParams::default().labels(&format!("app.kubernetes.io/component=log,{INSTANCE}={name}"));
            let claims = claims.list(&of_log).await;
            let claims = claims.map_err(|source| Error::kube("looking for the Broker's volumes", source))?;
            claims.iter().any(|claim| claim.metadata.deletion_timestamp.is_none())
        }
        false => true,
    };
    Ok(Found { broker, rival, link, stored, may_have_data })
}

/// What the log holds of a stream.
///
/// # Errors
/// When it does not answer.
pub async fn stored(link: &Link, namespace: &str, name: &str) -> Result<Option<Stored>, Error> {
    let Some(found) = link.kv.get(&keys::stream(namespace, name)).await? else { return Ok(None) };
    let entry = StreamEntry::decode(&found.value)?;
    let map = link.kv.get(&keys::map(&entry.data)).await?;
    let map = map.map(|found| ShardMap::decode(&found.value)).transpose()?;
    let failure = link.observe.failure(namespace, name);
    let stored_bytes = link.observe.stored_bytes_of(&entry.data);
    let usage =
        stored_bytes.map(|stored_bytes| Usage { stored_bytes, limit_bytes: entry.config.quota_bytes });
    let outlook = link.observe.outlook(namespace, name);
    let decisions = link.observe.decisions(namespace, name);
    Ok(Some(Stored { entry, revision: found.revision, map, failure, usage, outlook, decisions }))
}

/// The Stream that has this one's name, if another has. A watch may tell of one that is gone, and another watch has
/// woken us because it is gone: nothing would wake us again, so the API server is asked.
async fn rival(stream: &Stream, context: &Context) -> Result<Option<String>, Error> {
    let namespace = stream.namespace().unwrap_or_default();
    let streams: Api<Stream> = Api::namespaced(context.client.clone(), &namespace);
    let mut others = (context.streams)(&namespace);
    while let Some(first) = first_of_name(stream, &others) {
        let (name, uid) = (first.name_any(), first.uid());
        let found = streams.get_opt(&name).await;
        let found = found.map_err(|source| Error::kube("looking at the Stream of the same name", source))?;
        if found.is_some_and(|found| found.uid() == uid) {
            return Ok(Some(name));
        }
        others.retain(|other| other.uid() != uid);
    }
    Ok(None)
}

/// Of the Streams that have this one's name that which has it before this one: which was made first, or is first by
/// its own name. One that is being deleted has it until it is gone.
fn first_of_name(stream: &Stream, others: &[Arc<Stream>]) -> Option<Arc<Stream>> {
    let age = |stream: &Stream| {
        let made = stream.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (made, stream.name_any())
    };
    let same = |other: &&Arc<Stream>| {
        other.metadata.uid != stream.metadata.uid && other.stream_name() == stream.stream_name()
    };
    let first = others.iter().filter(same).min_by_key(|other| age(other))?;
    (age(first) < age(stream)).then(|| first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn stream(object: &str, name: &str, second: i64) -> Arc<Stream> {
        let mut stream = Stream::new(object, Default::default());
        stream.spec.stream_name = Some(name.to_owned());
        stream.metadata.uid = Some(object.to_owned());
        stream.metadata.creation_timestamp = Timestamp::from_second(second).ok().map(Time);
        Arc::new(stream)
    }

    fn holder(stream: &Stream, all: &[Arc<Stream>]) -> Option<String> {
        first_of_name(stream, all).map(|first| first.name_any())
    }

    #[test]
    fn the_stream_that_was_made_first_has_the_name() {
        let all = [stream("a", "orders", 2), stream("b", "orders", 1), stream("c", "other", 0)];
        assert_eq!(holder(&all[0], &all).as_deref(), Some("b"));
        assert_eq!(holder(&all[1], &all), None);
        assert_eq!(holder(&all[2], &all), None);
    }

    #[test]
    fn of_two_that_were_made_at_once_exactly_one_has_the_name() {
        let all = [stream("a", "orders", 1), stream("b", "orders", 1)];
        assert_eq!(holder(&all[0], &all), None);
        assert_eq!(holder(&all[1], &all).as_deref(), Some("a"));
    }
}
