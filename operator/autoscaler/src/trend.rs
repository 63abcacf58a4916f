//! Whether a stream's load is growing, and how far it may be expected to.

use std::collections::VecDeque;

/// How long the load's mean is taken over, in milliseconds.
const SLOT_MS: i64 = 5_000;

/// Over how many slots growth is looked at: twice in a row each, from ten seconds to two minutes and a half.
const SPANS: [usize; 4] = [1, 3, 8, 15];

/// How many slots that takes.
const MOST_SLOTS: usize = SPANS[SPANS.len() - 1] * 2 + 1;

/// How long observations are apart, in milliseconds.
const SECOND_MS: i64 = 1_000;

/// The most growth that is planned for, in thousandths of the load: as steep a rise turns as soon as not.
const MOST_GROWTH_PER_MILLE: u64 = 700;

/// The latest loads of a stream, in slots of five seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trend {
    /// Means of whole slots, the latest first, in thousandths of a target.
    slots: VecDeque<u64>,
    /// When the present slot began, in Unix milliseconds.
    began_ms: i64,
    sum: u64,
    count: u64,
    /// The load that was noted last, and when, in Unix milliseconds.
    latest: Option<u64>,
    latest_ms: i64,
}

impl Trend {
    /// Notes the load of all shards together, in thousandths of a target. Seconds at which nobody looked were like the
    /// last one that somebody has seen.
    pub(crate) fn observe(&mut self, now_ms: i64, load_per_mille: u64) {
        let remembered_ms = MOST_SLOTS as i64 * SLOT_MS;
        let mut missed_ms = (self.latest_ms + SECOND_MS).max(now_ms - remembered_ms);
        while missed_ms + SECOND_MS <= now_ms {
            self.add(missed_ms, self.latest.unwrap_or(load_per_mille));
            missed_ms += SECOND_MS;
        }
        self.add(now_ms, load_per_mille);
        (self.latest_ms, self.latest) = (now_ms, Some(load_per_mille));
    }

    fn add(&mut self, at_ms: i64, load_per_mille: u64) {
        if at_ms - self.began_ms >= SLOT_MS {
            if let Some(mean) = self.sum.checked_div(self.count) {
                self.slots.push_front(mean);
                self.slots.truncate(MOST_SLOTS);
            }
            (self.sum, self.count) = (0, 0);
            self.began_ms = at_ms - at_ms.rem_euclid(SLOT_MS);
        }
        self.sum += load_per_mille;
        self.count += 1;
    }

    /// By how much load is expected to grow, in thousandths of what it is: what has grown for some time at a rate is
    /// taken to go on so for as long again. A step, however high, is no growth.
    pub(crate) fn growth_per_mille(&self) -> u64 {
        let Some(now) = self.slots.front() else { return 0 };
        let rise = |span: usize| {
            let (half, begin) = (self.slots.get(span)?, self.slots.get(2 * span)?);
            Some(2 * now.checked_sub(*half)?.min(half.checked_sub(*begin)?))
        };
        let rise = SPANS.iter().filter_map(|span| rise(*span)).max().unwrap_or(0);
        (rise * 1_000).checked_div(*now).unwrap_or(0).min(MOST_GROWTH_PER_MILLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The growth that is expected after each second's load.
    fn growth(loads: impl IntoIterator<Item = u64>) -> u64 {
        let mut trend = Trend::default();
        for (second, load) in (1_700_000_000_i64..).zip(loads) {
            trend.observe(second * 1_000, load);
        }
        trend.growth_per_mille()
    }

    #[test]
    fn a_ramp_is_taken_to_go_on_for_as_long_as_it_has_lasted() {
        // From 10 to 13 shards within five minutes: of the last 150 s' growth as much again, two parts in sixteen.
        let growth = growth((0..300).map(|second| 10_000 + second * 10));
        assert!((112..120).contains(&growth), "{growth}");
    }

    #[test]
    fn a_step_is_no_growth_however_high() {
        for after_s in 1..300 {
            let loads = (0..400).map(|_| 1_000).chain((0..after_s).map(|_| 9_000));
            // Within the slot in which it comes, a step may look like the begin of a ramp.
            assert!(growth(loads) == 0 || after_s < 10, "after {after_s} s");
        }
    }

    #[test]
    fn a_load_that_falls_or_stays_is_not_growing() {
        assert_eq!(growth((0..400).map(|_| 5_000)), 0);
        assert_eq!(growth((0..400).map(|second| 5_000 - second * 10)), 0);
        assert_eq!(growth([7_000]), 0);
    }

    #[test]
    fn seconds_that_nobody_looked_at_were_like_the_last_one_seen() {
        let mut each = Trend::default();
        let mut skipped = Trend::default();
        for second in 0..200_i64 {
            let load = if second < 120 { 2_000 } else { 2_000 + second.unsigned_abs() * 7 };
            each.observe(second * 1_000, load);
            if !(1..119).contains(&second) {
                skipped.observe(second * 1_000, load);
            }
        }
        assert_eq!(each.growth_per_mille(), skipped.growth_per_mille());
        assert!(each.growth_per_mille() > 0);
    }
}
