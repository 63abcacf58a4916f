//! The offline optimum: what whoever knows the whole load in advance would pay at least.
//!
//! Dynamic programming over time and the number of open shards. Of every choice the cheapest thinkable course is
//! taken: with n shards all that is divisible of the load fits as if it were water, any growth takes one reshard
//! (a split into many), and one shard less takes one merge. So no policy can cost less, and none reaches it when
//! keys are uneven.

use millrace_core::load::Target;

use crate::cost::{Cost, RESHARD_COST_SHARD_HOURS, THROTTLED_RECORD_COST_SHARD_HOURS};
use crate::load::Load;

/// The cheapest course.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimum {
    /// What it costs.
    pub cost: Cost,
    /// How many shards are open in each of the load's segments.
    pub shards: Vec<u32>,
}

/// The cheapest course for this load, when a shard shall carry `target`.
pub fn optimum(load: &Load, target: &Target) -> Optimum {
    let target = target.records_per_s as f64;
    let needed: Vec<f64> = load
        .segments
        .iter()
        .map(|segment| load.keys[segment.keys].divisible(segment.records_per_s, target) / target)
        .collect();
    let most = needed.iter().copied().fold(1.0, f64::max).ceil() as usize;
    let excess = |needed: f64, shards: usize| (needed - shards as f64).max(0.0) * target;
    // Cost of being at `index + 1` shards, and from where each segment's cheapest way came.
    let mut costs = vec![0.0; most];
    let mut came_from: Vec<Vec<u32>> = Vec::with_capacity(needed.len());
    for (segment, needed) in load.segments.iter().zip(&needed) {
        let (best, from) = cheapest_moves(&costs);
        costs = best;
        for (index, cost) in costs.iter_mut().enumerate() {
            let shards = index + 1;
            let each_s =
                shards as f64 / 3_600.0 + THROTTLED_RECORD_COST_SHARD_HOURS * excess(*needed, shards);
            *cost += each_s * segment.for_s as f64;
        }
        came_from.push(from);
    }
    let cheapest = (0..most).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
    let mut at = cheapest as u32;
    let mut shards: Vec<u32> = came_from
        .iter()
        .rev()
        .map(|from| {
            let here = at + 1;
            at = from[at as usize];
            here
        })
        .collect();
    shards.reverse();
    let mut cost = Cost::default();
    for (index, (segment, needed)) in load.segments.iter().zip(&needed).enumerate() {
        let (open, for_s) = (shards[index], segment.for_s as f64);
        let before = index.checked_sub(1).map_or(open, |before| shards[before]);
        cost.shard_hours += f64::from(open) * for_s / 3_600.0;
        cost.reshards += f64::from(if open > before { 1 } else { before - open });
        cost.throttled_records += excess(*needed, open as usize) * for_s;
    }
    Optimum { cost, shards }
}

/// For each number of shards (less one): the cheapest way to be there, and from which number it comes.
fn cheapest_moves(costs: &[f64]) -> (Vec<f64>, Vec<u32>) {
    let mut best = costs.to_vec();
    let mut from: Vec<u32> = (0..costs.len() as u32).collect();
    // Up, by one split.
    let mut lowest = 0;
    for index in 1..costs.len() {
        if costs[index - 1] < costs[lowest] {
            lowest = index - 1;
        }
        let cost = costs[lowest] + RESHARD_COST_SHARD_HOURS;
        if cost < best[index] {
            (best[index], from[index]) = (cost, lowest as u32);
        }
    }
    // Down, by a merge for each. Never after a split in the same moment, which is never cheaper.
    let mut way = (f64::INFINITY, 0);
    for index in (0..costs.len()).rev() {
        way.0 += RESHARD_COST_SHARD_HOURS;
        if way.0 < best[index] {
            (best[index], from[index]) = way;
        }
        if costs[index] < way.0 {
            way = (costs[index], index as u32);
        }
    }
    (best, from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::Keys;
    use crate::load::Segment;
    use crate::policies::Policy;
    use crate::run::{TARGET, run};

    fn load(shards: &[(u64, f64)]) -> Load {
        let segment = |(for_s, shards): &(u64, f64)| Segment {
            for_s: *for_s,
            records_per_s: shards * 1_000.0,
            keys: 0,
        };
        Load::new(shards.iter().map(segment).collect(), Keys::zipf(500, 0.5, None, 1))
    }

    /// The cheapest of all courses with up to four shards, each tried.
    fn cheapest_of_all(load: &Load) -> f64 {
        let segments = load.segments.len() as u32;
        let courses = (0..4_u32.pow(segments)).map(|code| {
            let open: Vec<u32> = (0..segments).map(|n| code / 4_u32.pow(n) % 4 + 1).collect();
            let mut cost = Cost::default();
            for (index, (segment, open)) in load.segments.iter().zip(&open).enumerate() {
                let before = index.checked_sub(1).map_or(*open, |before| course_at(code, before as u32));
                cost.reshards += if *open > before { 1.0 } else { f64::from(before - open) };
                cost.shard_hours += f64::from(*open) * segment.for_s as f64 / 3_600.0;
                let excess = (segment.records_per_s - f64::from(*open) * 1_000.0).max(0.0);
                cost.throttled_records += excess * segment.for_s as f64;
            }
            cost.total()
        });
        courses.fold(f64::INFINITY, f64::min)
    }

    fn course_at(code: u32, segment: u32) -> u32 {
        code / 4_u32.pow(segment) % 4 + 1
    }

    #[test]
    fn idle_shards_are_kept_over_short_gaps_and_merged_over_long_ones() {
        let short = optimum(&load(&[(3_600, 8.0), (600, 1.0), (3_600, 8.0)]), &TARGET);
        assert_eq!(short.shards, [8, 8, 8]);
        let long = optimum(&load(&[(3_600, 8.0), (86_400, 1.0), (3_600, 8.0)]), &TARGET);
        assert_eq!(long.shards, [8, 1, 8]);
        assert_eq!(long.cost.reshards, 8.0);
    }

    #[test]
    fn a_key_that_is_too_hot_for_a_shard_takes_no_more_than_one() {
        let keys = Keys::new([(millrace_core::HashKey(7), 1.0)]);
        let alone = Load::new(vec![Segment { for_s: 3_600, records_per_s: 9_000.0, keys: 0 }], keys);
        let best = optimum(&alone, &TARGET);
        assert_eq!((best.shards, best.cost.throttled_records), (vec![1], 0.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_course_is_cheaper(shards in prop::collection::vec((60u64..20_000, 0.0f64..4.0), 1..6)) {
            let load = load(&shards);
            let best = optimum(&load, &TARGET).cost.total();
            let least = cheapest_of_all(&load);
            prop_assert!((best - least).abs() <= 1e-6 * least, "{best} {least}");
        }

        #[test]
        fn no_policy_is_cheaper(shards in prop::collection::vec((60u64..4_000, 0.0f64..12.0), 1..8), seed in any::<u64>()) {
            let load = load(&shards);
            let best = optimum(&load, &TARGET).cost.total();
            for name in Policy::NAMES {
                let run = run(&load, &Policy::named(name, 12).expect("there is such a policy"), seed);
                prop_assert!(run.cost.total() >= best - 1e-6, "{name}: {:?} below {best}", run.cost);
            }
        }
    }
}
