//! Splits and merges as they are decided: pure changes that write an intent into the map.

use crate::hash::HashKey;
use crate::id::ShardId;
use crate::map::{MAX_OPEN_SHARDS, Reshard, ReshardChild, ReshardParent, ShardMap};

/// A split or a merge that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Replace `shard` by several children that start at its own start and at each of `cuts`.
    Split {
        /// The shard to end.
        shard: ShardId,
        /// Where the second and further children start, rising, each within the shard and above its start.
        cuts: Vec<HashKey>,
    },
    /// Replace two neighbours by one child.
    Merge {
        /// The shard that the child names as its parent.
        shard: ShardId,
        /// The shard that the child names as its adjacent parent; on either side of `shard`.
        adjacent: ShardId,
    },
}

/// Why a split or merge can't be decided on this map. Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The shard is closed, or never was.
    #[error("{0} is not open")]
    NotOpen(ShardId),
    /// The shard is the parent of another reshard already.
    #[error("{0} is being resharded already")]
    Resharding(ShardId),
    /// A cut lies outside the shard, at its start, or not above the cut before it.
    #[error(
        "{cut} is no place to cut {shard}: it must lie above {start}, not above {end}, and cuts must rise"
    )]
    CutOutside {
        /// The shard that was to be split.
        shard: ShardId,
        /// The cut that is wrong.
        cut: HashKey,
        /// The shard's first place.
        start: HashKey,
        /// The shard's last place.
        end: HashKey,
    },
    /// The two shards to merge do not lie side by side.
    #[error("{0} and {1} are not neighbours")]
    NotNeighbours(ShardId, ShardId),
    /// The stream would have more open shards than a map holds.
    #[error("the stream would have {0} open shards, more than {MAX_OPEN_SHARDS}")]
    TooManyShards(usize),
}

impl ShardMap {
    /// The next map, with the intents of `actions` in it. Shards keep taking records until the parents' owners
    /// have carried the intents out. Lanes that the new map counts and the old one did not have to be made in
    /// JetStream before the map is written.
    ///
    /// # Errors
    /// The first action that can't be; all of them are refused then.
    pub fn plan(&self, actions: &[Action], now_ms: i64) -> Result<ShardMap, PlanError> {
        let mut map = self.clone();
        for action in actions {
            map.intend(action, now_ms)?;
        }
        Ok(map)
    }

    /// How many shards will be open once every reshard is finished.
    pub fn open_after_reshards(&self) -> usize {
        let born: usize = self.reshards.iter().map(|reshard| reshard.children.len()).sum();
        let gone: usize = self.reshards.iter().map(|reshard| reshard.parents.len()).sum();
        self.open.len() + born - gone
    }

    fn intend(&mut self, action: &Action, now_ms: i64) -> Result<(), PlanError> {
        let (parents, starts) = match action {
            Action::Split { shard, cuts } => {
                let index = self.free(*shard)?;
                let range = self.range(index);
                let mut low = range.start;
                for &cut in cuts {
                    if cut <= low || cut > range.end {
                        let (start, end) = (range.start, range.end);
                        return Err(PlanError::CutOutside { shard: *shard, cut, start, end });
                    }
                    low = cut;
                }
                if cuts.is_empty() {
                    let (start, end) = (range.start, range.end);
                    return Err(PlanError::CutOutside { shard: *shard, cut: start, start, end });
                }
                (vec![*shard], [range.start].iter().chain(cuts).copied().collect::<Vec<_>>())
            }
            Action::Merge { shard, adjacent } => {
                let (a, b) = (self.free(*shard)?, self.free(*adjacent)?);
                if a.abs_diff(b) != 1 {
                    return Err(PlanError::NotNeighbours(*shard, *adjacent));
                }
                (vec![*shard, *adjacent], vec![self.open[a.min(b)].start])
            }
        };
        let after = self.open_after_reshards() + starts.len() - parents.len();
        if after > MAX_OPEN_SHARDS {
            return Err(PlanError::TooManyShards(after));
        }
        let lanes = self.assign_lanes(starts.len());
        let children = starts
            .into_iter()
            .zip(lanes)
            .map(|(start, lane)| ReshardChild { id: self.take_shard_id(), lane, start })
            .collect();
        let parents = parents.into_iter().map(|id| ReshardParent { id, end: None }).collect();
        self.reshards.push(Reshard { epoch: self.next_epoch, parents, children, decided_ms: now_ms });
        self.next_epoch += 1;
        Ok(())
    }

    /// The index of an open shard that no reshard has taken.
    fn free(&self, shard: ShardId) -> Result<usize, PlanError> {
        let index = self.index_of(shard).ok_or(PlanError::NotOpen(shard))?;
        match self.reshard_of(shard) {
            Some(_) => Err(PlanError::Resharding(shard)),
            None => Ok(index),
        }
    }

    /// The next step from this map towards `count` shards of equal width: first all splits that are needed,
    /// then, when none is left, merges of pairs. Empty when the stream has that shape, or while reshards are
    /// under way. Call again with the map that results.
    pub fn step_to_uniform(&self, count: u32) -> Vec<Action> {
        if !self.reshards.is_empty() {
            return Vec::new();
        }
        let targets = crate::hash::HashRange::FULL.divide(count);
        let mut splits = Vec::new();
        for (index, shard) in self.open.iter().enumerate() {
            let range = self.range(index);
            let cuts: Vec<HashKey> =
                targets.iter().copied().filter(|cut| *cut > range.start && *cut <= range.end).collect();
            if !cuts.is_empty() {
                splits.push(Action::Split { shard: shard.id, cuts });
            }
        }
        if !splits.is_empty() {
            return splits;
        }
        let mut merges = Vec::new();
        let mut index = 0;
        while index + 1 < self.open.len() {
            let right = &self.open[index + 1];
            if targets.binary_search(&right.start).is_err() {
                merges.push(Action::Merge { shard: self.open[index].id, adjacent: right.id });
                index += 2;
            } else {
                index += 1;
            }
        }
        merges
    }
}
