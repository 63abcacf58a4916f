//! What is to be done for a Stream. Pure.

use millrace_core::{StreamConfig, StreamEntry, StreamState};
use millrace_crds::Stream;
use millrace_crds::stream::DeletionPolicy;

use super::resolve::{Found, Stored};

/// Keeps a Stream's object until its data is seen to.
pub const FINALIZER: &str = "millrace.dev/data";

/// What is to be done next. One thing at a time: what comes after it is decided on what is there then.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The object has to wait for its data when it is deleted. Before anything is made.
    AddFinalizer,
    /// The log holds nothing under this name.
    Create(StreamConfig),
    /// What the log holds is to become this.
    Change(Box<StreamEntry>),
    /// The object may go.
    RemoveFinalizer,
    /// All is as it should be, or others are at work on it.
    Nothing,
    /// Nothing can be done as things stand.
    Blocked(Blocked),
}

/// Why nothing can be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Blocked {
    /// Another Stream has the name.
    Rival(String),
    /// Its spec says what can't be.
    Spec(String),
    /// There is no such Broker.
    NoBroker,
    /// Data is to be deleted, and there is no Broker to do it.
    NoBrokerToDelete,
    /// The Broker's log is not there as yet.
    NoLog,
    /// What was stored under this name is being removed.
    Removal,
}

/// What is to be done next.
pub fn decide(stream: &Stream, found: &Found) -> Step {
    let has_finalizer = stream.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER);
    if stream.metadata.deletion_timestamp.is_some() {
        return match has_finalizer {
            true => delete(stream, found),
            false => Step::Nothing,
        };
    }
    if let Some(rival) = &found.rival {
        return Step::Blocked(Blocked::Rival(rival.clone()));
    }
    let config = match stream.spec.config() {
        Ok(config) => config,
        Err(error) => return Step::Blocked(Blocked::Spec(error.to_string())),
    };
    match &found.broker {
        None => return Step::Blocked(Blocked::NoBroker),
        // It is on its way out, with all that serves.
        Some(broker) if broker.metadata.deletion_timestamp.is_some() => {
            return Step::Blocked(Blocked::NoBroker);
        }
        Some(_) => {}
    }
    if !has_finalizer {
        return Step::AddFinalizer;
    }
    if found.link.is_none() {
        return Step::Blocked(Blocked::NoLog);
    }
    match &found.stored {
        None => Step::Create(config),
        Some(stored) => keep(stored, config),
    }
}

/// What is to become of what the log holds.
fn keep(stored: &Stored, config: StreamConfig) -> Step {
    let entry = &stored.entry;
    match entry.state {
        StreamState::Deleting => Step::Blocked(Blocked::Removal),
        StreamState::Retained => Step::Change(Box::new(entry.revived(config, stored.map.is_some()))),
        StreamState::Creating | StreamState::Active => {
            let config = config.following(&entry.config);
            match config == entry.config {
                true => Step::Nothing,
                false => Step::Change(Box::new(StreamEntry { config, ..entry.clone() })),
            }
        }
    }
}

/// Deleting never takes data along unless the Stream says so, and never lets an object go whose data is to go and
/// has not gone.
fn delete(stream: &Stream, found: &Found) -> Step {
    // Another Stream has the name, and the data.
    if found.rival.is_some() {
        return Step::RemoveFinalizer;
    }
    let removes = stream.spec.deletion_policy == DeletionPolicy::Delete;
    let broker = found.broker.as_ref().filter(|broker| broker.metadata.deletion_timestamp.is_none());
    match (&found.link, removes) {
        (Some(_), _) => {}
        // Without its Broker a stream is served by nobody, and is found by its name again.
        (None, false) if broker.is_none() => return Step::RemoveFinalizer,
        (None, true) if broker.is_none() => {
            return match found.may_have_data {
                true => Step::Blocked(Blocked::NoBrokerToDelete),
                false => Step::RemoveFinalizer,
            };
        }
        (None, _) => return Step::Blocked(Blocked::NoLog),
    }
    let Some(Stored { entry, .. }) = &found.stored else { return Step::RemoveFinalizer };
    let become_state = |state| Step::Change(Box::new(StreamEntry { state, ..entry.clone() }));
    match (entry.state, removes) {
        (StreamState::Deleting, true) => Step::Blocked(Blocked::Removal),
        (_, true) => become_state(StreamState::Deleting),
        // It was asked to go by the API before it was asked to stay: it is going, and the object waits for that.
        (StreamState::Deleting, false) => Step::Blocked(Blocked::Removal),
        (StreamState::Retained, false) => Step::RemoveFinalizer,
        (_, false) => become_state(StreamState::Retained),
    }
}
