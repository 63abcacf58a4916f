//! The sketch against exact counts.

use proptest::prelude::*;

use super::*;

const TARGET: Target = Target { bytes_per_s: 1 << 20, records_per_s: 1_000 };

fn mix(n: u64) -> HashKey {
    HashKey::of_partition_key(&n.to_string())
}

/// The exact part of the cost below `key`, in thousandths.
fn exact_below(records: &[(HashKey, u32)], key: HashKey) -> i64 {
    let cost = |bytes: u32| u64::from(bytes).max(TARGET.bytes_per_record());
    let all: u64 = records.iter().map(|(_, bytes)| cost(*bytes)).sum();
    let less: u64 = records.iter().filter(|(at, _)| *at < key).map(|(_, bytes)| cost(*bytes)).sum();
    (less * 1_000 / all) as i64
}

fn sketch(records: &[(HashKey, u32)]) -> LoadSketch {
    let mut sketch = LoadSketch::default();
    for (key, bytes) in records {
        sketch.record(*key, *bytes);
    }
    sketch
}

/// The greatest error of a cut point's share, in thousandths.
fn worst(sketch: &LoadSketch, records: &[(HashKey, u32)]) -> i64 {
    let cuts = sketch.cut_points();
    let errors = cuts.iter().map(|cut| (i64::from(cut.below_per_mille) - exact_below(records, cut.at)).abs());
    errors.max().unwrap_or(0)
}

/// Keys of a Zipf distribution with exponent 1 over `keys` keys, drawn in a fixed way.
fn zipf(count: usize, keys: u64, seed: u64) -> Vec<(HashKey, u32)> {
    let weights: Vec<f64> = (1..=keys).map(|rank| 1.0 / rank as f64).collect();
    let all: f64 = weights.iter().sum();
    let mut state = seed | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mut at = (state >> 11) as f64 / (1u64 << 53) as f64 * all;
        weights.iter().position(|weight| {
            at -= weight;
            at < 0.0
        })
    };
    (0..count).map(|_| (mix(draw().unwrap_or(0) as u64), 1_000)).collect()
}

#[test]
fn a_sketch_takes_less_than_four_kibibytes() {
    let bytes = size_of::<LoadSketch>() + quantiles::SLOTS * size_of::<HashKey>();
    assert!(bytes <= 4_096, "{bytes}");
}

#[test]
fn a_hot_key_is_named_with_its_share() {
    let records: Vec<_> = (0..5_000).map(|n| (if n % 5 < 2 { HashKey(77) } else { mix(n) }, 500)).collect();
    let heavy = sketch(&records).heavy_keys();
    assert_eq!(heavy[0].key, HashKey(77));
    assert!((350..=420).contains(&heavy[0].share_per_mille), "{heavy:?}");
}

#[test]
fn a_hot_key_is_both_a_cut_and_a_jump() {
    let records: Vec<_> = (0..4_000).map(|n| (if n % 2 == 0 { mix(0) } else { mix(n) }, 500)).collect();
    let cuts = sketch(&records).cut_points();
    let at = cuts.iter().position(|cut| cut.at == mix(0)).expect("the key is a cut point");
    let jump = cuts[at + 1].below_per_mille - cuts[at].below_per_mille;
    assert!((450..=600).contains(&jump), "{cuts:?}");
}

#[test]
fn large_records_count_by_their_bytes_and_tiny_ones_as_records() {
    // 100 records of 100 KiB low, 10,000 records of 10 bytes high: equal parts of the targets.
    let mut records = Vec::new();
    for n in 0..10_000_u64 {
        records.push((HashKey(u128::MAX / 4 * 3 + u128::from(n)), 10));
        if n % 100 == 0 {
            records.push((HashKey(u128::from(n)), 104_857));
        }
    }
    let below = i64::from(sketch(&records).below_per_mille(HashKey(u128::MAX / 2)));
    assert!((460..=540).contains(&below), "{below}");
}

#[test]
fn zipf_loads_in_a_million_records_are_cut_within_the_stated_error() {
    let records = zipf(1_000_000, 1_000, 7);
    let sketch = sketch(&records);
    let error = worst(&sketch, &records[..100_000]);
    assert!(error <= 50, "{error}");
}

#[test]
fn a_calm_shard_keeps_no_sketch_and_one_that_turns_hot_is_sketched_in_the_same_second() {
    let mut window = LoadWindow::default();
    for second in 1..4 {
        for n in 0..400 {
            window.record(mix(n), 100);
        }
        let load = window.report(ShardId(0), &TARGET, second * 1_000).expect("the shard was busy");
        assert!(load.cuts.is_empty() && window.sketch.is_none());
    }
    for n in 0..1_500 {
        window.record(if n % 2 == 0 { HashKey(77) } else { mix(n) }, 100);
    }
    let load = window.report(ShardId(0), &TARGET, 4_000).expect("the shard was busy");
    assert_eq!((load.cuts.is_empty(), load.heavy[0].key), (false, HashKey(77)));
    assert!(window.sketch.is_some());
}

#[test]
fn reports_are_rates_and_begin_anew() {
    let mut window = LoadWindow::default();
    assert_eq!(window.report(ShardId(3), &TARGET, 10_000), None);
    for n in 0..2_000 {
        window.record(mix(n), 1_000);
    }
    window.throttled(10);
    window.read(4_000);
    let load = window.report(ShardId(3), &TARGET, 12_000).expect("the shard was busy");
    assert_eq!((load.bytes_per_s, load.records_per_s), (1_000_000, 1_000));
    assert_eq!((load.throttled_per_s, load.read_bytes_per_s), (5, 2_000));
    assert_eq!(load.per_mille(&TARGET), 1_000);
    assert_eq!(load.cuts.len(), MAX_CUT_POINTS);
    assert_eq!(window.report(ShardId(3), &TARGET, 13_000), None);
    window.record(mix(1), 1_000);
    let load = window.report(ShardId(3), &TARGET, 14_000).expect("a record came");
    assert_eq!((load.bytes_per_s, load.cuts.len(), load.heavy.len()), (1_000, 0, 0));
}

/// Records whose keys are spread, skewed, or few, in an order that is random, sorted, or alternating.
fn records() -> impl Strategy<Value = Vec<(HashKey, u32)>> {
    let spread = any::<u128>().prop_map(HashKey);
    let narrow = (0u128..1 << 20).prop_map(HashKey);
    let few = (0u64..30).prop_map(mix);
    let key = prop_oneof![2 => spread, 1 => narrow, 1 => few];
    let size = prop_oneof![3 => 1u32..2_000, 1 => 2_000u32..200_000];
    let seeds = prop::collection::vec((key, size), 50..200);
    (seeds, 1usize..60, 0u8..3).prop_map(|(seeds, times, order)| {
        let mut records: Vec<_> = seeds.iter().copied().cycle().take(seeds.len() * times).collect();
        match order {
            1 => records.sort_unstable(),
            2 => {
                records.sort_unstable();
                let high = records.split_off(records.len() / 2);
                records = high.into_iter().rev().zip(records).flat_map(|(a, b)| [a, b]).collect();
            }
            _ => {}
        }
        records
    })
}

proptest! {
    #[test]
    fn cut_points_rise_and_lie_where_the_load_is_in_any_order(records in records()) {
        let sketch = sketch(&records);
        let cuts = sketch.cut_points();
        prop_assert!(cuts.len() <= MAX_CUT_POINTS);
        for pair in cuts.windows(2) {
            prop_assert!(pair[0].at < pair[1].at && pair[0].below_per_mille <= pair[1].below_per_mille);
        }
        let error = worst(&sketch, &records);
        prop_assert!(error <= 80, "{error} per mille");
    }

    #[test]
    fn keys_above_a_tenth_are_named_and_never_much_overstated(records in records()) {
        let heavy = sketch(&records).heavy_keys();
        prop_assert!(heavy.len() <= MAX_HEAVY_KEYS);
        let share = |key: HashKey| {
            let below = exact_below(&records, key);
            key.after().map_or(1_000, |after| exact_below(&records, after)) - below
        };
        for named in &heavy {
            let (says, is) = (i64::from(named.share_per_mille), share(named.key));
            prop_assert!(says <= is + 60, "{says} for {is}");
        }
        for (key, _) in records.iter().take(200) {
            if share(*key) >= 200 {
                prop_assert!(heavy.iter().any(|named| named.key == *key), "{key} is missing");
            }
        }
    }

    #[test]
    fn merged_sketches_are_as_good_as_one(a in records(), b in records()) {
        let mut merged = sketch(&a);
        merged.merge(&sketch(&b));
        let all = [a, b].concat();
        let error = worst(&merged, &all);
        prop_assert!(error <= 80, "{error} per mille");
    }

    #[test]
    fn the_same_records_give_the_same_sketch(records in records()) {
        let (a, b) = (sketch(&records), sketch(&records));
        prop_assert_eq!(a.cut_points(), b.cut_points());
        prop_assert_eq!(a.heavy_keys(), b.heavy_keys());
    }
}
