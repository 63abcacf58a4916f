//! Carrying out a step for a Stream: writes only.

use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use millrace_core::{DataId, StreamConfig, StreamEntry, StreamState, keys};
use millrace_crds::Stream;
use millrace_log::KvError;
use serde_json::json;

use super::Error;
use super::decide::{FINALIZER, Step};
use super::resolve::Found;
use crate::apply::FIELD_MANAGER;
use crate::context::Context;

/// Carries out a step. Each is one write on the condition that nobody else wrote meanwhile; a crash before it
/// leaves all as it was, one after it is found by the next round. Returns whether something was done.
///
/// # Errors
/// When the API server or the log refuses it or does not answer.
pub(super) async fn apply(
    stream: &Stream,
    found: &Found,
    step: &Step,
    context: &Context,
) -> Result<bool, Error> {
    let namespace = stream.namespace().unwrap_or_default();
    let written = match step {
        Step::Nothing | Step::Blocked(_) => return Ok(false),
        Step::AddFinalizer => {
            let mut names = stream.metadata.finalizers.clone().unwrap_or_default();
            names.push(FINALIZER.to_owned());
            finalizers(stream, names, context).await?;
            return Ok(true);
        }
        Step::RemoveFinalizer => {
            let mut names = stream.metadata.finalizers.clone().unwrap_or_default();
            names.retain(|name| name != FINALIZER);
            finalizers(stream, names, context).await?;
            return Ok(true);
        }
        Step::Create(config) => {
            let Some(link) = &found.link else { return Ok(false) };
            let entry = new_entry(config.clone(), context);
            let key = keys::stream(&namespace, stream.stream_name());
            link.kv.create(&key, entry.encode().into()).await
        }
        Step::Change(entry) => {
            let (Some(link), Some(stored)) = (&found.link, &found.stored) else { return Ok(false) };
            let key = keys::stream(&namespace, stream.stream_name());
            link.kv.update(&key, entry.encode().into(), stored.revision).await
        }
    };
    match written {
        // A conflict: a broker was asked for the same by the API, or something else has changed. The next round sees.
        Ok(_) | Err(KvError::Conflict) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn new_entry(config: StreamConfig, context: &Context) -> StreamEntry {
    let bits = u128::from(context.clock.random()) << 64 | u128::from(context.clock.random());
    let data = DataId::from_random(bits);
    StreamEntry { data, state: StreamState::Creating, created_ms: context.clock.now_ms(), config }
}

/// Writes the finalizers over those that were read: with its resource version, so that nobody else's is lost.
async fn finalizers(stream: &Stream, names: Vec<String>, context: &Context) -> Result<(), Error> {
    let namespace = stream.namespace().unwrap_or_default();
    let streams: Api<Stream> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({"metadata": {
        "resourceVersion": stream.resource_version(),
        "uid": stream.uid(),
        "finalizers": names,
    }});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match streams.patch_metadata(&stream.name_any(), &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(source) => Err(Error::kube("writing the finalizer", source)),
    }
}
