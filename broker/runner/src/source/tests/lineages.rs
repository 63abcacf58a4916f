use std::collections::BTreeMap;

use super::*;
use crate::source::lineage::{forgettable, heir, inherited, readable};

fn shard(id: u64, parents: &[u64], children: &[u64]) -> SourceShard {
    let ids = |ids: &[u64]| ids.iter().map(|id| ShardId(*id)).collect();
    SourceShard { id: ShardId(id), parents: ids(parents), children: ids(children) }
}

/// 0 is split into 1 and 2, which merge into 3, named the other way round.
fn family() -> Vec<SourceShard> {
    vec![shard(0, &[], &[1, 2]), shard(1, &[0], &[3]), shard(2, &[0], &[3]), shard(3, &[2, 1], &[])]
}

fn done(ids: &[u64], window: Option<&OpenWindow>) -> BTreeMap<ShardId, Checkpoint> {
    let ended = Checkpoint { ended: true, window: window.cloned(), ..at(9) };
    ids.iter().map(|id| (ShardId(*id), ended.clone())).collect()
}

fn ids(shards: Vec<&SourceShard>) -> Vec<u64> {
    shards.into_iter().map(|shard| shard.id.0).collect()
}

#[test]
fn children_are_read_once_all_their_parents_are_drained() {
    let family = family();
    assert_eq!(ids(readable(&family, &BTreeMap::new())), [0]);
    // Having begun is not being drained.
    assert_eq!(ids(readable(&family, &BTreeMap::from([(ShardId(0), at(5))]))), [0]);
    assert_eq!(ids(readable(&family, &done(&[0], None))), [1, 2]);
    assert_eq!(ids(readable(&family, &done(&[0, 2], None))), [1]);
    assert_eq!(ids(readable(&family, &done(&[0, 1, 2], None))), [3]);
    assert_eq!(ids(readable(&family, &done(&[0, 1, 2, 3], None))), [0; 0]);
}

#[test]
fn parents_that_retention_has_taken_are_not_waited_for() {
    assert_eq!(ids(readable(&family()[2..], &BTreeMap::new())), [2]);
    assert_eq!(ids(readable(&family()[3..], &BTreeMap::new())), [3]);
    assert_eq!(forgettable(&family()[2..], &done(&[0, 1, 2], None)), [ShardId(0), ShardId(1)]);
}

#[test]
fn each_window_has_one_heir_and_each_shard_inherits_one_window() {
    let family = family();
    let heirs: Vec<_> = family.iter().map(|shard| heir(shard, &family).map(|heir| heir.0)).collect();
    assert_eq!(heirs, [Some(1), None, Some(3), None]);
    // Without the child there is no heir.
    assert_eq!(heir(&family[0], &[family[0].clone(), family[2].clone()]), None);
    let window = OpenWindow { start_ms: 0, state: r#"{"n":1}"#.into() };
    let inherits = |id: usize, done: &BTreeMap<_, _>| inherited(&family[id], &family, done).is_some();
    let all = done(&[0, 1, 2], Some(&window));
    assert_eq!([0, 1, 2, 3].map(|id| inherits(id, &all)), [false, true, false, true]);
    assert!(!inherits(1, &BTreeMap::from([(ShardId(0), Checkpoint { window: Some(window), ..at(5) })])));
}
