//! A shard's newest packs, kept in its owner's memory for readers at the tail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// What the owner knows of its shard's end.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The sequence of the shard's last message; `None` until the owner has asked the log.
    last: Option<u64>,
    /// When the last record arrived, in Unix milliseconds; 0 when that is not known.
    last_arrival_ms: i64,
    /// Whether `last` is the shard's CLOSE.
    closed: bool,
    /// Every message above this sequence is in `packs`.
    covered_after: u64,
    packs: VecDeque<TailPack>,
    bytes: usize,
}

/// A pack and the sequence it is stored at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailPack {
    /// Its sequence in the lane.
    pub sequence: u64,
    /// The pack as it is stored.
    pub pack: Bytes,
}

/// An owner's answer to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailView {
    /// The sequence of the shard's last message, 0 when it has none.
    pub last: u64,
    /// When the last record arrived, in Unix milliseconds; 0 when that is not known.
    pub last_arrival_ms: i64,
    /// Whether `last` is the shard's CLOSE.
    pub closed: bool,
    /// Messages above this sequence are in memory; what the reader lacks up to here it finds in the log.
    pub covered_after: u64,
    /// The packs from the reader's place on, if that lies above `covered_after`; not all of them when they are
    /// many.
    pub packs: Vec<TailPack>,
}

impl Tail {
    /// Begins anew: the log says that `last` is the shard's last message.
    pub(crate) fn begin(&mut self, last: u64, last_arrival_ms: i64, closed: bool, all: &AtomicUsize) {
        self.clear(all);
        *self = Tail { last: Some(last), last_arrival_ms, closed, covered_after: last, ..Tail::default() };
    }

    /// Forgets what is known, since this broker owns the shard no more.
    pub(crate) fn clear(&mut self, all: &AtomicUsize) {
        all.fetch_sub(self.bytes, Ordering::Relaxed);
        *self = Tail::default();
    }

    /// Notes a message that the owner has appended. Keeps up to `limit` bytes of packs, and but one pack while
    /// the tails of all shards hold more than `all_limit`.
    pub(crate) fn push(
        &mut self,
        pack: TailPack,
        last_arrival_ms: i64,
        closed: bool,
        limit: usize,
        all: &AtomicUsize,
        all_limit: usize,
    ) {
        self.last = Some(pack.sequence);
        self.last_arrival_ms = self.last_arrival_ms.max(last_arrival_ms);
        self.closed = closed;
        self.bytes += pack.pack.len();
        let mut held = all.fetch_add(pack.pack.len(), Ordering::Relaxed) + pack.pack.len();
        self.packs.push_back(pack);
        while self.packs.len() > 1 && (self.bytes > limit || held > all_limit) {
            let Some(oldest) = self.packs.pop_front() else { break };
            self.covered_after = oldest.sequence;
            self.bytes -= oldest.pack.len();
            held = all.fetch_sub(oldest.pack.len(), Ordering::Relaxed) - oldest.pack.len();
        }
    }

    /// What a reader at `from` (the lowest sequence that it has not read) needs to know; packs up to about
    /// `max_bytes`. `None` while the owner has not asked the log.
    pub(crate) fn view(&self, from: u64, max_bytes: usize) -> Option<TailView> {
        let last = self.last?;
        let mut packs = Vec::new();
        if from > self.covered_after {
            let first = self.packs.partition_point(|pack| pack.sequence < from);
            let mut bytes = 0;
            for pack in self.packs.range(first..) {
                if bytes >= max_bytes {
                    break;
                }
                bytes += pack.pack.len();
                packs.push(pack.clone());
            }
        }
        Some(TailView {
            last,
            last_arrival_ms: self.last_arrival_ms,
            closed: self.closed,
            covered_after: self.covered_after,
            packs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(sequences: &[u64], limit: usize, all_limit: usize) -> (Tail, AtomicUsize) {
        let all = AtomicUsize::new(0);
        let mut tail = Tail::default();
        tail.begin(5, 0, false, &all);
        for &sequence in sequences {
            let pack = TailPack { sequence, pack: Bytes::from_static(&[0; 10]) };
            tail.push(pack, sequence as i64, false, limit, &all, all_limit);
        }
        (tail, all)
    }

    fn sequences(view: &TailView) -> Vec<u64> {
        view.packs.iter().map(|pack| pack.sequence).collect()
    }

    #[test]
    fn an_owner_that_has_not_asked_the_log_knows_nothing() {
        assert_eq!(Tail::default().view(1, 100), None);
    }

    #[test]
    fn a_reader_within_memory_gets_what_it_lacks() {
        let (tail, _) = tail(&[7, 9, 12], 100, 100);
        assert_eq!(sequences(&tail.view(6, 100).unwrap()), [7, 9, 12]);
        assert_eq!(sequences(&tail.view(8, 100).unwrap()), [9, 12]);
        assert_eq!(sequences(&tail.view(13, 100).unwrap()), [0_u64; 0]);
        assert_eq!(sequences(&tail.view(6, 15).unwrap()), [7, 9]);
    }

    #[test]
    fn a_reader_behind_memory_is_told_where_memory_begins() {
        let (tail, all) = tail(&[7, 9, 12], 20, 100);
        let view = tail.view(6, 100).unwrap();
        assert_eq!((view.last, view.covered_after, view.packs.len()), (12, 7, 0));
        assert_eq!(sequences(&tail.view(8, 100).unwrap()), [9, 12]);
        assert_eq!(all.load(Ordering::Relaxed), 20);
    }

    #[test]
    fn when_all_tails_together_hold_too_much_a_shard_keeps_one_pack() {
        let (mut tail, all) = tail(&[7, 9, 12], 100, 15);
        assert_eq!(sequences(&tail.view(10, 100).unwrap()), [12]);
        tail.clear(&all);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
