//! A stream of shards under load: the map, as the real system changes it, and what each shard takes and refuses.

use std::collections::HashMap;

use millrace_core::load::Target;
use millrace_core::plan::Action;
use millrace_core::{ClosedShard, HashKey, ShardId, ShardMap};

use crate::keys::{Keys, Random};

/// A shard refuses what exceeds this multiple of its target. The broker in OnDemand lets twice the target pass, so that
/// the autoscaler has time to act; here nobody has that time, and what a shard can carry is one and the same number for
/// every policy and for the oracle.
pub const LIMIT_OVER_TARGET: f64 = 1.0;

/// From a decision to open children it takes a fraction of a second, but for one reshard in so many, which waits for
/// another beat or round of the controller: 2 s and 3 s from the begin of an overload, which is what was measured
/// (docs/performance.md: 1.95 s in the median, 2.90 s at most). What writers send meanwhile (22 ms in the median, 88 ms
/// at p99) waits and is not refused, so within steps of a second it shows nowhere.
const LATE_ONE_IN: u64 = 4;

/// A shard's lineage is followed back for as long as a Stream keeps records by default.
const RETENTION_S: u64 = 24 * 3_600;

/// What a shard was offered, and what of it was refused, in records a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Carried {
    pub(crate) offered: f64,
    pub(crate) refused: f64,
}

pub(crate) struct Stream {
    map: ShardMap,
    /// Of each open shard: its share in the load, and the records that it takes beyond its limit's rate (a token
    /// bucket that holds one second's worth).
    shares: Vec<f64>,
    tokens: Vec<f64>,
    carried: Vec<Carried>,
    limit: f64,
    /// When each reshard under way is finished, in seconds.
    due: HashMap<u64, u64>,
    closes: u64,
    random: Random,
    /// For each open shard, when the ancestors of its longest line within retention were closed, latest first.
    lineage: HashMap<ShardId, Vec<u64>>,
    max_lineage_depth: u32,
}

impl Stream {
    pub(crate) fn new(shards: u32, target: &Target, keys: &Keys, seed: u64) -> Stream {
        let mut stream = Stream {
            map: ShardMap::new(shards, 0),
            shares: Vec::new(),
            tokens: Vec::new(),
            carried: Vec::new(),
            limit: target.records_per_s as f64 * LIMIT_OVER_TARGET,
            due: HashMap::new(),
            closes: 0,
            random: Random::new(seed),
            lineage: HashMap::new(),
            max_lineage_depth: 0,
        };
        stream.tokens = vec![stream.limit; stream.map.open.len()];
        stream.use_keys(keys);
        stream
    }

    pub(crate) fn map(&self) -> &ShardMap {
        &self.map
    }

    pub(crate) fn carried(&self) -> &[Carried] {
        &self.carried
    }

    pub(crate) fn max_lineage_depth(&self) -> u32 {
        self.max_lineage_depth
    }

    /// Goes on with other keys.
    pub(crate) fn use_keys(&mut self, keys: &Keys) {
        self.shares = (0..self.map.open.len()).map(|index| keys.share(self.map.range(index))).collect();
    }

    pub(crate) fn share(&self, index: usize) -> f64 {
        self.shares[index]
    }

    /// One second in which `records` are offered. Whether the next second would be the same.
    pub(crate) fn carry(&mut self, records: f64) -> bool {
        let mut settled = true;
        self.carried.clear();
        for (share, tokens) in self.shares.iter().zip(&mut self.tokens) {
            let offered = records * share;
            let taken = offered.min(*tokens + self.limit);
            let left = (*tokens + self.limit - taken).min(self.limit);
            settled &= left == *tokens;
            *tokens = left;
            self.carried.push(Carried { offered, refused: offered - taken });
        }
        settled
    }

    /// Writes the intents, which are carried out by and by. How many.
    pub(crate) fn begin(&mut self, actions: &[Action], now_s: u64) -> u32 {
        let first = self.map.next_epoch;
        // One by one: what can't be planned (two actions on one shard) is left out, as the controller does.
        for action in actions {
            if let Ok(next) = self.map.plan(std::slice::from_ref(action), now_s as i64 * 1_000) {
                self.map = next;
            }
        }
        for epoch in first..self.map.next_epoch {
            let late = self.random.bits().is_multiple_of(LATE_ONE_IN);
            self.due.insert(epoch, now_s + u64::from(late));
        }
        (self.map.next_epoch - first) as u32
    }

    /// When the next reshard is finished, if one is under way.
    pub(crate) fn next_due_s(&self) -> Option<u64> {
        self.due.values().copied().min()
    }

    /// Carries out the reshards that are due. How many were of no use: splits that left a child with nine tenths of
    /// its parent's load or more.
    pub(crate) fn finish(&mut self, now_s: u64, keys: &Keys) -> u32 {
        if self.next_due_s().is_none_or(|due| due > now_s) {
            return 0;
        }
        let before: HashMap<ShardId, f64> =
            self.map.open.iter().map(|shard| shard.id).zip(self.tokens.iter().copied()).collect();
        let mut closed: Vec<ClosedShard> = Vec::new();
        for reshard in self.map.reshards.clone() {
            if self.due.get(&reshard.epoch).is_none_or(|due| *due > now_s) {
                continue;
            }
            self.due.remove(&reshard.epoch);
            for parent in &reshard.parents {
                self.closes += 1;
                if let Some(closing) = self.map.close(parent.id, self.closes, now_s as i64 * 1_000) {
                    self.map = closing.map;
                    closed.extend(closing.closed);
                }
            }
        }
        self.tokens =
            self.map.open.iter().map(|s| before.get(&s.id).copied().unwrap_or(self.limit)).collect();
        debug_assert_eq!(self.map.check(), Ok(()));
        self.use_keys(keys);
        self.note_lineage(&closed, now_s);
        closed.iter().filter(|parent| self.is_futile(parent, keys)).count() as u32
    }

    fn is_futile(&self, parent: &ClosedShard, keys: &Keys) -> bool {
        let shares =
            parent.children.iter().filter_map(|child| self.map.index_of(*child)).map(|i| self.shares[i]);
        parent.children.len() > 1 && shares.fold(0.0, f64::max) >= 0.9 * keys.share(parent.range)
    }

    fn note_lineage(&mut self, closed: &[ClosedShard], now_s: u64) {
        let mut lines: HashMap<ShardId, Vec<u64>> = HashMap::new();
        for parent in closed {
            let above = self.lineage.remove(&parent.id).unwrap_or_default();
            let mut line = vec![now_s];
            line.extend(above.into_iter().take_while(|at| at + RETENTION_S > now_s));
            for child in &parent.children {
                // The n-th ancestor of a merged shard is kept as long as either parent's is.
                let joined = lines.entry(*child).or_default();
                joined.resize(joined.len().max(line.len()), 0);
                for (joined, at) in joined.iter_mut().zip(&line) {
                    *joined = (*joined).max(*at);
                }
            }
        }
        let deepest = lines.values().map(Vec::len).max().unwrap_or(0);
        self.max_lineage_depth = self.max_lineage_depth.max(deepest as u32);
        self.lineage.extend(lines);
    }

    /// The open shard in which a key lies.
    pub(crate) fn route(&self, key: HashKey) -> usize {
        self.map.route(key)
    }
}
