//! What users keep of a stream that changes nothing in how its records are stored: tags, consumers, a policy and
//! the like, as KV holds them under [`crate::keys::attributes`]; and an account's settings.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use crate::map::{StoredFormatError, cbor};

const FORMAT: u8 = 1;
/// The least time that a commitment of an account lasts, in milliseconds: a day (Kinesis developer guide,
/// "On-demand Advantage").
const COMMITMENT_MS: i64 = 24 * 3_600 * 1_000;

/// Names and values that users give to things.
pub type Tags = BTreeMap<String, String>;

/// A stream's attributes. Their bounds are the API's, which checks them before they come here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StreamAttributes {
    /// The stream's tags.
    #[n(0)]
    #[cbor(default)]
    pub tags: Tags,
    /// Registered consumers, in the order of their names.
    #[n(1)]
    #[cbor(default)]
    pub consumers: Vec<Consumer>,
    /// Who else may use the stream, as a JSON document. It is kept and told, and nothing rests on it.
    #[n(2)]
    pub policy: Option<String>,
    /// The key that records are said to be encrypted with.
    #[n(3)]
    pub encryption_key: Option<String>,
    /// The metrics that are told for each shard.
    #[n(4)]
    #[cbor(default)]
    pub monitored: BTreeSet<String>,
    /// What an on-demand stream shall take at once, in MiB a second.
    #[n(5)]
    pub warm_mib_per_s: Option<u32>,
    /// How records are spread over shards.
    #[n(6)]
    #[cbor(default)]
    pub distribution: Distribution,
}

/// How an on-demand stream's records are spread over its shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Distribution {
    /// By their partition keys.
    #[n(0)]
    #[default]
    PartitionKey,
    /// Evenly, whatever their keys are.
    #[n(1)]
    Even,
}

/// A consumer that is registered with a stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Consumer {
    /// Its name, unique in its stream.
    #[n(0)]
    pub name: String,
    /// When it was registered, in Unix milliseconds. Its ARN has the seconds.
    #[n(1)]
    pub created_ms: i64,
    /// Its tags.
    #[n(2)]
    #[cbor(default)]
    pub tags: Tags,
    /// Who else may use it, as a JSON document.
    #[n(3)]
    pub policy: Option<String>,
}

impl StreamAttributes {
    /// The consumer of this name.
    pub fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.place(name).ok().map(|place| &self.consumers[place])
    }

    /// The consumer of this name, to be changed.
    pub fn consumer_mut(&mut self, name: &str) -> Option<&mut Consumer> {
        self.place(name).ok().map(|place| &mut self.consumers[place])
    }

    /// Registers a consumer; says whether it did. There is one of a name.
    pub fn register(&mut self, consumer: Consumer) -> bool {
        match self.place(&consumer.name) {
            Ok(_) => false,
            Err(place) => {
                self.consumers.insert(place, consumer);
                true
            }
        }
    }

    /// Removes a consumer, if it is there.
    pub fn deregister(&mut self, name: &str) -> Option<Consumer> {
        self.place(name).ok().map(|place| self.consumers.remove(place))
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.consumers.binary_search_by(|consumer| consumer.name.as_str().cmp(name))
    }

    /// The attributes as they are stored: a version byte, then CBOR.
    pub fn encode(&self) -> Vec<u8> {
        cbor::versioned(FORMAT, self)
    }

    /// Reads what [`StreamAttributes::encode`] wrote.
    ///
    /// # Errors
    /// When the format is a newer one, or the bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<StreamAttributes, StoredFormatError> {
        cbor::read_versioned(FORMAT, bytes)
    }
}

/// An account's settings: whether it has committed itself to a least throughput. Nothing is billed here: it is
/// what allows warm throughput and more consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AccountSettings {
    /// When the commitment began, in Unix milliseconds.
    #[n(0)]
    pub started_ms: Option<i64>,
    /// When it ends or has ended, in Unix milliseconds.
    #[n(1)]
    pub ends_ms: Option<i64>,
}

impl AccountSettings {
    /// Whether the account is committed at this time.
    pub fn is_committed(&self, now_ms: i64) -> bool {
        self.started_ms.is_some() && self.ends_ms.is_none_or(|ends_ms| ends_ms > now_ms)
    }

    /// The earliest time at which a commitment that has begun may end.
    pub fn earliest_end_ms(&self) -> Option<i64> {
        self.started_ms.map(|started_ms| started_ms.saturating_add(COMMITMENT_MS))
    }

    /// Commits the account, from now on if it is not committed. One that is about to end goes on.
    pub fn commit(&mut self, now_ms: i64) {
        match self.is_committed(now_ms) {
            true => self.ends_ms = None,
            false => *self = AccountSettings { started_ms: Some(now_ms), ends_ms: None },
        }
    }

    /// Ends the commitment as soon as it may end.
    pub fn release(&mut self, now_ms: i64) {
        if self.is_committed(now_ms) && self.ends_ms.is_none() {
            self.ends_ms = self.earliest_end_ms().map(|earliest_ms| earliest_ms.max(now_ms));
        }
    }

    /// The settings as they are stored: a version byte, then CBOR.
    pub fn encode(&self) -> Vec<u8> {
        cbor::versioned(FORMAT, self)
    }

    /// Reads what [`AccountSettings::encode`] wrote.
    ///
    /// # Errors
    /// When the format is a newer one, or the bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<AccountSettings, StoredFormatError> {
        cbor::read_versioned(FORMAT, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(name: &str) -> Consumer {
        Consumer { name: name.into(), created_ms: 5, tags: Tags::new(), policy: None }
    }

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let mut all = StreamAttributes {
            tags: Tags::from([("a".into(), "b".into())]),
            policy: Some("{}".into()),
            encryption_key: Some("alias/aws/kinesis".into()),
            monitored: BTreeSet::from(["IncomingBytes".to_owned()]),
            warm_mib_per_s: Some(7),
            distribution: Distribution::Even,
            ..StreamAttributes::default()
        };
        assert!(all.register(consumer("c")));
        for attributes in [StreamAttributes::default(), all] {
            assert_eq!(StreamAttributes::decode(&attributes.encode()), Ok(attributes));
        }
        // A later version may have members that this one does not know, and lack others.
        assert_eq!(StreamAttributes::decode(&[FORMAT, 0xa1, 0x18, 99, 1]), Ok(StreamAttributes::default()));
    }

    #[test]
    fn a_consumer_is_found_by_its_name_and_registered_once() {
        let mut attributes = StreamAttributes::default();
        for name in ["b", "a", "c"] {
            assert!(attributes.register(consumer(name)));
        }
        assert!(!attributes.register(Consumer { created_ms: 9, ..consumer("b") }));
        let names: Vec<&str> = attributes.consumers.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(attributes.consumer("b").map(|found| found.created_ms), Some(5));
        assert_eq!(attributes.deregister("b"), Some(consumer("b")));
        assert_eq!(attributes.consumer("b"), None);
        assert_eq!(attributes.deregister("b"), None);
    }

    #[test]
    fn a_commitment_lasts_a_day_at_least() {
        let mut settings = AccountSettings::default();
        assert!(!settings.is_committed(0));
        settings.commit(1_000);
        settings.release(5_000);
        let end_ms = 1_000 + COMMITMENT_MS;
        assert_eq!((settings.ends_ms, settings.is_committed(end_ms - 1)), (Some(end_ms), true));
        assert!(!settings.is_committed(end_ms));
        let mut longer = settings;
        longer.commit(9_000);
        assert_eq!(longer, AccountSettings { started_ms: Some(1_000), ends_ms: None });
        longer.release(end_ms + 7);
        assert!(!longer.is_committed(end_ms + 7), "its least time has passed");
        settings.commit(end_ms + 7);
        assert_eq!(settings, AccountSettings { started_ms: Some(end_ms + 7), ends_ms: None });
        assert_eq!(AccountSettings::decode(&settings.encode()), Ok(settings));
    }
}
