//! What a broker knows of a stream beside its shards: identity and configuration, as KV holds them.

use minicbor::{Decode, Encode};

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
        }
    }
}

impl StreamConfig {
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
