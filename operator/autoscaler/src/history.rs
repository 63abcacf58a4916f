//! What is remembered of each shard's load between decisions.

use std::collections::{BTreeMap, BTreeSet};

use millrace_core::load::{ShardLoad, Target};
use millrace_core::{ShardId, ShardMap};

/// Into how many spans the time that a merge waits for is divided.
const SPANS: usize = 16;

/// Throttled demand counts up to this multiple of what was stored: clients that try again and again would
/// otherwise make it endless.
const MOST_DEMAND: u64 = 4;

/// What is remembered of the shards of one stream: some 150 bytes a shard, beside the latest report of those that
/// are hot.
#[derive(Clone, Debug, Default)]
pub struct LoadHistory {
    shards: BTreeMap<ShardId, ShardHistory>,
    /// When the present span began, in Unix milliseconds.
    span_began_ms: i64,
}

/// What is remembered of one shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardHistory {
    /// How many times the shard was looked at since it was opened (or this history began).
    pub(crate) seen: u32,
    /// Since when its peaks are known, in Unix milliseconds.
    pub(crate) since_ms: i64,
    /// The present load and the one before, in thousandths of the target, throttled demand included.
    pub(crate) now_per_mille: u32,
    pub(crate) before_per_mille: u32,
    /// Since when it is above its target without a break, in Unix milliseconds.
    pub(crate) over_since_ms: Option<i64>,
    /// The latest report, if there was one in the last second.
    pub(crate) latest: Option<ShardLoad>,
    /// The highest load in each span, the present one first, in thousandths of the target.
    peaks: [u32; SPANS],
}

impl ShardHistory {
    fn new(now_ms: i64) -> ShardHistory {
        ShardHistory {
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
    fn of_merged(a: &ShardHistory, b: &ShardHistory) -> ShardHistory {
        let mut peaks = a.peaks;
        for (peak, other) in peaks.iter_mut().zip(b.peaks) {
            *peak = peak.saturating_add(other);
        }
        ShardHistory { peaks, ..ShardHistory::new(a.since_ms.max(b.since_ms)) }
    }

    fn observe(&mut self, now_ms: i64, load: Option<ShardLoad>, target: &Target) {
        self.seen = self.seen.saturating_add(1);
        self.before_per_mille = self.now_per_mille;
        self.now_per_mille = load.as_ref().map_or(0, |load| demand_per_mille(load, target));
        self.peaks[0] = self.peaks[0].max(self.now_per_mille);
        if self.now_per_mille > 1_000 {
            self.over_since_ms.get_or_insert(now_ms);
        } else {
            self.over_since_ms = None;
        }
        self.latest = load;
    }

    /// At most this is what one shard in the place of two would have carried in any second that is remembered, in
    /// thousandths of the target: the highest sum of the two shards' peaks in one span.
    pub(crate) fn peak_with(&self, other: &ShardHistory) -> u32 {
        let sums = self.peaks.iter().zip(other.peaks).map(|(a, b)| a.saturating_add(b));
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
        let span_ms = i64::from(merge_after_s) * 1_000 / SPANS as i64;
        if now_ms - self.span_began_ms >= span_ms {
            self.span_began_ms = now_ms;
            for shard in self.shards.values_mut() {
                shard.peaks.rotate_right(1);
                shard.peaks[0] = 0;
            }
        }
        let mut reports: BTreeMap<ShardId, ShardLoad> = BTreeMap::new();
        for load in loads {
            reports.entry(load.shard).and_modify(|sum| add(sum, load)).or_insert_with(|| load.clone());
        }
        for shard in &map.open {
            if self.shards.contains_key(&shard.id) {
                continue;
            }
            let [parent, adjacent] = [shard.parents.parent, shard.parents.adjacent]
                .map(|id| id.and_then(|id| self.shards.get(&id)));
            let history = match (parent, adjacent) {
                (Some(a), Some(b)) => ShardHistory::of_merged(a, b),
                _ => ShardHistory::new(now_ms),
            };
            self.shards.insert(shard.id, history);
        }
        let open: BTreeSet<ShardId> = map.open.iter().map(|shard| shard.id).collect();
        self.shards.retain(|id, _| open.contains(id));
        for (id, shard) in &mut self.shards {
            shard.observe(now_ms, reports.remove(id), target);
        }
    }

    pub(crate) fn get(&self, shard: ShardId) -> Option<&ShardHistory> {
        self.shards.get(&shard)
    }
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
