//! How long idle shards are kept: learned from how long loads like the present one have stayed away before.

/// The waits that are compared, as multiples of the least one: five minutes to an hour, unless the least is set.
const WAITS: [i64; 4] = [1, 3, 6, LONGEST_WAIT];

/// For how many times the least wait before a merge loads are remembered: the longest wait. By then an idle shard has
/// cost about what a reshard does.
pub const LONGEST_WAIT: i64 = 12;

/// What a merge that turned out wrong costs, as a multiple of what an idle shard costs in the least wait: an
/// hour and a half, a reshard and its part in the split that brings the shard back.
const REGRET: f32 = 18.0;

/// What is left of a loss when another gap has been seen: some twenty gaps count.
const REMEMBERED: f32 = 0.95;

/// Of levels of which nothing is known it is assumed that a gap of this length was seen, in least waits, and that it
/// counts for so much: a first gap is bridged if it is short, and the second long one ends that.
const ASSUMED_GAP: f32 = 2.0;
const ASSUMED_WEIGHT: f32 = 0.3;

/// From which load on, in thousandths of a target for each shard, neighbours can't be merged, if all carry the same …
const NEEDED_PER_MILLE: f64 = 350.0;
/// … and from which on there would be too few shards, had they been merged.
const MISSED_PER_MILLE: f64 = 500.0;

/// What is known of a stream at each size, in half octaves of its number of shards: how long the load that needs so
/// many stays away, and what each wait would have cost. Whoever waits too short pays a merge and a split for each gap,
/// whoever waits too long pays idle shards; the wait that would have cost the least is taken. That is lazy capacity
/// provisioning, level by level (Lin, Wierman, Andrew, Thereska, INFOCOM 2011), with waits weighed as disks weigh when to
/// spin down (Helmbold, Long, Sconyers, Sherrod, Adaptive disk spin-down for mobile computers, 2000).
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    levels: Vec<Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Since when the load has been below what needs so many shards, in Unix milliseconds; none while it is not.
    away_since_ms: Option<i64>,
    /// What each of the waits has cost, in idle shards over the least wait, older gaps for less.
    losses: [f32; WAITS.len()],
}

impl Levels {
    /// Notes the load of all shards together, in thousandths of one target.
    pub(crate) fn observe(&mut self, now_ms: i64, load_per_mille: u64, shards: usize, least_ms: i64) {
        let load = load_per_mille as f64;
        let most = level_of(shards.max((load / NEEDED_PER_MILLE) as usize));
        if self.levels.len() <= most {
            self.levels.resize(most + 1, Level::default());
        }
        for (index, level) in self.levels.iter_mut().enumerate() {
            let shards = shards_at(index);
            if load < NEEDED_PER_MILLE * shards {
                level.away_since_ms.get_or_insert(now_ms);
            } else if let Some(since_ms) = level.away_since_ms.take()
                && load >= MISSED_PER_MILLE * shards
            {
                level.learn((now_ms - since_ms) as f32 / least_ms.max(1) as f32);
            }
        }
    }

    /// How long neighbours have to be idle before they are merged while there are so many shards, as a multiple of the
    /// least wait.
    pub(crate) fn wait(&self, shards: usize) -> i64 {
        self.levels.get(level_of(shards)).map_or_else(|| Level::default().wait(), Level::wait)
    }
}

impl Default for Level {
    fn default() -> Level {
        let losses = WAITS.map(|wait| ASSUMED_WEIGHT * loss(ASSUMED_GAP, wait));
        Level { away_since_ms: None, losses }
    }
}

impl Level {
    /// Load has come back after this time, in least waits.
    fn learn(&mut self, gap: f32) {
        for (sum, wait) in self.losses.iter_mut().zip(WAITS) {
            *sum = *sum * REMEMBERED + loss(gap, wait);
        }
    }

    fn wait(&self) -> i64 {
        let cheapest = self.losses.iter().zip(WAITS).min_by(|(a, _), (b, _)| a.total_cmp(b));
        cheapest.map_or(WAITS[0], |(_, wait)| wait)
    }
}

/// What a wait costs when load comes back after `gap` least waits.
fn loss(gap: f32, wait: i64) -> f32 {
    let wait = wait as f32;
    if gap <= wait { gap } else { wait + REGRET }
}

/// The level of this many shards: two to a doubling.
fn level_of(shards: usize) -> usize {
    (2.0 * (shards.max(1) as f64).log2()) as usize
}

/// How many shards a level begins with.
fn shards_at(level: usize) -> f64 {
    (level as f64 / 2.0).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST_MS: i64 = 300_000;

    /// The wait at 16 shards after gaps of these lengths, in least waits.
    fn wait_after(gaps: impl IntoIterator<Item = f64>) -> i64 {
        let mut levels = Levels::default();
        let mut now_ms = 0;
        for gap in gaps {
            levels.observe(now_ms, 16_000, 16, LEAST_MS);
            levels.observe(now_ms + 60_000, 0, 16, LEAST_MS);
            now_ms += 60_000 + (gap * LEAST_MS as f64) as i64;
        }
        levels.observe(now_ms, 16_000, 16, LEAST_MS);
        levels.wait(16)
    }

    #[test]
    fn a_first_short_gap_is_bridged() {
        assert_eq!(Levels::default().wait(16), 3);
    }

    #[test]
    fn gaps_that_can_be_bridged_are_and_no_longer_than_needed() {
        assert_eq!(wait_after([2.5; 20]), 3);
        assert_eq!(wait_after([5.0; 20]), 6);
        assert_eq!(wait_after([11.0; 20]), 12);
    }

    #[test]
    fn where_waiting_would_not_have_helped_the_second_gap_ends_it() {
        assert_eq!(wait_after([200.0]), 3);
        assert_eq!(wait_after([200.0; 3]), 1);
    }

    #[test]
    fn what_is_learned_of_one_size_says_nothing_of_others() {
        let mut levels = Levels::default();
        for day in 0..10 {
            let begin_ms = day * 100_000_000;
            // Eight shards come back soon each time, sixteen once a day.
            levels.observe(begin_ms, 16_000, 16, LEAST_MS);
            for turn in 0..20 {
                levels.observe(begin_ms + turn * 1_700_000 + 60_000, 1_000, 16, LEAST_MS);
                levels.observe(begin_ms + turn * 1_700_000 + 1_700_000, 6_000, 16, LEAST_MS);
            }
            levels.observe(begin_ms + 40_000_000, 0, 16, LEAST_MS);
        }
        assert_eq!((levels.wait(8), levels.wait(16)), (6, 1));
    }

    #[test]
    fn the_wait_changes_only_when_load_comes_back() {
        let mut levels = Levels::default();
        levels.observe(0, 16_000, 16, LEAST_MS);
        for second in 1..20_000 {
            levels.observe(second * 1_000, 0, 16, LEAST_MS);
            assert_eq!(levels.wait(16), 3);
        }
    }
}
