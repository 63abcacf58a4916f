//! What is remembered of each shard's load between decisions.

use std::collections::BTreeMap;

use millrace_core::load::{DETAIL_ABOVE_PER_MILLE, ShardLoad, Target};
use millrace_core::{ShardId, ShardMap};

use crate::levels::{LONGEST_WAIT, Levels};
use crate::trend::Trend;

/// How long observations are apart, in milliseconds.
const SECOND_MS: i64 = 1_000;

/// Into how many spans that time is divided.
const SPANS: usize = 24;

/// The highest load of any shard is told of at least this time, and of at most twice as long, in milliseconds.
const BUSIEST_SPAN_MS: i64 = 60_000;

/// Throttled demand counts up to this multiple of what was stored: clients that try again and again would
/// otherwise make it endless.
const MOST_DEMAND: u64 = 8;

/// What is remembered of the shards of one stream: some 110 bytes a shard, beside the latest report of those that
/// are hot.
#[derive(Clone, Debug, Default)]
pub struct LoadHistory {
    /// In the map's order.
    shards: Vec<ShardHistory>,
    /// When the present span began, in Unix milliseconds.
    span_began_ms: i64,
    levels: Levels,
    trend: Trend,
    /// How long neighbours have to be idle now before they are merged, in milliseconds.
    wait_ms: i64,
    busiest: Busiest,
}

/// The highest load of any one shard lately, in thousandths of the target.
#[derive(Clone, Copy, Debug, Default)]
struct Busiest {
    /// In the present span of [`BUSIEST_SPAN_MS`], and in the one before it.
    present: u32,
    before: u32,
    /// When the present one began, in Unix milliseconds.
    began_ms: i64,
}

/// Two neighbours that will have been idle for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idle {
    /// The first second at which they will, in Unix milliseconds.
    pub(crate) at_ms: i64,
    /// How long they have to be, in milliseconds.
    pub(crate) wait_ms: i64,
    /// The most that both will have carried together in that time, in thousandths of the target.
    pub(crate) peak_per_mille: u32,
}

/// What is remembered of one shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardHistory {
    id: ShardId,
    /// How many times the shard was looked at since it was opened (or this history began).
    pub(crate) seen: u32,
    /// Since when its peaks are known, in Unix milliseconds.
    pub(crate) since_ms: i64,
    /// The present load and the one before, in thousandths of the target, throttled demand included.
    pub(crate) now_per_mille: u32,
    pub(crate) before_per_mille: u32,
    /// Since when it is above its target without a break, in Unix milliseconds.
    pub(crate) over_since_ms: Option<i64>,
    /// The latest report, if it is of the last second and the shard was hot.
    pub(crate) latest: Option<Box<ShardLoad>>,
    /// The highest load in each span, the present one first, in thousandths of the target.
    peaks: [u16; SPANS],
}

impl ShardHistory {
    fn new(id: ShardId, now_ms: i64) -> ShardHistory {
        ShardHistory {
            id,
            seen: 0,
            since_ms: now_ms,
            now_per_mille: 0,
            before_per_mille: 0,
            over_since_ms: None,
            latest: None,
            peaks: [0; SPANS],
        }
    }

    /// The child of a merge begins with what its parents had together: it has been idle for as long as they.
    fn of_merged(id: ShardId, a: &ShardHistory, b: &ShardHistory, now_ms: i64) -> ShardHistory {
        let mut peaks = a.peaks;
        for (peak, other) in peaks.iter_mut().zip(b.peaks) {
            *peak = peak.saturating_add(other);
        }
        let since_ms = a.since_ms.max(b.since_ms);
        ShardHistory { since_ms, peaks, ..ShardHistory::new(id, now_ms) }
    }

    fn observe(&mut self, now_ms: i64, load: Option<&ShardLoad>, target: &Target) {
        self.seen = self.seen.saturating_add(1);
        self.before_per_mille = self.now_per_mille;
        self.now_per_mille = load.map_or(0, |load| demand_per_mille(load, target));
        self.peaks[0] = self.peaks[0].max(u16::try_from(self.now_per_mille).unwrap_or(u16::MAX));
        if self.now_per_mille > 1_000 {
            self.over_since_ms.get_or_insert(now_ms);
        } else {
            self.over_since_ms = None;
        }
        let hot = |load: &&ShardLoad| {
            u64::from(self.now_per_mille) > DETAIL_ABOVE_PER_MILLE || load.throttled_per_s > 0
        };
        self.latest = load.filter(hot).map(|load| Box::new(load.clone()));
    }

    /// At most this is what one shard in the place of two would have carried in any second of the last spans, in
    /// thousandths of the target: the highest sum of the two shards' peaks in one span.
    fn peak_with(&self, other: &ShardHistory, spans: usize) -> u32 {
        let sums = self.peaks.iter().zip(other.peaks).take(spans).map(|(a, b)| u32::from(*a) + u32::from(b));
        sums.max().unwrap_or(0)
    }

    /// Whether records were refused in the last second.
    pub(crate) fn throttles(&self) -> bool {
        self.latest.as_ref().is_some_and(|load| load.throttled_per_s > 0)
    }

    /// The load to plan for: the latest, or the mean of the last two where that is more.
    pub(crate) fn plan_per_mille(&self) -> u32 {
        self.now_per_mille.max(self.now_per_mille.midpoint(self.before_per_mille))
    }
}

/// What was stored and refused, in thousandths of the target.
fn demand_per_mille(load: &ShardLoad, target: &Target) -> u32 {
    let stored = load.per_mille(target);
    let tried = load.records_per_s.saturating_add(load.throttled_per_s);
    let demand = match u128::from(load.records_per_s) {
        // Nothing was stored, but much refused: there is no telling how large the records were.
        0 => target.per_mille(0, tried),
        records => (u128::from(stored) * u128::from(tried) / records) as u64,
    };
    let most = stored.saturating_mul(MOST_DEMAND).max(target.per_mille(0, load.throttled_per_s).min(4_000));
    u32::try_from(demand.min(most)).unwrap_or(u32::MAX)
}

impl Busiest {
    fn observe(&mut self, now_ms: i64, highest: u32) {
        if now_ms - self.began_ms >= BUSIEST_SPAN_MS {
            *self = Busiest { present: 0, before: self.present, began_ms: now_ms };
        }
        self.present = self.present.max(highest);
    }
}

impl LoadHistory {
    /// A history that knows nothing.
    pub fn new() -> LoadHistory {
        LoadHistory::default()
    }

    /// Notes one second's reports (`now_ms` in Unix milliseconds). A shard without a report is idle; where two
    /// owners report one shard, it carries what both do. To be called each second, and not at all while no broker
    /// is heard: silence is no load then.
    pub fn observe<'a>(
        &mut self,
        now_ms: i64,
        map: &ShardMap,
        target: &Target,
        merge_after_s: u32,
        loads: impl IntoIterator<Item = &'a ShardLoad>,
    ) {
        if now_ms - self.span_began_ms >= span_ms(merge_after_s) {
            self.span_began_ms = now_ms;
            for shard in &mut self.shards {
                shard.peaks.rotate_right(1);
                shard.peaks[0] = 0;
            }
        }
        self.follow(map, now_ms);
        let mut reports: Vec<&ShardLoad> = loads.into_iter().collect();
        reports.sort_by_key(|load| load.shard);
        for shard in &mut self.shards {
            let first = reports.partition_point(|load| load.shard < shard.id);
            let count = reports[first..].iter().take_while(|load| load.shard == shard.id).count();
            match &reports[first..first + count] {
                [] => shard.observe(now_ms, None, target),
                [one] => shard.observe(now_ms, Some(one), target),
                [one, others @ ..] => {
                    let mut sum = (*one).clone();
                    others.iter().for_each(|load| add(&mut sum, load));
                    shard.observe(now_ms, Some(&sum), target);
                }
            }
        }
        let all: u64 = self.shards.iter().map(|shard| u64::from(shard.now_per_mille)).sum();
        let least_ms = i64::from(merge_after_s) * 1_000;
        self.trend.observe(now_ms, all);
        self.levels.observe(now_ms, all, self.shards.len(), least_ms);
        self.wait_ms = self.levels.wait(self.shards.len()) * least_ms;
        let highest = self.shards.iter().map(|shard| shard.now_per_mille).max().unwrap_or(0);
        self.busiest.observe(now_ms, highest);
    }

    /// Brings the shards into the map's order, with those that are new to it.
    fn follow(&mut self, map: &ShardMap, now_ms: i64) {
        let same = |(shard, open): (&ShardHistory, &millrace_core::OpenShard)| shard.id == open.id;
        if self.shards.len() == map.open.len() && self.shards.iter().zip(&map.open).all(same) {
            return;
        }
        let mut known: BTreeMap<ShardId, ShardHistory> =
            self.shards.drain(..).map(|shard| (shard.id, shard)).collect();
        let mut shards = Vec::with_capacity(map.open.len());
        for open in &map.open {
            let [parent, adjacent] =
                [open.parents.parent, open.parents.adjacent].map(|id| id.and_then(|id| known.get(&id)));
            let new = match (parent, adjacent) {
                (Some(a), Some(b)) => ShardHistory::of_merged(open.id, a, b, now_ms),
                _ => ShardHistory::new(open.id, now_ms),
            };
            // Parents have left the map when their children are in it.
            shards.push(known.remove(&open.id).unwrap_or(new));
        }
        self.shards = shards;
        // What a parent carried is no load of a shard that there is.
        self.busiest = Busiest { began_ms: now_ms, ..Busiest::default() };
    }

    /// How much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let hot = self.shards.iter().filter_map(|shard| shard.latest.as_deref());
        let detail = hot.map(|load| {
            size_of::<ShardLoad>() + size_of_val(load.heavy.as_slice()) + size_of_val(load.cuts.as_slice())
        });
        self.shards.len() * size_of::<ShardHistory>() + detail.sum::<usize>()
    }

    /// By how much the stream's load is expected to grow soon, in thousandths of what it is.
    pub(crate) fn growth_per_mille(&self) -> u64 {
        self.trend.growth_per_mille()
    }

    /// The shard at this index of the map that was observed last, if it is `shard`.
    pub(crate) fn get(&self, index: usize, shard: ShardId) -> Option<&ShardHistory> {
        self.shards.get(index).filter(|history| history.id == shard)
    }

    /// How long two neighbours have to wait before they are merged, in milliseconds, and the most that both carried
    /// together in that time, in thousandths of the target. Nothing, if they are not known for so long.
    pub(crate) fn idle(
        &self,
        a: &ShardHistory,
        b: &ShardHistory,
        now_ms: i64,
        merge_after_s: u32,
    ) -> Option<(i64, u32)> {
        let wait_ms = self.wait_ms;
        let spans = spans(wait_ms, now_ms - self.span_began_ms, span_ms(merge_after_s));
        (now_ms >= known_ms(a, b, wait_ms)).then(|| (wait_ms, a.peak_with(b, spans)))
    }

    /// From which second on [`Self::idle`] tells of a peak below `below_per_mille`, where both go on carrying what they
    /// do now and are observed each second. Nothing, if that is too much. Not looked for beyond `most_ms`.
    pub(crate) fn idle_from(
        &self,
        [a, b]: [&ShardHistory; 2],
        now_ms: i64,
        merge_after_s: u32,
        below_per_mille: u32,
        most_ms: i64,
    ) -> Option<Idle> {
        let load = a.now_per_mille + b.now_per_mille;
        let (wait_ms, span_ms) = (self.wait_ms, span_ms(merge_after_s));
        let known_ms = known_ms(a, b, wait_ms);
        if load >= below_per_mille || known_ms > most_ms {
            return None;
        }
        let second = |at_ms: i64| now_ms + ((at_ms - now_ms).max(0) + SECOND_MS - 1) / SECOND_MS * SECOND_MS;
        let sums = a.peaks.iter().zip(b.peaks).map(|(a, b)| u32::from(*a) + u32::from(b));
        // How many spans ago they were too loud.
        let quiet = sums.clone().take_while(|sum| *sum < below_per_mille).count();
        let (mut began_ms, mut first_ms) = (self.span_began_ms, now_ms);
        for new in 0..=SPANS {
            let next_ms = second((began_ms + span_ms).max(now_ms + 1));
            // From when on no more spans are looked at than have been quiet.
            let forgotten_ms = match quiet + new {
                0 => next_ms,
                quiet if quiet >= SPANS => began_ms,
                quiet => began_ms + wait_ms - (quiet as i64 - 1) * span_ms,
            };
            let at_ms = second(forgotten_ms.max(known_ms).max(first_ms));
            if at_ms < next_ms {
                let spans = spans(wait_ms, at_ms - began_ms, span_ms);
                let before = sums.take(spans.saturating_sub(new)).max().unwrap_or(0);
                return (at_ms <= most_ms).then(|| Idle { at_ms, wait_ms, peak_per_mille: before.max(load) });
            }
            (began_ms, first_ms) = (next_ms, next_ms);
        }
        None
    }

    /// Until when (exclusive, in Unix milliseconds) observing the same loads on the same map again each second changes
    /// nothing that a decision rests on, `now_ms` having been observed last. `now_ms` itself, if it may at once. For
    /// simulations, which may pass over that time.
    pub fn quiet_until_ms(&self, now_ms: i64, merge_after_s: u32) -> i64 {
        let restless = |shard: &ShardHistory| {
            shard.seen < 2 || shard.over_since_ms.is_some() || shard.before_per_mille != shard.now_per_mille
        };
        if self.shards.iter().any(restless) {
            return now_ms;
        }
        let span_ms = span_ms(merge_after_s);
        let mut until_ms = self.span_began_ms + span_ms;
        for pair in self.shards.windows(2) {
            let wait_ms = self.wait_ms;
            // When they are known for long enough, and when the oldest span is no longer looked at.
            let known_ms = known_ms(&pair[0], &pair[1], wait_ms);
            let forgotten_ms = self.span_began_ms + wait_ms % span_ms;
            for at_ms in [known_ms, forgotten_ms] {
                if at_ms > now_ms {
                    until_ms = until_ms.min(at_ms);
                }
            }
        }
        until_ms
    }

    /// The highest load of any one shard of the last one to two minutes, since the shards last changed, in thousandths
    /// of the target.
    pub(crate) fn busiest_per_mille(&self) -> u32 {
        self.busiest.present.max(self.busiest.before)
    }

    /// The most that two neighbours carried together in all the time that is remembered, in thousandths of the target.
    pub(crate) fn peak(&self, a: &ShardHistory, b: &ShardHistory) -> u32 {
        a.peak_with(b, SPANS)
    }
}

/// From when on two neighbours are known for so long, in Unix milliseconds.
fn known_ms(a: &ShardHistory, b: &ShardHistory, wait_ms: i64) -> i64 {
    a.since_ms.max(b.since_ms) + wait_ms
}

/// How many spans a wait reaches into, where the present one has lasted for `present_ms`.
fn spans(wait_ms: i64, present_ms: i64, span_ms: i64) -> usize {
    1 + ((wait_ms - present_ms).max(0) as u64).div_ceil(span_ms as u64) as usize
}

/// How long a span lasts, in milliseconds.
fn span_ms(merge_after_s: u32) -> i64 {
    (i64::from(merge_after_s) * 1_000 * LONGEST_WAIT / (SPANS as i64 - 1)).max(1)
}

/// Adds another owner's report. Of the two views of where the load lies, the heavier one's stays.
fn add(sum: &mut ShardLoad, load: &ShardLoad) {
    if load.bytes_per_s > sum.bytes_per_s && !load.cuts.is_empty() {
        (sum.heavy, sum.cuts) = (load.heavy.clone(), load.cuts.clone());
    }
    sum.bytes_per_s = sum.bytes_per_s.saturating_add(load.bytes_per_s);
    sum.records_per_s = sum.records_per_s.saturating_add(load.records_per_s);
    sum.throttled_per_s = sum.throttled_per_s.saturating_add(load.throttled_per_s);
    sum.read_bytes_per_s = sum.read_bytes_per_s.saturating_add(load.read_bytes_per_s);
}
