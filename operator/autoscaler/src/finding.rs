//! What was seen and what is done about it, as sentences with their figures.

use std::fmt;

use millrace_core::floor::FloorWindow;
use millrace_core::load::{ShardLoad, Target};
use millrace_core::{HashKey, ShardId};

/// A shard's load beside its target, as a sentence tells it: by bytes or by records, whichever is nearer its
/// limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Bytes stored a second.
    pub bytes_per_s: u64,
    /// Records stored a second.
    pub records_per_s: u64,
    /// Records refused a second.
    pub throttled_per_s: u64,
    /// The load in thousandths of the target, refused records included.
    pub per_mille: u32,
    /// The target.
    pub target: Target,
}

impl Seen {
    pub(crate) fn new(load: Option<&ShardLoad>, per_mille: u32, target: Target) -> Seen {
        Seen {
            bytes_per_s: load.map_or(0, |load| load.bytes_per_s),
            records_per_s: load.map_or(0, |load| load.records_per_s),
            throttled_per_s: load.map_or(0, |load| load.throttled_per_s),
            per_mille,
            target,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_bytes =
            self.target.per_mille(self.bytes_per_s, 0) >= self.target.per_mille(0, self.records_per_s);
        if by_bytes {
            Bytes(self.bytes_per_s).fmt(f)?;
        } else {
            write!(f, "{} records/s", self.records_per_s)?;
        }
        if self.throttled_per_s > 0 {
            write!(f, " and refused {} records/s", self.throttled_per_s)?;
        }
        write!(f, ", {} of its target of ", Percent(self.per_mille))?;
        if by_bytes {
            Bytes(self.target.bytes_per_s).fmt(f)
        } else {
            write!(f, "{} records/s", self.target.records_per_s)
        }
    }
}

/// Bytes a second in the unit that reads best.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1_024 => write!(f, "{} B/s", self.0),
            1_024..1_048_576 => write!(f, "{:.1} KiB/s", bytes / 1_024.0),
            1_048_576..1_073_741_824 => write!(f, "{:.1} MiB/s", bytes / 1_048_576.0),
            _ => write!(f, "{:.1} GiB/s", bytes / 1_073_741_824.0),
        }
    }
}

/// Thousandths as per cent.
pub(crate) struct Percent(pub(crate) u32);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", (self.0 + 5) / 10)
    }
}

/// What was seen, the threshold, since when, what is done about it and what is expected of that. Reads as a
/// sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A shard is above its target and is split.
    Split {
        /// The shard.
        shard: ShardId,
        /// Its load.
        seen: Seen,
        /// For how many seconds it has been above its target.
        for_s: u32,
        /// Into how many.
        children: u32,
        /// What the heaviest child is expected to carry, hot keys apart, in thousandths of the target.
        expected_per_mille: u32,
        /// The hot keys that get a shard of their own by this.
        isolated: Vec<HashKey>,
    },
    /// A key alone is above the target: no split helps.
    HotKey {
        /// The shard it lies in.
        shard: ShardId,
        /// The key's place.
        key: HashKey,
        /// Its shard's load.
        seen: Seen,
        /// The key's load, in thousandths of the target.
        key_per_mille: u32,
    },
    /// A shard is above its target, but the stream has as many shards as it may.
    AtMax {
        /// The shard.
        shard: ShardId,
        /// Its load.
        seen: Seen,
        /// The most shards.
        max_shards: u32,
    },
    /// Two neighbours were idle for long, and are merged.
    Merge {
        /// One of them.
        shard: ShardId,
        /// The other.
        adjacent: ShardId,
        /// What both together carried at most, in thousandths of the target.
        peak_per_mille: u32,
        /// Below which they are merged.
        below_per_mille: u32,
        /// For how many seconds.
        for_s: u32,
    },
    /// There are fewer shards than the least that is asked for, or more than the most.
    OutOfBounds {
        /// How many there will be once all reshards are finished.
        shards: u32,
        /// The fewest.
        min_shards: u32,
        /// The most.
        max_shards: u32,
        /// By how many splits or merges that is mended now.
        reshards: u32,
    },
    /// There are fewer shards than a window of the floor asks for, which is on or soon will be.
    Floor {
        /// How many there will be once all reshards are finished.
        shards: u32,
        /// How many are asked for.
        least: u32,
        /// The window that asks for the most.
        window: FloorWindow,
        /// When it is over, in Unix milliseconds.
        until_ms: i64,
        /// By how many splits that is mended now.
        reshards: u32,
    },
    /// Another number of shards was asked for.
    Resize {
        /// How many there are.
        from: u32,
        /// How many there shall be.
        to: u32,
        /// By how many splits or merges the first step is done.
        reshards: u32,
    },
    /// What would have to be done can't be.
    Refused {
        /// Why.
        why: String,
    },
}

impl Finding {
    /// The shard that it is about, if it is about one.
    pub fn shard(&self) -> Option<ShardId> {
        match self {
            Finding::Split { shard, .. }
            | Finding::HotKey { shard, .. }
            | Finding::AtMax { shard, .. }
            | Finding::Merge { shard, .. } => Some(*shard),
            Finding::OutOfBounds { .. }
            | Finding::Floor { .. }
            | Finding::Resize { .. }
            | Finding::Refused { .. } => None,
        }
    }

    /// One CamelCase word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Finding::Split { .. } => "Split",
            Finding::HotKey { .. } => "HotKey",
            Finding::AtMax { .. } => "AtMaxShards",
            Finding::Merge { .. } => "Merge",
            Finding::OutOfBounds { .. } => "OutOfBounds",
            Finding::Floor { .. } => "Floor",
            Finding::Resize { .. } => "Resize",
            Finding::Refused { .. } => "Refused",
        }
    }

    /// Whether something is done about it. If not, it is found again each second as long as it lasts.
    pub fn acts(&self) -> bool {
        match self {
            Finding::Split { .. } | Finding::Merge { .. } => true,
            Finding::HotKey { .. } | Finding::AtMax { .. } | Finding::Refused { .. } => false,
            Finding::OutOfBounds { reshards, .. }
            | Finding::Floor { reshards, .. }
            | Finding::Resize { reshards, .. } => *reshards > 0,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Split { shard, seen, for_s, children, expected_per_mille, isolated } => {
                write!(f, "{shard} took {seen}, for {for_s} s: split in {children} at load quantiles")?;
                if let [key, ..] = &isolated[..] {
                    let more = match isolated.len() {
                        1 => String::new(),
                        n => format!(" and {} more", n - 1),
                    };
                    write!(f, " and around hash key {key}{more}, too hot for any shard it shares")?;
                }
                write!(f, "; each other child is expected to carry up to {}", Percent(*expected_per_mille))
            }
            Finding::HotKey { shard, key, seen, key_per_mille } => write!(
                f,
                "{shard} took {seen}, of which hash key {key} alone {}: not cut, since one key can't be divided; \
                 spread it over several partition keys, or raise the target",
                Percent(*key_per_mille)
            ),
            Finding::AtMax { shard, seen, max_shards } => write!(
                f,
                "{shard} took {seen}: not split, since the stream may have no more than {max_shards} shards; raise \
                 its most shards"
            ),
            Finding::Merge { shard, adjacent, peak_per_mille, below_per_mille, for_s } => write!(
                f,
                "{shard} and {adjacent} together stayed at {} of one target or less for {for_s} s, below {}: merged, \
                 which saves a shard",
                Percent(*peak_per_mille),
                Percent(*below_per_mille)
            ),
            Finding::OutOfBounds { shards, min_shards, max_shards, reshards } => write!(
                f,
                "the stream has {shards} shards, where {min_shards} to {max_shards} are asked for: {}",
                Steps { reshards: *reshards, splits: shards < min_shards }
            ),
            Finding::Floor { shards, least, window, until_ms, reshards } => write!(
                f,
                "the stream has {shards} shards, where the window {window} of its floor asks for {least} until {}: {}",
                window.clock(*until_ms),
                Steps { reshards: *reshards, splits: true }
            ),
            Finding::Resize { from, to, reshards } => write!(
                f,
                "the stream has {from} shards, where {to} are asked for: {} towards ranges of equal width",
                Steps { reshards: *reshards, splits: from < to }
            ),
            Finding::Refused { why } => write!(f, "nothing is done: {why}"),
        }
    }
}

/// How many splits or merges.
struct Steps {
    reshards: u32,
    splits: bool,
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reshards, self.splits) {
            (0, _) => f.write_str("waiting for shards that can be resharded"),
            (1, true) => f.write_str("1 split"),
            (1, false) => f.write_str("1 merge"),
            (n, true) => write!(f, "{n} splits"),
            (n, false) => write!(f, "{n} merges"),
        }
    }
}
