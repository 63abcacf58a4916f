//! Millrace's decisions under loads that are made to mislead them, with production's policy.

use millrace_core::HashKey;
use millrace_simulator::{Keys, Load, Policy, Run, Segment, TARGET, optimum, run};
use proptest::prelude::*;

/// What a run may cost beside its multiple of the optimum: it begins with four shards, and the last idle ones are
/// still waited for when it ends.
const BESIDE_SHARD_HOURS: f64 = 24.0;

fn target() -> f64 {
    TARGET.records_per_s as f64
}

fn millrace(load: &Load, seed: u64) -> Run {
    let policy = Policy::named("millrace", 1).expect("there is such a policy");
    run(load, &policy, seed)
}

/// Keys of which one has this share, at a place of its own for each `n`.
fn hot_key(share: f64, n: u64) -> Keys {
    let others =
        (0..2_000).map(|i| (HashKey::of_partition_key(&format!("key-{i}")), (1.0 - share) / 2_000.0));
    Keys::new(others.chain([(HashKey::of_partition_key(&format!("hot-{n}")), share)]))
}

/// `shards` in units of what a shard shall carry.
fn segment(for_s: u64, shards: f64) -> Segment {
    Segment { for_s, records_per_s: shards * target(), keys: 0 }
}

fn keys() -> impl Strategy<Value = Keys> {
    (prop::sample::select(vec![0.0, 0.5, 1.05]), any::<u64>())
        .prop_map(|(exponent, seed)| Keys::zipf(2_000, exponent, None, seed))
}

/// High and low in turn, for about as long as a merge waits at first, or at most.
fn sawtooth() -> impl Strategy<Value = Vec<Segment>> {
    let low_s = prop_oneof![240u64..420, 3_000u64..4_300, 60u64..7_200];
    (low_s, 30u64..1_200, 0.0f64..2.0, 2.0f64..30.0).prop_map(|(low_s, high_s, low, high)| {
        (0..12).flat_map(|_| [segment(low_s, low), segment(high_s, high)]).collect()
    })
}

/// Up and down again, in steps of ten seconds.
fn ramp() -> impl Strategy<Value = Vec<Segment>> {
    (20u64..400, 1.0f64..40.0, 1u32..4).prop_map(|(steps, high, times)| {
        let one = (0..steps).chain((0..steps).rev());
        let all = (0..times).flat_map(|_| one.clone());
        all.map(|step| segment(10, high * step as f64 / steps as f64)).collect()
    })
}

/// A load that becomes many times as much at once, and goes away slowly.
fn flash_crowd() -> impl Strategy<Value = Vec<Segment>> {
    (0.1f64..2.0, 5.0f64..40.0, 60.0f64..3_000.0, 600u64..7_200).prop_map(
        |(calm, crowd, decay_s, before_s)| {
            let after =
                (0..360).map(move |n| segment(20, calm + crowd * (-(n as f64) * 20.0 / decay_s).exp()));
            std::iter::once(segment(before_s, calm)).chain(after).collect()
        },
    )
}

/// Ends in quiet: a load that ends at its height would let the optimum off all merges.
fn shape() -> impl Strategy<Value = Vec<Segment>> {
    prop_oneof![sawtooth(), ramp(), flash_crowd()].prop_map(then_quiet)
}

fn then_quiet(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.push(segment(7_200, 0.1));
    segments
}

/// A hot key that moves every so often, to as many places as there are key sets.
fn moving_hot_key() -> impl Strategy<Value = Load> {
    (2usize..12, 60u64..2_400, 0.2f64..0.9, 1.0f64..8.0, any::<bool>()).prop_map(
        |(places, for_s, share, shards, returns)| {
            let count = if returns { 24 } else { places };
            let segments = (0..count)
                .map(|n| Segment { for_s, records_per_s: shards * target(), keys: n % places })
                .collect();
            Load { start_s: 0, segments, keys: (0..places as u64).map(|n| hot_key(share, n)).collect() }
        },
    )
}

fn most_shards(run: &Run) -> u32 {
    run.course.shards.iter().map(|(_, open)| *open).max().unwrap_or(0)
}

fn reshards_after(run: &Run, from_s: u64) -> u32 {
    run.course.reshards.iter().filter(|(at_s, _)| *at_s >= from_s).map(|(_, count)| count).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_shape_of_load_costs_more_than_three_times_the_optimum(segments in shape(), keys in keys(), seed in any::<u64>()) {
        let load = Load::new(segments, keys);
        let best = optimum(&load, &TARGET).cost.total();
        let run = millrace(&load, seed);
        prop_assert!(run.cost.total() <= 3.0 * best + BESIDE_SHARD_HOURS, "{:?} of {best}", run.cost);
        // Shards do not multiply: a little more than twice what the highest second needs, and four to begin with.
        let peak = load.segments.iter().map(|segment| segment.records_per_s).fold(0.0, f64::max) / target();
        prop_assert!(f64::from(most_shards(&run)) <= 2.5 * peak + 8.0, "{} for {peak}", most_shards(&run));
    }

    #[test]
    fn moving_hot_keys_cost_no_more_than_three_times_the_optimum(load in moving_hot_key(), seed in any::<u64>()) {
        let best = optimum(&load, &TARGET).cost.total();
        let run = millrace(&load, seed);
        // The optimum sees no difference between one place of a hot key and the next. Whoever has to learn of it pays
        // a split and its merges for each place.
        let moves = load.segments.len() as f64 * 4.0;
        prop_assert!(run.cost.total() <= 3.0 * best + moves + BESIDE_SHARD_HOURS, "{:?} of {best}", run.cost);
    }

    #[test]
    fn steady_noise_moves_nothing_once_it_is_known(
        keys in keys(), shards in 0.0f64..30.0, noise in prop::collection::vec(0.85f64..1.15, 50)
    ) {
        // Four hours, of which the last is looked at.
        let segments = (0..2_880).map(|n| segment(5, shards * noise[n % noise.len()])).collect();
        let run = millrace(&Load::new(segments, keys), 1);
        prop_assert_eq!(reshards_after(&run, 10_800), 0);
    }

    #[test]
    fn one_key_alone_is_never_cut(shards in 0.1f64..20.0, place in any::<u64>()) {
        let keys = Keys::new([(HashKey::of_partition_key(&place.to_string()), 1.0)]);
        let run = millrace(&Load::new(vec![segment(7_200, shards)], keys), 1);
        prop_assert_eq!(most_shards(&run), 4);
        prop_assert_eq!(run.figures.avoidable_throttled_fraction, 0.0);
        prop_assert!(run.cost.reshards <= 3.0);
    }
}

#[test]
fn silence_ends_in_one_shard() {
    let run = millrace(&Load::new(vec![segment(86_400, 0.0)], Keys::zipf(10, 0.0, None, 1)), 1);
    assert_eq!(run.course.shards.last().map(|(_, open)| *open), Some(1));
    assert_eq!(run.cost.reshards, 3.0);
}

#[test]
fn a_sawtooth_with_short_gaps_is_learned_and_then_bridged() {
    let day = (0..130).flat_map(|_| [segment(330, 10.0), segment(330, 0.5)]).collect();
    let run = millrace(&Load::new(day, Keys::zipf(2_000, 0.5, None, 1)), 1);
    assert_eq!(reshards_after(&run, 43_200), 0, "{:?}", run.course.reshards);
}
