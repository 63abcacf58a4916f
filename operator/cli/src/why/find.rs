//! Finding out: from a Stream's status on a cluster, or from a `millrace dev`.

use anyhow::{anyhow, bail};
use http::StatusCode;
use kube::ResourceExt;
use millrace_crds::Stream;
use millrace_server::http::Asker;

use super::answer::{Answer, Known};
use super::serve::{PATH, Refusal};
use super::steps::Place;
use crate::kubernetes::{Cluster, named, no_stream};
use crate::status::list;

/// Reads the Stream's status, with the user's own rights.
pub(super) async fn on_cluster(cluster: &Cluster, name: &str) -> anyhow::Result<Answer> {
    let namespace = cluster.namespace.as_str();
    let streams: Vec<Stream> = list(cluster, "streams.millrace.dev", Some(namespace)).await?;
    let stream = named(&streams, name).ok_or_else(|| no_stream(&streams, name, namespace))?;
    let status = stream.status.as_ref();
    let config = stream.spec.config().ok();
    let known = Known {
        stream: stream.stream_name(),
        namespace,
        config: config.as_ref(),
        open_shards: status.and_then(|status| status.open_shards),
        reshards: status.and_then(|status| status.reshards),
        autoscaler: status.and_then(|status| status.autoscaler.as_ref()),
    };
    let (object, broker) = (stream.name_any(), stream.spec.broker_ref.name.clone());
    Ok(Answer::of(&known, &Place::Cluster { object, broker }))
}

/// Asks a `millrace dev`.
pub(super) async fn in_dev(endpoint: &str, name: &str) -> anyhow::Result<Answer> {
    let place = endpoint.trim_end_matches('/');
    let asked = Asker::default().get(&format!("{place}{PATH}{name}")).await;
    let (status, body) = asked.map_err(|error| {
        anyhow!(
            "{place} does not answer: {error}; start it with `millrace dev`, or name another with --endpoint"
        )
    })?;
    match (status, serde_json::from_slice::<Refusal>(&body)) {
        (StatusCode::OK, _) => Ok(serde_json::from_slice(&body)?),
        (_, Ok(refusal)) => bail!(refusal.error),
        (_, Err(_)) => bail!(
            "{place} is no `millrace dev` that tells why (it does not with --auth, which its own lines do): on a cluster \
             it is the Stream's status that tells, name its namespace with -n"
        ),
    }
}
