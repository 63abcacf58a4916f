//! What has to hold of shard maps, whatever is done to them in whatever order.

use std::collections::BTreeSet;

use millrace_core::lane::{MAX_LANES, SHARDS_PER_LANE};
use millrace_core::map::StoredFormatError;
use millrace_core::plan::{Action, PlanError};
use millrace_core::token::{self, Purpose, ShardIterator, TokenError, TokenKey};
use millrace_core::{
    CapacityMode, ClosedShard, DataId, HashKey, HashRange, Limits, Position, ShardId, ShardMap, StreamConfig,
    StreamEntry, StreamState,
};
use proptest::prelude::*;

const NOW_MS: i64 = 1_700_000_000_000;

/// One thing that happens to a map. The numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Split { shard: usize, cuts: Vec<u128> },
    Merge { left: usize, swapped: bool },
    Close { parent: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let split = (any::<usize>(), prop::collection::vec(any::<u128>(), 1..5))
        .prop_map(|(shard, cuts)| Step::Split { shard, cuts });
    let merge = (any::<usize>(), any::<bool>()).prop_map(|(left, swapped)| Step::Merge { left, swapped });
    let close = any::<usize>().prop_map(|parent| Step::Close { parent });
    prop_oneof![1 => split, 1 => merge, 2 => close]
}

/// Cuts of a range that can be made there, of any numbers.
fn cuts_within(range: HashRange, numbers: &[u128]) -> Vec<HashKey> {
    let cuts: BTreeSet<HashKey> = match range.width() {
        0 => BTreeSet::new(),
        width => numbers.iter().map(|number| HashKey(range.start.0 + 1 + number % width)).collect(),
    };
    cuts.into_iter().collect()
}

/// A map and what is remembered of its past.
#[derive(Debug)]
struct History {
    map: ShardMap,
    /// Every shard that was ever promised, and every epoch.
    shards: BTreeSet<ShardId>,
    epochs: BTreeSet<u64>,
    closed: Vec<ClosedShard>,
    sequence: u64,
}

impl History {
    fn new(shards: u32) -> History {
        let map = ShardMap::new(shards, NOW_MS);
        let ids = map.open.iter().map(|shard| shard.id).collect();
        History { map, shards: ids, epochs: BTreeSet::from([1]), closed: Vec::new(), sequence: 0 }
    }

    fn plan(&mut self, action: Action) -> Result<(), TestCaseError> {
        let free = match &action {
            Action::Split { shard, .. } => self.map.reshard_of(*shard).is_none(),
            Action::Merge { shard, adjacent } => {
                self.map.reshard_of(*shard).or(self.map.reshard_of(*adjacent)).is_none()
            }
        };
        let next = match self.map.plan(std::slice::from_ref(&action), NOW_MS) {
            Ok(next) => next,
            Err(error) => {
                prop_assert!(!free && matches!(error, PlanError::Resharding(_)), "{action:?}: {error}");
                return Ok(());
            }
        };
        prop_assert!(free);
        let reshard = next.reshards.last().unwrap();
        prop_assert!(self.epochs.insert(reshard.epoch), "epoch {} again", reshard.epoch);
        for child in &reshard.children {
            prop_assert!(self.shards.insert(child.id), "{} again", child.id);
        }
        self.map = next;
        Ok(())
    }

    fn close(&mut self, parent: usize) -> Result<(), TestCaseError> {
        let parents: Vec<ShardId> = self.map.reshards.iter().flat_map(|r| &r.parents).map(|p| p.id).collect();
        if parents.is_empty() {
            return Ok(());
        }
        let parent = parents[parent % parents.len()];
        let epoch_before = self.map.get(parent).unwrap().epoch;
        self.sequence += 1;
        let Some(closing) = self.map.close(parent, self.sequence, NOW_MS) else {
            let reshard = self.map.reshard_of(parent).unwrap();
            prop_assert!(reshard.parents.iter().any(|p| p.id == parent && p.end.is_some()));
            return Ok(());
        };
        for closed in &closing.closed {
            prop_assert_eq!(closing.map.get(closed.id), None);
            prop_assert_eq!(ClosedShard::decode(&closed.encode()), Ok(closed.clone()));
            for child in &closed.children {
                let child = closing.map.get(*child).expect("children open as their parents leave");
                prop_assert!(child.epoch > closed.epoch && child.epoch > epoch_before);
                prop_assert!(child.parents.iter().any(|id| id == closed.id));
            }
        }
        self.closed.extend(closing.closed);
        self.map = closing.map;
        Ok(())
    }

    fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let open = self.map.open.len();
        match step {
            Step::Split { shard, cuts } => {
                let index = shard % open;
                let cuts = cuts_within(self.map.range(index), cuts);
                if cuts.is_empty() {
                    return Ok(());
                }
                self.plan(Action::Split { shard: self.map.open[index].id, cuts })
            }
            Step::Merge { left, swapped } if open > 1 => {
                let left = left % (open - 1);
                let (a, b) = (self.map.open[left].id, self.map.open[left + 1].id);
                let (shard, adjacent) = if *swapped { (b, a) } else { (a, b) };
                self.plan(Action::Merge { shard, adjacent })
            }
            Step::Merge { .. } => Ok(()),
            Step::Close { parent } => self.close(*parent),
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.map.check(), Ok(()));
        let ranges: Vec<HashRange> = (0..self.map.open.len()).map(|index| self.map.range(index)).collect();
        prop_assert_eq!(ranges[0].start, HashKey::MIN);
        prop_assert_eq!(ranges[ranges.len() - 1].end, HashKey::MAX);
        prop_assert!(ranges.windows(2).all(|pair| pair[0].end.after() == Some(pair[1].start)));
        for (index, range) in ranges.iter().enumerate() {
            prop_assert_eq!(self.map.route(range.start), index);
            prop_assert_eq!(self.map.route(range.end), index);
        }
        prop_assert_eq!(ShardMap::decode(&self.map.encode()), Ok(self.map.clone()));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn open_shards_partition_the_hash_space_through_any_splits_merges_and_closes(
        shards in 1u32..20, steps in prop::collection::vec(step(), 0..60)
    ) {
        let mut history = History::new(shards);
        history.check()?;
        for step in &steps {
            history.apply(step)?;
            history.check()?;
        }
        // Whatever was begun can be finished, and then every shard that was promised is open or has been.
        while !history.map.reshards.is_empty() {
            for parent in 0..history.map.reshards.iter().map(|r| r.parents.len()).sum() {
                history.close(parent)?;
            }
            history.check()?;
        }
        let mut seen: BTreeSet<ShardId> = history.closed.iter().map(|closed| closed.id).collect();
        prop_assert_eq!(seen.len(), history.closed.len());
        seen.extend(history.map.open.iter().map(|shard| shard.id));
        prop_assert_eq!(&seen, &history.shards);
        prop_assert_eq!(seen.len() as u64, history.map.next_shard.0);
    }

    #[test]
    fn the_closed_shards_of_a_lineage_have_the_ranges_that_their_children_take_over(
        shards in 1u32..6, steps in prop::collection::vec(step(), 0..40)
    ) {
        let mut history = History::new(shards);
        for step in &steps {
            history.apply(step)?;
        }
        let range_of = |id: ShardId| {
            let closed = history.closed.iter().find(|closed| closed.id == id).map(|closed| closed.range);
            closed.or_else(|| history.map.index_of(id).map(|index| history.map.range(index)))
        };
        for closed in &history.closed {
            let children: Vec<HashRange> = closed.children.iter().filter_map(|id| range_of(*id)).collect();
            prop_assert_eq!(children.len(), closed.children.len());
            prop_assert!(children.windows(2).all(|pair| pair[0].end.after() == Some(pair[1].start)));
            prop_assert!(children[0].start <= closed.range.start);
            prop_assert!(children[children.len() - 1].end >= closed.range.end);
        }
    }

    #[test]
    fn actions_that_cannot_be_are_refused_and_leave_nothing_behind(
        shards in 2u32..8, steps in prop::collection::vec(step(), 0..20), cut in any::<u128>()
    ) {
        let mut history = History::new(shards);
        for step in &steps {
            history.apply(step)?;
        }
        let map = &history.map;
        let refusal = |action: Action| map.plan(&[action], NOW_MS).err();
        let split = |shard: ShardId, cuts: Vec<HashKey>| refusal(Action::Split { shard, cuts });
        prop_assert_eq!(split(map.next_shard, vec![HashKey(cut)]), Some(PlanError::NotOpen(map.next_shard)));
        for (index, shard) in map.open.iter().enumerate().filter(|(_, s)| map.reshard_of(s.id).is_none()) {
            let range = map.range(index);
            let outside = HashKey(cut) <= range.start || HashKey(cut) > range.end;
            prop_assert_eq!(split(shard.id, vec![HashKey(cut)]).is_some(), outside);
            for cuts in [vec![], vec![range.end, range.end]] {
                let outside = matches!(split(shard.id, cuts), Some(PlanError::CutOutside { .. }));
                prop_assert!(outside);
            }
            let alone = refusal(Action::Merge { shard: shard.id, adjacent: shard.id });
            prop_assert_eq!(alone, Some(PlanError::NotNeighbours(shard.id, shard.id)));
        }
    }

    #[test]
    fn step_to_uniform_ends_at_shards_of_equal_width(
        shards in 1u32..20, steps in prop::collection::vec(step(), 0..40), count in 1u32..40
    ) {
        let mut history = History::new(shards);
        for step in &steps {
            history.apply(step)?;
        }
        let mut rounds = 0;
        loop {
            while !history.map.reshards.is_empty() {
                prop_assert_eq!(history.map.step_to_uniform(count), []);
                history.close(0)?;
                history.close(1)?;
                history.check()?;
            }
            let actions = history.map.step_to_uniform(count);
            if actions.is_empty() {
                break;
            }
            rounds += 1;
            prop_assert!(rounds <= 20, "no end in sight at {} shards", history.map.open.len());
            for action in actions {
                history.plan(action)?;
            }
            history.check()?;
        }
        let starts: Vec<HashKey> = history.map.open.iter().map(|shard| shard.start).collect();
        prop_assert_eq!(starts, HashRange::FULL.divide(count));
    }

    #[test]
    fn new_shards_share_as_few_lanes_as_are_due_evenly(shards in 1u32..200) {
        let map = ShardMap::new(shards, NOW_MS);
        let due = (shards as usize).div_ceil(SHARDS_PER_LANE).min(usize::from(MAX_LANES));
        prop_assert_eq!(usize::from(map.lanes), due);
        let mut used = vec![0_usize; due];
        for shard in &map.open {
            used[usize::from(shard.lane.0)] += 1;
        }
        prop_assert!(used.iter().max().unwrap() - used.iter().min().unwrap() <= 1, "{:?}", used);
    }

    #[test]
    fn children_take_lanes_that_exist_and_that_the_fewest_shards_use(
        shards in 1u32..30, cuts in prop::collection::vec(any::<u128>(), 1..40)
    ) {
        let map = ShardMap::new(shards, NOW_MS);
        let cuts = cuts_within(map.range(0), &cuts);
        let next = map.plan(&[Action::Split { shard: map.open[0].id, cuts }], NOW_MS).unwrap();
        prop_assert!(next.lanes >= map.lanes);
        let mut used = vec![0_usize; usize::from(next.lanes)];
        let children = &next.reshards[0].children;
        for lane in map.open.iter().map(|s| s.lane).chain(children.iter().map(|c| c.lane)) {
            prop_assert!(lane.0 < next.lanes);
            used[usize::from(lane.0)] += 1;
        }
        // The old lanes were even to within one, so the new shards leave them all so, if they are enough.
        let spread = used.iter().max().unwrap() - used.iter().min().unwrap();
        prop_assert!(spread <= 1 || children.len() < used.len() * SHARDS_PER_LANE, "{:?}", used);
    }

    #[test]
    fn any_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ShardMap::decode(&bytes);
        let _ = ClosedShard::decode(&bytes);
        let _ = StreamEntry::decode(&bytes);
        let versioned = [&[1], bytes.as_slice()].concat();
        let _ = ShardMap::decode(&versioned);
        let _ = ClosedShard::decode(&versioned);
        let _ = StreamEntry::decode(&versioned);
    }

    #[test]
    fn a_stored_map_with_changed_bytes_is_refused_or_still_a_good_map(
        shards in 1u32..8, steps in prop::collection::vec(step(), 0..10),
        at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut history = History::new(shards);
        for step in &steps {
            history.apply(step)?;
        }
        let mut bytes = history.map.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(map) = ShardMap::decode(&bytes) {
            prop_assert_eq!(map.check(), Ok(()));
        }
        bytes.truncate(at);
        prop_assert!(ShardMap::decode(&bytes).is_err());
    }

    #[test]
    fn values_of_a_later_format_are_named_as_such(version in 2u8.., rest in any::<Vec<u8>>()) {
        let bytes = [&[version], rest.as_slice()].concat();
        prop_assert_eq!(ShardMap::decode(&bytes), Err(StoredFormatError::Newer(version)));
        prop_assert_eq!(ClosedShard::decode(&bytes), Err(StoredFormatError::Newer(version)));
        prop_assert_eq!(StreamEntry::decode(&bytes), Err(StoredFormatError::Newer(version)));
    }

    #[test]
    fn stream_entries_round_trip(
        data in any::<u128>(), created_ms in any::<i64>(), shards in any::<u32>(), retention_s in any::<u64>(),
        state in prop::sample::select(
            &[StreamState::Creating, StreamState::Active, StreamState::Deleting, StreamState::Retained][..]
        ),
        provisioned in any::<bool>(), limited in any::<bool>()
    ) {
        let mode = if provisioned { CapacityMode::Provisioned } else { CapacityMode::OnDemand };
        let limits = if limited { Limits::Kinesis } else { Limits::None };
        let config = StreamConfig { mode, shards, retention_s, limits, ..StreamConfig::default() };
        let entry = StreamEntry { data: DataId::from_random(data), state, created_ms, config };
        prop_assert_eq!(StreamEntry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn shard_iterators_round_trip_until_they_expire(
        key in any::<[u8; 32]>(), data in any::<u128>(), shard in any::<u64>(), pack in any::<u64>(),
        index in any::<u32>(), not_before_ms in any::<Option<i64>>(), expires_ms in 0i64..1 << 45
    ) {
        let key = TokenKey(key);
        let next = Position { pack, index };
        let data = DataId::from_random(data);
        let iterator = ShardIterator { data, shard: ShardId(shard), next, not_before_ms };
        let text = iterator.seal(&key, expires_ms);
        prop_assert_eq!(ShardIterator::open(&key, &text, expires_ms), Ok(iterator));
        let expired = ShardIterator::open(&key, &text, expires_ms + 1);
        prop_assert_eq!(expired, Err(TokenError::Expired { at_ms: expires_ms }));
    }

    #[test]
    fn tokens_that_were_changed_or_are_another_clusters_or_for_something_else_are_refused(
        key in any::<[u8; 32]>(), other in any::<[u8; 32]>(), payload in any::<Vec<u32>>(),
        at in any::<prop::sample::Index>(), bit in 0u8..8
    ) {
        prop_assume!(key != other);
        let key = TokenKey(key);
        let text = token::seal(&key, Purpose::ListShards, NOW_MS, &payload);
        let open = |key: &TokenKey, purpose, text: &str| token::open(key, purpose, text, NOW_MS);
        prop_assert!(open(&key, Purpose::ListShards, &text).is_ok());
        prop_assert_eq!(open(&TokenKey(other), Purpose::ListShards, &text), Err(TokenError::Invalid));
        prop_assert_eq!(open(&key, Purpose::ListStreams, &text), Err(TokenError::Invalid));
        prop_assert_eq!(open(&key, Purpose::ShardIterator, &text), Err(TokenError::Invalid));
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes.clone()) {
            prop_assert_eq!(open(&key, Purpose::ListShards, &changed), Err(TokenError::Invalid));
        }
        bytes.truncate(at);
        if let Ok(short) = String::from_utf8(bytes) {
            prop_assert_eq!(open(&key, Purpose::ListShards, &short), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn any_text_is_taken_for_a_token_without_a_panic(text in any::<String>(), key in any::<[u8; 32]>()) {
        prop_assert!(ShardIterator::open(&TokenKey(key), &text, NOW_MS).is_err());
    }
}
