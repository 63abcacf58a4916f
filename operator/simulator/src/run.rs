//! A run: a load, a policy, second by second.

use millrace_core::ShardId;
use millrace_core::load::Target;
use millrace_core::plan::Action;

use crate::cost::Cost;
use crate::figures::{Figures, Meter, TOLERANCE, percentile};
use crate::load::{Load, Segment};
use crate::oracle::{Optimum, optimum};
use crate::policies::{Policy, Seen};
use crate::stream::{LIMIT_OVER_TARGET, Stream};

/// What one shard shall carry in a simulation: a Stream's default.
pub const TARGET: Target = Target { bytes_per_s: 1 << 20, records_per_s: 1_000 };

/// A merge whose child is split again so soon was of no use, in seconds.
const REGRET_S: u64 = 600;

/// How shards and reshards went over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// From which second on how many shards were open.
    pub shards: Vec<(u64, u32)>,
    /// In which second how many reshards began.
    pub reshards: Vec<(u64, u32)>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it is judged by.
    pub figures: Figures,
    /// What it cost.
    pub cost: Cost,
    /// How it went.
    pub course: Course,
}

/// Runs a policy on a load. `seed` draws what the load leaves open: samples in reports, and how long reshards take.
pub fn run(load: &Load, policy: &Policy, seed: u64) -> Run {
    let best = optimum(load, &TARGET);
    match policy {
        Policy::Oracle => of_oracle(load, &best),
        policy => simulate(load, policy, seed, best.cost.shard_hours, true),
    }
}

/// `skips`: whether seconds that are like the one before are taken at once, where nobody looks at them.
pub(crate) fn simulate(load: &Load, policy: &Policy, seed: u64, oracle_shard_hours: f64, skips: bool) -> Run {
    let mut scaler = policy.scaler();
    let mut stream = Stream::new(scaler.first_shards(), &TARGET, &load.keys[0], seed);
    let mut meter = Meter::new(TARGET.records_per_s as f64);
    let mut course = Course::default();
    let mut merged: Vec<(ShardId, u64)> = Vec::new();
    let mut now_s = 0;
    for segment in &load.segments {
        let keys = &load.keys[segment.keys];
        stream.use_keys(keys);
        let end_s = now_s + segment.for_s;
        let mut same = false;
        while now_s < end_s {
            let epoch = stream.map().next_epoch;
            meter.futile(stream.finish(now_s, keys));
            note(&mut course.shards, now_s, stream.map().open.len() as u32);
            // A second that is like the one before tells nothing new until somebody looks again.
            let until_s = if same && skips && stream.next_due_s().is_none() {
                scaler.next_look_s(now_s).clamp(now_s + 1, end_s)
            } else {
                now_s + 1
            };
            let settled = stream.carry(segment.records_per_s);
            let seconds = if settled { until_s - now_s } else { 1 };
            now_s += seconds;
            meter.add(&stream, keys, segment.records_per_s, seconds);
            let (start_s, key_set) = (load.start_s, segment.keys);
            let seen = Seen { start_s, now_s, seconds, stream: &stream, keys, key_set, seed };
            let actions = scaler.decide(&seen);
            let regretted = actions.iter().filter(|action| splits_merged(action, &merged, now_s)).count();
            let begun = stream.begin(&actions, now_s);
            merged.retain(|(_, at_s)| now_s - at_s < REGRET_S);
            let new = stream.map().reshards.iter().filter(|reshard| reshard.epoch >= epoch);
            merged.extend(new.filter(|r| r.parents.len() == 2).map(|r| (r.children[0].id, now_s)));
            meter.reshards(begun);
            meter.futile(regretted as u32);
            if begun > 0 {
                course.reshards.push((now_s, begun));
            }
            same = settled && begun == 0 && stream.next_due_s().is_none();
        }
    }
    let (figures, cost) = meter.finish(stream.max_lineage_depth(), oracle_shard_hours);
    Run { figures, cost, course }
}

fn splits_merged(action: &Action, merged: &[(ShardId, u64)], now_s: u64) -> bool {
    let Action::Split { shard, .. } = action else { return false };
    merged.iter().any(|(child, at_s)| child == shard && now_s - at_s < REGRET_S)
}

fn note(shards: &mut Vec<(u64, u32)>, now_s: u64, open: u32) {
    if shards.last().is_none_or(|(_, before)| *before != open) {
        shards.push((now_s, open));
    }
}

/// The oracle's figures. Its shards are no real ones, and have no lineage.
fn of_oracle(load: &Load, best: &Optimum) -> Run {
    let mut course = Course::default();
    let mut throttling = Throttling::default();
    let (mut now_s, mut before) = (0, None);
    for (segment, shards) in load.segments.iter().zip(&best.shards) {
        note(&mut course.shards, now_s, *shards);
        let reshards = match before {
            Some(before) if before < *shards => 1,
            Some(before) => before - shards,
            None => 0,
        };
        if reshards > 0 {
            course.reshards.push((now_s, reshards));
        }
        before = Some(*shards);
        now_s += segment.for_s;
        throttling.add(load, segment, *shards);
    }
    let records = load.records().max(f64::MIN_POSITIVE);
    let figures = Figures {
        throttled_fraction: (throttling.by_keys + throttling.avoidable) / records,
        avoidable_throttled_fraction: throttling.avoidable / records,
        shard_hours: best.cost.shard_hours,
        shard_hours_over_oracle: 1.0,
        reshards_per_day: best.cost.reshards * 86_400.0 / load.seconds().max(1) as f64,
        futile_reshards: 0,
        overload_seconds: throttling.overload_s.iter().sum(),
        recovery_p95_seconds: percentile(&mut throttling.overload_s, 0.95) as f64,
        max_lineage_depth: 0,
    };
    Run { figures, cost: best.cost, course }
}

/// What the oracle leaves without room, in records, and the times in which it does, in seconds.
#[derive(Default)]
struct Throttling {
    by_keys: f64,
    avoidable: f64,
    overload_s: Vec<u64>,
}

impl Throttling {
    fn add(&mut self, load: &Load, segment: &Segment, shards: u32) {
        let (keys, rate, for_s) = (&load.keys[segment.keys], segment.records_per_s, segment.for_s);
        let target = TARGET.records_per_s as f64;
        let limit = target * LIMIT_OVER_TARGET;
        self.by_keys += keys.above(rate, limit).map(|(_, beyond)| beyond).sum::<f64>() * for_s as f64;
        self.avoidable += (keys.divisible(rate, limit) - limit * f64::from(shards)).max(0.0) * for_s as f64;
        if keys.divisible(rate, target) > target * f64::from(shards) * (1.0 + TOLERANCE) {
            self.overload_s.push(for_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_core::floor::{Days, FloorWindow, TimeOfDay};
    use millrace_core::{Floor, StreamConfig};
    use proptest::prelude::*;

    use super::*;
    use crate::keys::Keys;

    /// A window of each day, in minutes after midnight.
    fn window(start: u16, end: u16, shards: u32) -> FloorWindow {
        let [start, end] = [start, end].map(|minutes| TimeOfDay::of_minutes(minutes).expect("within a day"));
        FloorWindow { start, end, days: Days::EVERY, time_zone: "UTC".to_owned(), shards }
    }

    fn with_floor(policy: Policy, windows: &[FloorWindow]) -> Policy {
        match policy {
            Policy::Millrace(config) => {
                Policy::Millrace(StreamConfig { floor: Floor(windows.to_vec()), ..config })
            }
            other => other,
        }
    }

    fn windows() -> impl Strategy<Value = Vec<FloorWindow>> {
        let window =
            (0u16..300, 0u16..300, 1u32..20).prop_map(|(start, end, shards)| window(start, end, shards));
        prop::collection::vec(window, 0..3)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn passing_over_seconds_that_are_alike_changes_nothing(
            shards in prop::collection::vec((1u64..3_000, 0.0f64..20.0), 1..8), zipf in 0.0f64..1.2, seed in any::<u64>(),
            windows in windows(), start_s in 0i64..86_400
        ) {
            let segments = shards.iter().map(|(for_s, shards)| {
                Segment { for_s: *for_s, records_per_s: shards * TARGET.records_per_s as f64, keys: 0 }
            });
            let load = Load { start_s, ..Load::new(segments.collect(), Keys::zipf(1_000, zipf, None, seed)) };
            for name in Policy::NAMES.into_iter().filter(|name| *name != "oracle") {
                let policy = with_floor(Policy::named(name, 20).expect("there is such a policy"), &windows);
                let [skipped, each] = [true, false].map(|skips| simulate(&load, &policy, seed, 1.0, skips));
                prop_assert_eq!(&skipped.course, &each.course, "{}", name);
                let hours = (skipped.cost.shard_hours, each.cost.shard_hours);
                prop_assert!((hours.0 - hours.1).abs() < 1e-6 * hours.1, "{}: {:?}", name, hours);
                prop_assert_eq!(skipped.figures.overload_seconds, each.figures.overload_seconds);
            }
        }
    }

    #[test]
    fn what_exceeds_a_shard_is_refused_after_a_seconds_worth_of_grace() {
        let keys = Keys::new([(millrace_core::HashKey(1), 1.0)]);
        let load = Load::new(vec![Segment { for_s: 10, records_per_s: 1_500.0, keys: 0 }], keys);
        let policy = Policy::named("static-peak", 1).expect("there is such a policy");
        let figures = run(&load, &policy, 1).figures;
        // Of 15,000 records ten seconds' worth pass, and one second's worth that had been saved.
        assert!((figures.throttled_fraction - 4_000.0 / 15_000.0).abs() < 1e-9);
        // All of it is by one key, which no split could help.
        assert_eq!((figures.avoidable_throttled_fraction, figures.overload_seconds), (0.0, 0));
    }

    #[test]
    fn a_floor_before_a_known_peak_leaves_nothing_refused() {
        let segment = |for_s, records_per_s| Segment { for_s, records_per_s, keys: 0 };
        let day = vec![segment(3_600, 500.0), segment(3_600, 9_000.0), segment(79_200, 500.0)];
        let load = Load::new(day, Keys::zipf(5_000, 0.5, None, 1));
        let policy = Policy::named("millrace", 9).expect("there is such a policy");
        let without = run(&load, &policy, 1);
        assert!(without.figures.avoidable_throttled_fraction > 0.0, "{:?}", without.figures);
        let with = run(&load, &with_floor(policy, &[window(60, 120, 16)]), 1);
        assert_eq!(with.figures.throttled_fraction, 0.0, "{:?}", with.figures);
        assert_eq!(with.figures.overload_seconds, 0);
        let at = |at_s| with.course.shards.iter().rfind(|(from_s, _)| *from_s <= at_s).map(|(_, open)| *open);
        assert!(at(3_539) < Some(5) && at(3_600) >= Some(16), "{:?}", with.course.shards);
        assert_eq!(at(86_399), Some(1));
    }

    #[test]
    fn an_overload_ends_within_seconds() {
        let segment = |for_s, records_per_s| Segment { for_s, records_per_s, keys: 0 };
        let load =
            Load::new(vec![segment(3_600, 900.0), segment(600, 9_000.0)], Keys::zipf(5_000, 0.5, None, 1));
        let policy = Policy::named("millrace", 9).expect("there is such a policy");
        let run = run(&load, &policy, 1);
        let splits = run.course.reshards.iter().filter(|(at_s, _)| *at_s >= 3_600).collect::<Vec<_>>();
        assert!(splits.iter().all(|(at_s, _)| *at_s <= 3_606), "{splits:?}");
        assert!(run.figures.recovery_p95_seconds <= 6.0, "{:?}", run.figures);
    }
}
