//! What users keep of streams and accounts: entries in KV of their own, changed by compare-and-set. They are read
//! from the leader where they are asked for, so that what was changed through one broker is told by all others;
//! the copy in the catalog is for what each record needs.

use std::sync::Arc;

use millrace_core::{AccountSettings, DataId, StreamAttributes, StreamState, keys};
use millrace_log::{KvEntry, KvError};

use super::control::unavailable;
use super::{Broker, ControlError, Inner, Stream};

/// The most that the attributes of one stream may take, in bytes: fifty long tags and the longest policy leave room
/// for fifty consumers with a few tags each.
const MAX_BYTES: usize = 256 << 10;

impl Broker {
    /// What users keep of a stream, as it is now: [`Stream::attributes`] may be a moment old.
    pub async fn attributes(&self, stream: &Stream) -> Result<Arc<StreamAttributes>, ControlError> {
        self.inner.attributes(stream).await
    }

    /// Changes what users keep of a stream, unless `change` refuses (it may be called more than once).
    pub async fn change_attributes<T, E>(
        &self,
        stream: &Stream,
        change: impl Fn(&mut StreamAttributes) -> Result<T, E> + Send + Sync,
    ) -> Result<Result<T, E>, ControlError> {
        self.inner.change_attributes(stream, change).await
    }

    /// The settings of the account that a namespace is.
    pub async fn account_settings(&self, namespace: &str) -> Result<AccountSettings, ControlError> {
        self.inner.account_settings(namespace).await
    }

    /// Changes the settings of an account to what `change` makes of them (it may be called more than once).
    pub async fn change_account_settings(
        &self,
        namespace: &str,
        change: impl Fn(&mut AccountSettings) + Send + Sync,
    ) -> Result<AccountSettings, ControlError> {
        self.inner.change_account_settings(namespace, change).await
    }
}

impl Inner {
    /// See [`Broker::attributes`].
    async fn attributes(&self, stream: &Stream) -> Result<Arc<StreamAttributes>, ControlError> {
        let key = keys::attributes(&stream.entry.data);
        let found = self.context.kv.get(&key).await.map_err(|error| unavailable(&error))?;
        let attributes = decoded(found.as_ref())?;
        if let Some(found) = found {
            // Whoever was told of something finds it in what follows, before the watch tells.
            self.context.catalog.wrote(found.key, found.value, found.revision);
        }
        Ok(Arc::new(attributes))
    }

    /// See [`Broker::change_attributes`].
    async fn change_attributes<T, E>(
        &self,
        stream: &Stream,
        change: impl Fn(&mut StreamAttributes) -> Result<T, E> + Send + Sync,
    ) -> Result<Result<T, E>, ControlError> {
        self.change_attributes_of(&stream.namespace, &stream.name, &stream.entry.data, change).await
    }

    pub(super) async fn change_attributes_of<T, E>(
        &self,
        namespace: &str,
        name: &str,
        data: &DataId,
        change: impl Fn(&mut StreamAttributes) -> Result<T, E> + Send + Sync,
    ) -> Result<Result<T, E>, ControlError> {
        let key = keys::attributes(data);
        loop {
            let found = self.context.kv.get(&key).await.map_err(|error| unavailable(&error))?;
            let before = decoded(found.as_ref())?;
            let mut after = before.clone();
            let told = match change(&mut after) {
                Ok(told) => told,
                Err(refused) => return Ok(Err(refused)),
            };
            if after == before {
                return Ok(Ok(told));
            }
            let value = bytes::Bytes::from(after.encode());
            if value.len() > MAX_BYTES {
                return Err(ControlError::TooMany(format!(
                    "The tags, consumers and policies of stream {name} may take {MAX_BYTES} bytes in all."
                )));
            }
            match self.write(&key, found.as_ref(), value.clone()).await {
                Ok(revision) => {
                    self.keep_only_with_stream(namespace, name, data).await?;
                    self.context.catalog.wrote(key, value, revision);
                    return Ok(Ok(told));
                }
                Err(KvError::Conflict) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
    }

    /// Takes back what was written beside a removal of the stream: the controller, who removes attributes before
    /// the stream's entry, may have passed already. One that begins after this look finds them.
    async fn keep_only_with_stream(
        &self,
        namespace: &str,
        name: &str,
        data: &DataId,
    ) -> Result<(), ControlError> {
        let entry = self.entry(&keys::stream(namespace, name)).await?;
        let state = entry.filter(|(entry, _)| entry.data == *data).map(|(entry, _)| entry.state);
        match state {
            Some(StreamState::Creating | StreamState::Active) => return Ok(()),
            Some(StreamState::Retained) => {}
            Some(StreamState::Deleting) | None => {
                let key = keys::attributes(data);
                self.context.kv.delete(&key, None).await.map_err(|error| unavailable(&error))?;
            }
        }
        Err(ControlError::NoStream(name.to_owned()))
    }

    /// See [`Broker::account_settings`].
    async fn account_settings(&self, namespace: &str) -> Result<AccountSettings, ControlError> {
        let found = self.context.kv.get(&keys::account(namespace)).await;
        decoded_account(found.map_err(|error| unavailable(&error))?.as_ref())
    }

    /// See [`Broker::change_account_settings`].
    async fn change_account_settings(
        &self,
        namespace: &str,
        change: impl Fn(&mut AccountSettings) + Send + Sync,
    ) -> Result<AccountSettings, ControlError> {
        let key = keys::account(namespace);
        loop {
            let found = self.context.kv.get(&key).await.map_err(|error| unavailable(&error))?;
            let before = decoded_account(found.as_ref())?;
            let mut after = before;
            change(&mut after);
            if after == before {
                return Ok(after);
            }
            match self.write(&key, found.as_ref(), after.encode().into()).await {
                Ok(_) => return Ok(after),
                Err(KvError::Conflict) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
    }

    /// Writes over what was found, or where nothing was.
    async fn write(&self, key: &str, over: Option<&KvEntry>, value: bytes::Bytes) -> Result<u64, KvError> {
        match over {
            Some(found) => self.context.kv.update(key, value, found.revision).await,
            None => self.context.kv.create(key, value).await,
        }
    }
}

fn decoded(found: Option<&KvEntry>) -> Result<StreamAttributes, ControlError> {
    let decoded = found.map(|found| StreamAttributes::decode(&found.value)).transpose();
    Ok(decoded.map_err(|error| ControlError::Unavailable(error.to_string()))?.unwrap_or_default())
}

fn decoded_account(found: Option<&KvEntry>) -> Result<AccountSettings, ControlError> {
    let decoded = found.map(|found| AccountSettings::decode(&found.value)).transpose();
    Ok(decoded.map_err(|error| ControlError::Unavailable(error.to_string()))?.unwrap_or_default())
}
