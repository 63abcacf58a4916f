//! Streams that the log serves although no resource asks for them: one whose object was removed without its finalizer
//! being heeded, or while its Broker was away. Their data is kept, as it is for every Stream that says nothing else.

use kube::api::{Api, ListParams};
use millrace_core::{StreamEntry, StreamState, keys};
use millrace_crds::Stream;
use millrace_log::KvError;

use crate::broker::Names;
use crate::context::Context;
use crate::stream::Error;

/// Lets the log keep, and no longer serve, what no Stream asks for. A broker that is asked for a stream by the API
/// makes the resource first, so that none is found here before its resource is.
///
/// # Errors
/// When the API server or the log does not answer.
pub(crate) async fn retain(broker: &Names, context: &Context) -> Result<(), Error> {
    let Some(link) = context.links.get(broker) else { return Ok(()) };
    // The log first: what is asked for between the two looks has its resource by the second.
    let stored = link.kv.list(keys::STREAMS).await?;
    let streams: Api<Stream> = Api::namespaced(context.client.clone(), &broker.namespace);
    let streams = streams.list(&ListParams::default()).await;
    let streams = streams.map_err(|source| Error::kube("looking for Streams", source))?.items;
    for found in stored {
        let Some((namespace, name)) = keys::parse_stream(&found.key) else { continue };
        let entry = StreamEntry::decode(&found.value)?;
        let is_asked_for =
            |stream: &Stream| stream.stream_name() == name && stream.spec.broker_ref.name == broker.broker;
        let is_served = matches!(entry.state, StreamState::Creating | StreamState::Active);
        if !is_served || namespace != broker.namespace || streams.iter().any(is_asked_for) {
            continue;
        }
        tracing::info!(namespace, stream = name, "no resource asks for this stream: its data is kept");
        let retained = StreamEntry { state: StreamState::Retained, ..entry };
        match link.kv.update(&found.key, retained.encode().into(), found.revision).await {
            Ok(_) | Err(KvError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
