//! Changes to streams: entries in KV that the controller and the brokers act on.
//!
//! Each call is one compare-and-set, after a change of the declaration where there is one ([`super::Declarations`]); when its outcome is in doubt, the entry is read again and says whether it
//! happened.

use millrace_core::plan::Action;
use millrace_core::token::TokenKey;
use millrace_core::{DataId, StreamAttributes, StreamConfig, StreamEntry, StreamState, keys};
use millrace_log::{Kv, KvError};

use super::{ControlError, Inner, Settings, StartError, Stream};
use crate::clock::Clock;
use crate::controller::intents;

pub(super) fn unavailable(error: &KvError) -> ControlError {
    ControlError::Unavailable(error.to_string())
}

/// The cluster's token key, made by the first broker that needs it.
pub(super) async fn token_key(
    kv: &dyn Kv,
    clock: &dyn Clock,
    settings: &Settings,
) -> Result<TokenKey, StartError> {
    let mut patience = settings.patience(settings.put_for);
    loop {
        let why = match kv.get(keys::TOKEN_KEY).await {
            Ok(Some(entry)) => match <[u8; 32]>::try_from(&entry.value[..]) {
                Ok(key) => return Ok(TokenKey(key)),
                Err(_) => return Err(StartError::Unavailable("the token key is damaged".to_owned())),
            },
            Ok(None) => {
                let mut key = [0; 32];
                for part in key.chunks_exact_mut(8) {
                    part.copy_from_slice(&clock.random().to_le_bytes());
                }
                // Whoever comes second finds the first one's key in the next round.
                match kv.create(keys::TOKEN_KEY, key.to_vec().into()).await {
                    Ok(_) | Err(KvError::Conflict) => continue,
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        let Some(pause) = patience.pause() else { return Err(StartError::Unavailable(why)) };
        tokio::time::sleep(pause).await;
    }
}

impl Inner {
    /// See [`super::Broker::create_stream`].
    pub(super) async fn create_stream(
        &self,
        namespace: &str,
        name: &str,
        config: StreamConfig,
        attributes: StreamAttributes,
    ) -> Result<(), ControlError> {
        match &self.declarations {
            None => self.make(namespace, name, config).await?,
            Some(declarations) => {
                declarations.create(namespace, name, &config).await?;
                match self.make(namespace, name, config).await {
                    // KV has followed the declaration already: no other stream can have taken the name.
                    Ok(()) | Err(ControlError::Exists(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if attributes == StreamAttributes::default() {
            return Ok(());
        }
        // A crash before this leaves a stream without them, whose maker was told nothing. One that comes back with
        // its data has those that it had until it is asked for with others.
        let Some((entry, _)) = self.entry(&keys::stream(namespace, name)).await? else {
            return Err(ControlError::NoStream(name.to_owned()));
        };
        let set = |kept: &mut StreamAttributes| {
            *kept = StreamAttributes { consumers: std::mem::take(&mut kept.consumers), ..attributes.clone() };
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = self.change_attributes_of(namespace, name, &entry.data, set).await?;
        Ok(())
    }

    async fn make(&self, namespace: &str, name: &str, config: StreamConfig) -> Result<(), ControlError> {
        let clock = &self.context.clock;
        let bits = u128::from(clock.random()) << 64 | u128::from(clock.random());
        let data = DataId::from_random(bits);
        let created_ms = clock.now_ms();
        let state = StreamState::Creating;
        let entry = StreamEntry { data: data.clone(), state, created_ms, config: config.clone() };
        let key = keys::stream(namespace, name);
        match self.context.kv.create(&key, entry.encode().into()).await {
            Ok(revision) => {
                self.context.catalog.wrote(key, entry.encode().into(), revision);
                Ok(())
            }
            // Also a conflict: a leader that was deposed may tell of one while the true one writes.
            Err(error) => match self.entry(&key).await? {
                Some((found, _)) if found.data == data => Ok(()),
                Some((found, revision)) if found.state == StreamState::Retained => {
                    self.revive(name, &key, &found, revision, config).await
                }
                Some(_) => Err(ControlError::Exists(name.to_owned())),
                None => Err(unavailable(&error)),
            },
        }
    }

    /// Brings a stream back whose data was kept. A map that the controller makes at the same moment is found by
    /// it again: it takes the stream from `Creating` to `Active`.
    async fn revive(
        &self,
        name: &str,
        key: &str,
        kept: &StreamEntry,
        revision: u64,
        config: StreamConfig,
    ) -> Result<(), ControlError> {
        let map = self.context.catalog.fresh_map(&kept.data).await.map_err(|e| unavailable(&e))?;
        let entry = kept.revived(config, map.is_some());
        match self.context.kv.update(key, entry.encode().into(), revision).await {
            Ok(revision) => {
                self.context.catalog.wrote(key.to_owned(), entry.encode().into(), revision);
                Ok(())
            }
            // Somebody has brought it back, or is removing it.
            Err(KvError::Conflict) => Err(ControlError::Exists(name.to_owned())),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// See [`super::Broker::delete_stream`].
    pub(super) async fn delete_stream(&self, namespace: &str, name: &str) -> Result<(), ControlError> {
        let remove = |entry: &mut StreamEntry| entry.state = StreamState::Deleting;
        let Some(declarations) = &self.declarations else {
            return self.change(namespace, name, None, &remove).await;
        };
        // Known before the declaration goes: from then on the stream may be gone at any time, and another one of
        // its name be made, which nobody has asked to remove.
        let present = self.entry(&keys::stream(namespace, name)).await?;
        declarations.delete(namespace, name).await?;
        let Some((present, _)) = present else { return Ok(()) };
        match self.change(namespace, name, Some(&present.data), &remove).await {
            // KV has followed already.
            Err(ControlError::NoStream(_)) => Ok(()),
            other => other,
        }
    }

    /// See [`super::Broker::configure_stream`].
    pub(super) async fn configure_stream(
        &self,
        namespace: &str,
        name: &str,
        change: &(dyn Fn(&mut StreamConfig) + Send + Sync),
    ) -> Result<(), ControlError> {
        if let Some(stream) = self.context.catalog.stream(namespace, name)
            && stream.entry.state != StreamState::Active
        {
            return Err(ControlError::NotActive(name.to_owned()));
        }
        if let Some(declarations) = &self.declarations {
            declarations.configure(namespace, name, change).await?;
        }
        self.change(namespace, name, None, &|entry| change(&mut entry.config)).await
    }

    /// Changes a stream's entry, if its data is `only` (or any, without). `change` sets values, so that doing it
    /// twice is the same as once.
    async fn change(
        &self,
        namespace: &str,
        name: &str,
        only: Option<&DataId>,
        change: &(dyn Fn(&mut StreamEntry) + Send + Sync),
    ) -> Result<(), ControlError> {
        let key = keys::stream(namespace, name);
        loop {
            let found = self.entry(&key).await?;
            let found = found.filter(|(entry, _)| {
                entry.state != StreamState::Retained && only.is_none_or(|only| entry.data == *only)
            });
            let Some((before, revision)) = found else {
                return Err(ControlError::NoStream(name.to_owned()));
            };
            let mut entry = before.clone();
            change(&mut entry);
            if entry == before {
                return Ok(());
            }
            match self.context.kv.update(&key, entry.encode().into(), revision).await {
                Ok(revision) => {
                    self.context.catalog.wrote(key, entry.encode().into(), revision);
                    return Ok(());
                }
                Err(KvError::Conflict) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
    }

    pub(super) async fn entry(&self, key: &str) -> Result<Option<(StreamEntry, u64)>, ControlError> {
        let Some(found) = self.context.kv.get(key).await.map_err(|e| unavailable(&e))? else {
            return Ok(None);
        };
        let entry =
            StreamEntry::decode(&found.value).map_err(|e| ControlError::Unavailable(e.to_string()))?;
        Ok(Some((entry, found.revision)))
    }

    /// See [`super::Broker::reshard`].
    pub(super) async fn reshard(&self, stream: &Stream, actions: &[Action]) -> Result<(), ControlError> {
        let context = &self.context;
        let written =
            intents::apply_actions(&*context.log, &*context.kv, &*context.clock, &stream.entry, actions)
                .await?;
        context.catalog.wrote_map(&stream.entry.data, written.map, written.revision);
        Ok(())
    }
}
