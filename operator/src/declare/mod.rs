//! Stream resources for the streams that are made, changed and removed by a stream's API.

#[cfg(test)]
mod interrupted;
mod name;
mod patch;
mod refusal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Error};
use millrace_core::StreamConfig;
use millrace_crds::stream::{BrokerRef, DeletionPolicy};
use millrace_crds::{Stream, StreamSpec};
use millrace_server::broker::{ControlError, Declarations};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::stream::decide::FINALIZER;
use patch::merge_patch;
use refusal::control_error;

pub use name::{hashed_name, object_name};

/// In whose name the resources are changed.
const FIELD_MANAGER: &str = "millrace-api";
/// How long the API server may take for one call of the stream's API.
const ANSWER_FOR: Duration = Duration::from_secs(15);
/// How often a change is tried that others come before.
const TRIES: usize = 5;

/// The Stream resources of one Broker.
pub struct StreamResources {
    streams: Api<Stream>,
    namespace: String,
    broker: String,
}

impl StreamResources {
    /// The resources in `namespace` of the Broker of this name, with the rights of the pod's ServiceAccount, or of a
    /// kubeconfig.
    ///
    /// # Errors
    /// When there is neither.
    pub async fn connect(namespace: String, broker: String) -> Result<StreamResources, Error> {
        Ok(StreamResources::new(Client::try_default().await?, namespace, broker))
    }

    /// The same over a client that is there.
    pub fn new(client: Client, namespace: String, broker: String) -> StreamResources {
        StreamResources { streams: Api::namespaced(client, &namespace), namespace, broker }
    }

    /// An account's streams are those of its own namespace.
    fn check(&self, namespace: &str) -> Result<(), ControlError> {
        match namespace == self.namespace {
            true => Ok(()),
            false => Err(ControlError::Forbidden(format!(
                "this broker serves the namespace {}: no stream of {namespace} can be declared through it",
                self.namespace
            ))),
        }
    }

    /// The resource that declares this stream, whatever its own name is. `listed`: how much the list may lag.
    async fn find(&self, stream: &str, listed: ListParams) -> Result<Option<Stream>, Error> {
        let is_it = |found: &Stream| found.stream_name() == stream;
        if let Some(found) = self.streams.get_opt(&object_name(stream)).await?.filter(is_it) {
            return Ok(Some(found));
        }
        Ok(self.streams.list(&listed).await?.items.into_iter().find(is_it))
    }

    /// The resource that declares this stream as one of this Broker.
    async fn mine(&self, stream: &str) -> Result<Option<Stream>, Error> {
        let found = self.find(stream, ListParams::default()).await?;
        Ok(found.filter(|found| found.spec.broker_ref.name == self.broker))
    }

    async fn patch(&self, of: &Stream, spec: Value) -> Result<Stream, Error> {
        let patch = json!({ "metadata": { "resourceVersion": of.metadata.resource_version }, "spec": spec });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.streams.patch(object(of), &params, &Patch::Merge(patch)).await
    }

    /// Makes the resource. Two that declare one stream under two names may come to be when both are made at the same
    /// moment: the operator serves the first and tells the second. Under one name only one can.
    async fn try_create(&self, stream: &str, config: &StreamConfig) -> Result<(), Tried> {
        // What lags here is made up for by the write, or by the operator.
        if self.find(stream, ListParams::default().match_any()).await?.is_some() {
            return Err(Tried::Refused(ControlError::Exists(stream.to_owned())));
        }
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        for name in [object_name(stream), hashed_name(stream)] {
            match self.streams.create(&params, &resource(stream, &name, &self.broker, config)).await {
                Ok(_) => return Ok(()),
                Err(Error::Api(status)) if status.is_already_exists() => {
                    let there = self.streams.get_opt(&name).await?;
                    if there.is_some_and(|there| there.stream_name() == stream) {
                        break;
                    }
                    // Another stream's object has the name.
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Tried::Refused(ControlError::Exists(stream.to_owned())))
    }

    /// Removes the resource, and the data with it. A crash between the two writes leaves a resource whose data goes
    /// with it, as was asked, and the caller who asks again.
    async fn try_delete(&self, stream: &str) -> Result<(), Tried> {
        let none = || Tried::Refused(ControlError::NoStream(stream.to_owned()));
        let mut found = self.mine(stream).await?.ok_or_else(none)?;
        if found.spec.deletion_policy != DeletionPolicy::Delete {
            found = match self.patch(&found, json!({ "deletionPolicy": "Delete" })).await {
                Err(Error::Api(status)) if status.is_not_found() => return Err(none()),
                other => other?,
            };
        }
        // By its uid: an object that was made under the name since then is another one's.
        let uid = found.metadata.uid.clone();
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match self.streams.delete(object(&found), &params).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(Error::Api(status)) if status.is_conflict() => {
                let now = self.streams.get_opt(object(&found)).await?;
                match now.is_some_and(|now| now.metadata.uid == found.metadata.uid) {
                    true => Err(Tried::Failed(Error::Api(status))),
                    false => Ok(()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn try_configure(
        &self,
        stream: &str,
        change: &(dyn Fn(&mut StreamConfig) + Send + Sync),
    ) -> Result<(), Tried> {
        let none = || Tried::Refused(ControlError::NoStream(stream.to_owned()));
        let found = self.mine(stream).await?.ok_or_else(none)?;
        if found.metadata.deletion_timestamp.is_some() {
            return Err(Tried::Refused(ControlError::NotActive(stream.to_owned())));
        }
        let changed = found.spec.changed(change);
        let changed = changed.map_err(|error| Tried::Refused(ControlError::Refused(error.to_string())))?;
        match merge_patch(&json!(found.spec), &json!(changed)) {
            None => Ok(()),
            Some(spec) => match self.patch(&found, spec).await {
                Ok(_) => Ok(()),
                Err(Error::Api(status)) if status.is_not_found() => Err(none()),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Waits for an answer, and tries again what somebody else came before.
    async fn carry_out(&self, namespace: &str, stream: &str, call: Call<'_>) -> Result<(), ControlError> {
        self.check(namespace)?;
        let tries = async {
            for _ in 0..TRIES {
                let tried = match call {
                    Call::Create(config) => self.try_create(stream, config).await,
                    Call::Delete => self.try_delete(stream).await,
                    Call::Configure(change) => self.try_configure(stream, change).await,
                };
                match tried {
                    Ok(()) => return Ok(()),
                    Err(Tried::Refused(refused)) => return Err(refused),
                    Err(Tried::Failed(Error::Api(status))) if status.is_conflict() => {}
                    Err(Tried::Failed(error)) => return Err(control_error(&error, &self.namespace)),
                }
            }
            Err(ControlError::Unavailable("others change the Stream resource at the same time".to_owned()))
        };
        timeout(ANSWER_FOR, tries).await.unwrap_or_else(|_| {
            let waited_s = ANSWER_FOR.as_secs();
            Err(ControlError::Unavailable(format!(
                "the API server of Kubernetes took more than {waited_s} s"
            )))
        })
    }
}

/// What is to be done with a stream's resource.
#[derive(Clone, Copy)]
enum Call<'a> {
    Create(&'a StreamConfig),
    Delete,
    Configure(&'a (dyn Fn(&mut StreamConfig) + Send + Sync)),
}

/// Why one try did not succeed.
enum Tried {
    Refused(ControlError),
    Failed(Error),
}

impl From<Error> for Tried {
    fn from(error: Error) -> Tried {
        Tried::Failed(error)
    }
}

/// A resource's own name.
fn object(stream: &Stream) -> &str {
    stream.metadata.name.as_deref().unwrap_or_default()
}

/// The resource that declares a stream. It has the finalizer from the beginning, so that it can't go before the
/// operator has seen what becomes of the data, which may be there before the operator is.
fn resource(stream: &str, name: &str, broker: &str, config: &StreamConfig) -> Stream {
    let spec = StreamSpec {
        stream_name: (stream != name).then(|| stream.to_owned()),
        broker_ref: BrokerRef { name: broker.to_owned() },
        ..StreamSpec::of(config)
    };
    let mut resource = Stream::new(name, spec);
    resource.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    resource
}

#[async_trait]
impl Declarations for StreamResources {
    async fn create(&self, namespace: &str, name: &str, config: &StreamConfig) -> Result<(), ControlError> {
        self.carry_out(namespace, name, Call::Create(config)).await
    }

    async fn delete(&self, namespace: &str, name: &str) -> Result<(), ControlError> {
        self.carry_out(namespace, name, Call::Delete).await
    }

    async fn configure(
        &self,
        namespace: &str,
        name: &str,
        change: &(dyn for<'c> Fn(&'c mut StreamConfig) + Send + Sync),
    ) -> Result<(), ControlError> {
        self.carry_out(namespace, name, Call::Configure(change)).await
    }
}
