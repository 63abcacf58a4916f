//! Where a shard's load lies, and where to cut it so that the children carry about as much as is wanted.

use millrace_core::load::ShardLoad;
use millrace_core::{HashKey, HashRange};

/// A part of the hash range with its load, in thousandths of the shard's. Within it the load lies evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: u128,
    /// The last place, not below `start`.
    end: u128,
    load: f64,
    /// Whether it is one heavy key alone.
    key: bool,
}

/// A shard's load over its hash range.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pieces: Vec<Piece>,
}

/// How to cut a shard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cuts {
    /// Where the second and further children start.
    pub(crate) at: Vec<HashKey>,
    /// The keys that alone exceed the target, with their load in thousandths of it, heaviest first.
    pub(crate) hot: Vec<(HashKey, u32)>,
    /// What the heaviest child that is not a hot key will carry, in thousandths of the target.
    pub(crate) heaviest_per_mille: u32,
}

impl Profile {
    /// The load of a shard with this range, as far as its report tells; even, if that tells nothing.
    pub(crate) fn new(range: HashRange, load: &ShardLoad) -> Profile {
        let mut points: Vec<(u128, f64)> = vec![(range.start.0, 0.0)];
        for cut in load.cuts.iter().filter(|cut| cut.at > range.start && cut.at <= range.end) {
            let last = points[points.len() - 1];
            if cut.at.0 > last.0 {
                points.push((cut.at.0, f64::from(cut.below_per_mille).clamp(last.1, 1_000.0)));
            }
        }
        let mut keys: Vec<(u128, f64)> = load
            .heavy
            .iter()
            .filter(|heavy| range.contains(heavy.key))
            .map(|heavy| (heavy.key.0, f64::from(heavy.share_per_mille)))
            .collect();
        keys.sort_unstable_by_key(|(key, _)| *key);
        keys.dedup_by_key(|(key, _)| *key);
        let mut profile = Profile { pieces: Vec::new() };
        for (index, &(start, below)) in points.iter().enumerate() {
            let (end, through) = match points.get(index + 1) {
                Some(&(next, below)) => (next - 1, below),
                None => (range.end.0, 1_000.0),
            };
            let here = keys.iter().copied().filter(|(key, _)| (start..=end).contains(key));
            profile.part(start, end, through - below, &here.collect::<Vec<_>>());
        }
        profile
    }

    /// Adds the part `start ..= end`, in which the keys lie that are given.
    fn part(&mut self, start: u128, end: u128, load: f64, keys: &[(u128, f64)]) {
        let named: f64 = keys.iter().map(|(_, load)| load).sum();
        // Quantiles and heavy keys come from two estimates. Where the keys have more than the quantiles say, that
        // is because a key's load straddles a quantile; what is left between the keys is none then.
        let rest = (load - named).max(0.0);
        let width = (end - start) as f64 + 1.0;
        let mut low = Some(start);
        let even = |from: u128, to: u128| Piece {
            start: from,
            end: to,
            load: rest * (((to - from) as f64 + 1.0) / width),
            key: false,
        };
        for &(key, load) in keys {
            if let Some(from) = low.filter(|from| *from < key) {
                self.pieces.push(even(from, key - 1));
            }
            self.pieces.push(Piece { start: key, end: key, load, key: true });
            low = key.checked_add(1);
        }
        if let Some(from) = low.filter(|from| *from <= end) {
            self.pieces.push(even(from, end));
        }
    }

    /// Where to cut, for a shard that carries `per_mille` thousandths of its target, so that each child carries
    /// about `fill_per_mille`, in at most `most` children. No cuts, if none would help. Beside a single hot key up to
    /// `beside_per_mille` is left.
    pub(crate) fn cuts(&self, per_mille: u32, fill_per_mille: u32, beside_per_mille: u32, most: u32) -> Cuts {
        let all: f64 = self.pieces.iter().map(|piece| piece.load).sum();
        let scale = f64::from(per_mille) / all.max(1.0);
        let is_hot = |piece: &Piece| piece.key && piece.load * scale > 1_000.0;
        let mut hot: Vec<(HashKey, u32)> = self
            .pieces
            .iter()
            .filter(|piece| is_hot(piece))
            .map(|piece| (HashKey(piece.start), (piece.load * scale) as u32))
            .collect();
        hot.sort_by_key(|(key, load)| (std::cmp::Reverse(*load), *key));

        // Runs of pieces between hot keys, and how many children each gets.
        let runs: Vec<&[Piece]> = self.pieces.chunk_by(|a, b| !is_hot(a) && !is_hot(b)).collect();
        let load_of = |run: &[Piece]| run.iter().map(|piece| piece.load).sum::<f64>() * scale;
        let single = |run: &[Piece]| run.len() == 1 && is_hot(&run[0]);
        let fill = f64::from(fill_per_mille.max(1));
        let mut children: Vec<u32> = runs
            .iter()
            .map(|run| if single(run) { 1 } else { ((load_of(run) / fill - 0.1).ceil() as u32).max(1) })
            .collect();
        if hot.is_empty() && per_mille > 1_000 {
            children[0] = children[0].max(2);
        }
        // Too many: take from the run whose children would still carry the least.
        while children.iter().sum::<u32>() > most {
            let candidates = runs.iter().zip(&children).enumerate().filter(|(_, (_, n))| **n > 1);
            let after = |(_, (run, n)): &(usize, (&&[Piece], &u32))| load_of(run) / f64::from(**n - 1);
            match candidates.min_by(|a, b| after(a).total_cmp(&after(b))).map(|(index, _)| index) {
                Some(index) => children[index] -= 1,
                None => break,
            }
        }
        let mut at = Vec::new();
        let mut heaviest: f64 = 0.0;
        for (run, count) in runs.iter().zip(&children) {
            at.push(run[0].start);
            if !single(run) {
                heaviest = heaviest.max(load_of(run) / f64::from(*count));
                at.extend(inner_cuts(run, *count));
            }
        }
        at.sort_unstable();
        at.dedup();
        let mut at: Vec<HashKey> = at.into_iter().skip(1).map(HashKey).collect();
        at.truncate(most.saturating_sub(1) as usize);
        // A hot key that has the shard almost to itself gains nothing from having it alone.
        let beside_hot = f64::from(per_mille) - hot.iter().map(|(_, load)| f64::from(*load)).sum::<f64>();
        if hot.len() == 1 && beside_hot < f64::from(beside_per_mille) {
            at.clear();
        }
        Cuts { at, hot, heaviest_per_mille: heaviest as u32 }
    }

    /// Where to cut it into so many parts of about equal load; fewer, where one key has the load of several.
    pub(crate) fn divide(&self, parts: u32) -> Vec<HashKey> {
        let mut at = inner_cuts(&self.pieces, parts);
        at.dedup();
        at.into_iter().map(HashKey).collect()
    }
}

/// Where to cut a run into `count` parts of about equal load; fewer where one key spans several parts.
fn inner_cuts(run: &[Piece], count: u32) -> Vec<u128> {
    let all: f64 = run.iter().map(|piece| piece.load).sum();
    let mut cuts = Vec::new();
    let mut below = 0.0;
    let mut next = 1;
    for piece in run {
        while next < count {
            let wanted = all * f64::from(next) / f64::from(count);
            if wanted > below + piece.load {
                break;
            }
            let part = if piece.load > 0.0 { ((wanted - below) / piece.load).clamp(0.0, 1.0) } else { 0.0 };
            let width = piece.end - piece.start;
            let cut = if piece.key {
                // On whichever side of the key the parts come out more even.
                if part < 0.5 { Some(piece.start) } else { piece.end.checked_add(1) }
            } else {
                piece.start.checked_add((width as f64 * part) as u128).map(|cut| cut.min(piece.end))
            };
            cuts.extend(cut.filter(|cut| *cut > run[0].start && *cut <= run[run.len() - 1].end));
            next += 1;
        }
        below += piece.load;
    }
    cuts
}
