//! Going to a number of shards, for policies that decide on the number alone: the shard with the most load gets the
//! most parts, of equal width, and the coldest neighbours are merged.

use millrace_core::ShardMap;
use millrace_core::plan::Action;

/// The actions from this map towards `count` open shards, given each open shard's load. None while reshards are under
/// way.
pub(super) fn go_to(map: &ShardMap, loads: &[f64], count: usize) -> Vec<Action> {
    if !map.reshards.is_empty() {
        return Vec::new();
    }
    if count > map.open.len() { grow(map, loads, count) } else { shrink(map, loads, count) }
}

fn grow(map: &ShardMap, loads: &[f64], count: usize) -> Vec<Action> {
    let mut parts = vec![1_u32; map.open.len()];
    for _ in map.open.len()..count {
        let heaviest = (0..parts.len()).max_by(|a, b| {
            let load = |index: &usize| (loads[*index] + 1e-9) / f64::from(parts[*index]);
            load(a).total_cmp(&load(b))
        });
        parts[heaviest.unwrap_or(0)] += 1;
    }
    let split = parts.iter().enumerate().filter(|(_, parts)| **parts > 1);
    split
        .map(|(index, parts)| Action::Split {
            shard: map.open[index].id,
            cuts: map.range(index).divide(*parts).split_off(1),
        })
        .filter(|action| !matches!(action, Action::Split { cuts, .. } if cuts.is_empty()))
        .collect()
}

fn shrink(map: &ShardMap, loads: &[f64], count: usize) -> Vec<Action> {
    let mut pairs: Vec<usize> = (0..map.open.len().saturating_sub(1)).collect();
    pairs.sort_by(|a, b| (loads[*a] + loads[a + 1]).total_cmp(&(loads[*b] + loads[b + 1])));
    let mut taken = vec![false; map.open.len()];
    let mut actions = Vec::new();
    for left in pairs {
        if actions.len() + count >= map.open.len() {
            break;
        }
        if !taken[left] && !taken[left + 1] {
            (taken[left], taken[left + 1]) = (true, true);
            actions.push(Action::Merge { shard: map.open[left].id, adjacent: map.open[left + 1].id });
        }
    }
    actions
}
