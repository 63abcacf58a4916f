//! What a broker knows of a stream beside its shards: identity and configuration, as KV holds them.

use minicbor::{Decode, Encode};

use crate::floor::Floor;
use crate::id::DataId;
use crate::map::{StoredFormatError, cbor};

const FORMAT: u8 = 1;
const HOUR_S: u64 = 3_600;

/// Who decides how many shards a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum CapacityMode {
    /// The autoscaler, by load.
    #[n(0)]
    OnDemand,
    /// The user, by a number.
    #[n(1)]
    Provisioned,
}

/// Whether requests are held to Kinesis' quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Limits {
    /// Provisioned: Kinesis' own per shard. OnDemand: writes up to twice the target.
    #[n(0)]
    Kinesis,
    /// As fast as the log goes.
    #[n(1)]
    None,
}

/// What becomes of the autoscaler's plans, in [`CapacityMode::OnDemand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Autoscaling {
    /// They are carried out.
    #[n(0)]
    Apply,
    /// They are told, and nothing is done.
    #[n(1)]
    Recommend,
    /// None are made.
    #[n(2)]
    Disabled,
}

/// Where a stream stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum StreamState {
    /// Its lanes and map are being made.
    #[n(0)]
    Creating,
    /// It takes and gives records.
    #[n(1)]
    Active,
    /// Its lanes and map are being removed.
    #[n(2)]
    Deleting,
    /// Its resource was deleted and its data is kept, for a stream of the same name that may come. Until then
    /// nobody reads it or writes to it: to every API it is absent.
    #[n(3)]
    Retained,
}

/// What a user asks of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StreamConfig {
    /// Who decides how many shards there are.
    #[n(0)]
    pub mode: CapacityMode,
    /// Provisioned: how many shards there shall be. OnDemand: how many there are to begin with.
    #[n(1)]
    pub shards: u32,
    /// The fewest shards that the autoscaler leaves.
    #[n(2)]
    pub min_shards: u32,
    /// The most shards that the autoscaler makes.
    #[n(3)]
    pub max_shards: u32,
    /// What one shard shall carry, in bytes a second.
    #[n(4)]
    pub target_bytes_per_s: u64,
    /// What one shard shall carry, in records a second.
    #[n(5)]
    pub target_records_per_s: u64,
    /// How long records are kept, in seconds.
    #[n(6)]
    pub retention_s: u64,
    /// The most that all lanes together may store, in bytes.
    #[n(7)]
    pub quota_bytes: u64,
    /// Whether requests are held to Kinesis' quotas.
    #[n(8)]
    pub limits: Limits,
    /// How long two neighbours have to be idle enough for one shard before they are merged, in seconds.
    #[n(9)]
    pub merge_after_s: u32,
    /// What becomes of the autoscaler's plans.
    #[n(10)]
    pub autoscaling: Autoscaling,
    /// Provisioned: whether the stream is still to be brought to `shards` of equal width. Set with a new count,
    /// cleared by the controller when it is reached, so that shards which a user splits or merges later stay.
    #[n(11)]
    pub rescale: bool,
    /// The most that one record may hold, in bytes.
    #[n(12)]
    #[cbor(default)]
    pub max_record: RecordSize,
    /// OnDemand: the fewest shards at certain times. Left out where there is none, as older versions write it.
    #[n(13)]
    #[cbor(skip_if = "Floor::is_empty")]
    pub floor: Floor,
}

/// The most that one record may hold, in bytes. Entries of before there was a choice do not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct RecordSize(#[n(0)] pub u32);

impl RecordSize {
    /// The least that may be asked for, and what a stream has whose user does not say.
    pub const MIN: RecordSize = RecordSize(1 << 20);
    /// The most (Kinesis API, `UpdateMaxRecordSize`).
    pub const MAX: RecordSize = RecordSize(10 << 20);

    /// In KiB, as the API has it.
    pub fn kib(self) -> u32 {
        self.0.div_ceil(1_024)
    }
}

impl Default for RecordSize {
    fn default() -> RecordSize {
        RecordSize::MIN
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        StreamConfig {
            mode: CapacityMode::OnDemand,
            shards: 4,
            min_shards: 1,
            max_shards: 1_000,
            target_bytes_per_s: 1 << 20,
            target_records_per_s: 1_000,
            retention_s: 24 * HOUR_S,
            quota_bytes: 1 << 30,
            limits: Limits::Kinesis,
            merge_after_s: 300,
            autoscaling: Autoscaling::Apply,
            rescale: false,
            max_record: RecordSize::default(),
            floor: Floor::default(),
        }
    }
}

impl StreamConfig {
    /// This configuration for a stream that has had the configuration `before`. A count of shards that is new to
    /// it is one to be reached; one that it was asked for before leaves shards that a user has split or merged
    /// since then as they are.
    pub fn following(self, before: &StreamConfig) -> StreamConfig {
        let asked_anew = (before.mode, before.shards) != (self.mode, self.shards);
        let rescale = self.mode == CapacityMode::Provisioned && (before.rescale || asked_anew);
        StreamConfig { rescale, ..self }
    }

    /// The configuration as it is stored apart from its entry: a version byte, then CBOR.
    pub fn encode(&self) -> Vec<u8> {
        cbor::versioned(FORMAT, self)
    }

    /// Reads what [`StreamConfig::encode`] wrote.
    ///
    /// # Errors
    /// When the format is a newer one, or the bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<StreamConfig, StoredFormatError> {
        cbor::read_versioned(FORMAT, bytes)
    }
}

/// A stream as KV holds it, under [`crate::keys::stream`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StreamEntry {
    /// Names its data.
    #[n(0)]
    #[cbor(with = "cbor::data_id")]
    pub data: DataId,
    /// Where it stands in its life.
    #[n(1)]
    pub state: StreamState,
    /// When it was made, in Unix milliseconds.
    #[n(2)]
    pub created_ms: i64,
    /// What its user asks of it.
    #[n(3)]
    pub config: StreamConfig,
}

impl StreamEntry {
    /// The entry of a [`StreamState::Retained`] stream that is asked for again with this configuration: the same
    /// data. `has_map`: whether its shard map was made before it was deleted; without one it has never taken a
    /// record, and its making goes on where it was left.
    pub fn revived(&self, config: StreamConfig, has_map: bool) -> StreamEntry {
        let (state, config) = match has_map {
            true => (StreamState::Active, config.following(&self.config)),
            // It begins with as many shards as it is asked to have.
            false => (StreamState::Creating, StreamConfig { rescale: false, ..config }),
        };
        StreamEntry { state, config, ..self.clone() }
    }

    /// The entry as it is stored: a version byte, then CBOR.
    pub fn encode(&self) -> Vec<u8> {
        cbor::versioned(FORMAT, self)
    }

    /// Reads what [`StreamEntry::encode`] wrote.
    ///
    /// # Errors
    /// When the format is a newer one, or the bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<StreamEntry, StoredFormatError> {
        cbor::read_versioned(FORMAT, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::{Days, FloorWindow};

    fn provisioned(shards: u32) -> StreamConfig {
        StreamConfig { mode: CapacityMode::Provisioned, shards, ..StreamConfig::default() }
    }

    fn retained(config: StreamConfig) -> StreamEntry {
        StreamEntry { data: DataId::from_random(7), state: StreamState::Retained, created_ms: 5, config }
    }

    #[test]
    fn an_entry_of_before_there_was_a_choice_of_record_sizes_has_the_smallest() {
        let entry = retained(StreamConfig { max_record: RecordSize::MAX, ..provisioned(4) });
        assert_eq!(StreamEntry::decode(&entry.encode()), Ok(entry.clone()));
        let mut older = entry.encode();
        // The configuration comes last, and the size last in it: key 12, then 32 bits.
        assert_eq!(older.split_off(older.len() - 6), [12, 0x1a, 0x00, 0xa0, 0x00, 0x00]);
        let map = older.iter().position(|byte| *byte == 0xad).expect("a map of 13");
        older[map] = 0xac;
        assert_eq!(StreamEntry::decode(&older).unwrap().config, provisioned(4));
    }

    #[test]
    fn a_floor_is_kept_and_an_entry_of_before_there_were_any_has_none() {
        let window = FloorWindow {
            start: "22:00".parse().unwrap(),
            end: "06:00".parse().unwrap(),
            days: Days::EVERY,
            time_zone: "Europe/Berlin".to_owned(),
            shards: 20,
        };
        let without = retained(StreamConfig::default());
        let with = retained(StreamConfig { floor: Floor(vec![window]), ..StreamConfig::default() });
        assert_eq!(StreamEntry::decode(&with.encode()), Ok(with.clone()));
        // Key 13, last in the entry, with a list of one window of five fields: what comes before it is an older entry.
        let (old, new) = (without.encode(), with.encode());
        assert_eq!(new[old.len()..][..3], [13, 0x81, 0xa5]);
        assert_eq!(StreamEntry::decode(&old), Ok(without));
    }

    #[test]
    fn a_retained_stream_comes_back_with_its_data_and_the_new_configuration() {
        let before = retained(provisioned(4));
        let config = StreamConfig { retention_s: 48 * HOUR_S, ..provisioned(4) };
        let revived = before.revived(config.clone(), true);
        assert_eq!(revived, StreamEntry { state: StreamState::Active, config, ..before });
    }

    #[test]
    fn a_retained_stream_is_brought_to_a_count_of_shards_only_if_it_is_another_one() {
        let rescales = |before: StreamConfig, asked: StreamConfig| {
            let config = retained(before).revived(asked.clone(), true).config;
            assert_eq!(StreamConfig { rescale: false, ..config.clone() }, asked);
            config.rescale
        };
        let default = StreamConfig::default();
        assert!(!rescales(provisioned(4), provisioned(4)), "its user may have split shards by hand");
        assert!(rescales(provisioned(4), provisioned(6)));
        assert!(
            rescales(StreamConfig { rescale: true, ..provisioned(4) }, provisioned(4)),
            "not yet reached"
        );
        assert!(rescales(default.clone(), provisioned(default.shards)), "its load decided until now");
        assert!(!rescales(provisioned(6), default), "its load decides from now on");
    }

    #[test]
    fn a_stream_that_was_deleted_before_it_had_shards_is_made_with_the_count_asked_for_now() {
        let before = retained(provisioned(4));
        let revived = before.revived(provisioned(6), false);
        assert_eq!((revived.state, &revived.data), (StreamState::Creating, &before.data));
        assert_eq!(revived.config, provisioned(6));
    }
}
