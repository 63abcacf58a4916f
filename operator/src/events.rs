//! Events: what happens to a resource, told as a story with its figures.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::apply::FIELD_MANAGER;

/// The longest note that the API server takes, in bytes.
const MAX_NOTE_BYTES: usize = 1_024;

/// Tells Events. What can't be told is logged and forgotten: nothing rests on it.
#[derive(Clone)]
pub struct Teller {
    recorder: Recorder,
}

/// An Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tale {
    /// Whether somebody should look.
    pub warning: bool,
    /// One CamelCase word for programs.
    pub reason: String,
    /// A sentence.
    pub note: String,
}

impl Tale {
    /// Something went as it should.
    pub fn normal(reason: &str, note: impl Into<String>) -> Tale {
        Tale { warning: false, reason: reason.to_owned(), note: note.into() }
    }

    /// Somebody should look.
    pub fn warning(reason: &str, note: impl Into<String>) -> Tale {
        Tale { warning: true, reason: reason.to_owned(), note: note.into() }
    }
}

impl Teller {
    /// One in this process' name.
    pub fn new(client: Client, instance: Option<String>) -> Teller {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance };
        Teller { recorder: Recorder::new(client, reporter) }
    }

    /// Tells something about an object.
    pub async fn tell<K: Resource<DynamicType = ()>>(&self, about: &K, tale: Tale) {
        self.tell_of(&about.object_ref(&()), tale).await;
    }

    /// Tells something about what a reference names.
    pub async fn tell_of(&self, about: &ObjectReference, tale: Tale) {
        let mut note = tale.note;
        if note.len() > MAX_NOTE_BYTES {
            let end = (0..=MAX_NOTE_BYTES - 4).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
            note.truncate(end);
            note.push_str(" …");
        }
        let event = Event {
            type_: if tale.warning { EventType::Warning } else { EventType::Normal },
            reason: tale.reason.clone(),
            action: tale.reason.clone(),
            note: Some(note),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::debug!(%error, reason = tale.reason, "an Event can't be told");
        }
    }
}
