//! Partition keys, how they share in the load, and where in the hash space they lie.

use millrace_core::load::{CutPoint, HeavyKey, LoadSketch, Target};
use millrace_core::{HashKey, HashRange};

/// How many records are drawn for a report's sketch: as many as it samples of a busy second.
const SKETCHED_RECORDS: usize = 2_048;

/// How a load spreads over partition keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// In the order of their places.
    places: Vec<HashKey>,
    /// `below[i]` is the share of all keys before `places[i]`; one more at the end.
    below: Vec<f64>,
    /// Shares and places, greatest share first.
    heaviest: Vec<(f64, HashKey)>,
    /// `lighter[i]` is the share of `heaviest[i..]`.
    lighter: Vec<f64>,
}

impl Keys {
    /// `count` keys whose shares follow Zipf's law with this exponent (0: all alike), with names drawn from the seed
    /// and placed by MD5 as any partition key is. With `hot_key`, the first has this share and the others what is
    /// left.
    pub fn zipf(count: u32, exponent: f64, hot_key: Option<f64>, seed: u64) -> Keys {
        let mut weights: Vec<f64> = (1..=count.max(1)).map(|rank| f64::from(rank).powf(-exponent)).collect();
        if let Some(share) = hot_key {
            let others: f64 = weights.iter().skip(1).sum();
            let hot = if others == 0.0 { 1.0 } else { share };
            for weight in weights.iter_mut().skip(1) {
                *weight *= (1.0 - hot) / others;
            }
            weights[0] = hot;
        }
        let named = weights.into_iter().enumerate();
        Keys::new(
            named.map(|(rank, weight)| (HashKey::of_partition_key(&format!("key-{seed}-{rank}")), weight)),
        )
    }

    /// Keys at these places, with shares in proportion to these weights.
    pub fn new(weighted: impl IntoIterator<Item = (HashKey, f64)>) -> Keys {
        let mut keys: Vec<(HashKey, f64)> = weighted.into_iter().collect();
        keys.sort_by_key(|(place, _)| *place);
        let all: f64 = keys.iter().map(|(_, weight)| weight).sum();
        let mut below = vec![0.0];
        let mut sum = 0.0;
        for (_, weight) in &keys {
            sum += weight / all;
            below.push(sum);
        }
        let mut heaviest: Vec<(f64, HashKey)> =
            keys.iter().map(|(place, weight)| (weight / all, *place)).collect();
        heaviest.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut lighter: Vec<f64> = heaviest
            .iter()
            .rev()
            .scan(0.0, |sum, (share, _)| {
                *sum += share;
                Some(*sum)
            })
            .collect();
        lighter.reverse();
        lighter.push(0.0);
        Keys { places: keys.into_iter().map(|(place, _)| place).collect(), below, heaviest, lighter }
    }

    /// The part of the load on keys in this range.
    pub fn share(&self, range: HashRange) -> f64 {
        let (from, to) = self.within(range);
        self.below[to] - self.below[from]
    }

    /// The keys that carry more than `most`, of a load of `all`, and by how much.
    pub fn above(&self, all: f64, most: f64) -> impl Iterator<Item = (HashKey, f64)> {
        let heavy = self.heaviest.iter().take_while(move |(share, _)| share * all > most);
        heavy.map(move |(share, place)| (*place, share * all - most))
    }

    /// A load of `all`, less what single keys have beyond `most`.
    pub fn divisible(&self, all: f64, most: f64) -> f64 {
        let heavy = self.heaviest.partition_point(|(share, _)| share * all > most);
        heavy as f64 * most + self.lighter[heavy] * all
    }

    /// What a broker's report says of where this range's load lies: its own sketch, fed with as many records as it
    /// samples of a busy second, drawn from `seed` by the keys' shares. So it errs as the broker's does.
    pub fn sketch(&self, range: HashRange, target: &Target, seed: u64) -> (Vec<HeavyKey>, Vec<CutPoint>) {
        let (from, to) = self.within(range);
        let mut sketch = LoadSketch::default();
        sketch.reset(target);
        let mut random = Random::new(seed);
        for _ in 0..SKETCHED_RECORDS {
            let wanted = self.below[from] + random.unit() * (self.below[to] - self.below[from]);
            let index = self.below.partition_point(|below| *below <= wanted).clamp(from + 1, to) - 1;
            sketch.record(self.places[index], 0);
        }
        (sketch.heavy_keys(), sketch.cut_points())
    }

    /// The first key in the range, and the first after it.
    fn within(&self, range: HashRange) -> (usize, usize) {
        let from = self.places.partition_point(|place| *place < range.start);
        let to = self.places.partition_point(|place| *place <= range.end);
        (from, to)
    }
}

/// Numbers that look random (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to but without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_zipfs_law_and_add_up_to_one() {
        let keys = Keys::zipf(20_000, 1.05, None, 1);
        assert!((keys.share(HashRange::FULL) - 1.0).abs() < 1e-9);
        let ratio = keys.heaviest[0].0 / keys.heaviest[9].0;
        assert!((ratio - 10_f64.powf(1.05)).abs() < 1e-6, "{ratio}");
        assert_eq!(keys.heaviest[0].1, HashKey::of_partition_key("key-1-0"));
    }

    #[test]
    fn a_hot_key_has_its_share_and_the_others_the_rest() {
        let keys = Keys::zipf(1_000, 0.5, Some(0.3), 7);
        assert!((keys.heaviest[0].0 - 0.3).abs() < 1e-12);
        assert!((keys.share(HashRange::FULL) - 1.0).abs() < 1e-9);
        let hot = keys.heaviest[0].1;
        assert!((keys.share(HashRange { start: hot, end: hot }) - 0.3).abs() < 1e-9);
        let above: Vec<_> = keys.above(10.0, 1.0).collect();
        assert_eq!(above.len(), 1);
        assert!((above[0].1 - 2.0).abs() < 1e-9);
        assert!((keys.divisible(10.0, 1.0) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn a_sketch_finds_the_middle_of_the_load_and_its_hot_key() {
        let keys = Keys::zipf(20_000, 0.0, None, 3);
        let target = Target { bytes_per_s: 1 << 20, records_per_s: 1_000 };
        let (heavy, cuts) = keys.sketch(HashRange::FULL, &target, 1);
        assert!(heavy.is_empty());
        let middle = cuts.iter().min_by_key(|cut| cut.below_per_mille.abs_diff(500)).expect("there are cuts");
        let below = keys.share(HashRange { start: HashKey::MIN, end: HashKey(middle.at.0 - 1) });
        assert!((below - f64::from(middle.below_per_mille) / 1_000.0).abs() < 0.05, "{below} {middle:?}");
        let (heavy, _) = Keys::zipf(20_000, 0.0, Some(0.4), 3).sketch(HashRange::FULL, &target, 1);
        assert!(heavy[0].share_per_mille.abs_diff(400) < 60, "{heavy:?}");
    }
}
