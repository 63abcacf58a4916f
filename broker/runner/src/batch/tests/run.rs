//! A shard that is worked on to its end by a function, readers and a failure destination that do what dice say, with
//! everything held against what is promised.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::event::StreamCondition;

/// What may go wrong beside poison, and how often.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) settings: Settings,
    /// The records of the shard, in order.
    pub(super) records: Vec<EventRecord>,
    /// Packs that no filter wants.
    pub(super) unwanted: BTreeSet<u64>,
    /// Packs with which the function fails.
    pub(super) poison: BTreeSet<u64>,
    /// What happens next, each time a choice is there. When they are used up nothing more goes wrong.
    pub(super) dice: Vec<u8>,
    pub(super) heir: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Packs that the function was done with.
    pub(super) processed: BTreeSet<u64>,
    /// Packs in the failure destination.
    pub(super) given_up: BTreeSet<u64>,
    /// By the start of a window: how many records its last invocations counted.
    pub(super) totals: BTreeMap<i64, u64>,
    /// Last invocations before their window's end.
    pub(super) early: usize,
    pub(super) last: Option<Checkpoint>,
}

struct Run<'a> {
    story: &'a Story,
    dice: std::slice::Iter<'a, u8>,
    batcher: ShardBatcher,
    read: usize,
    now_ms: i64,
    invoking: Vec<(InvocationId, Batch)>,
    giving_up: Vec<(InvocationId, Batch)>,
    kept: Checkpoint,
    told: Told,
}

/// Works on the shard to its end.
pub(super) fn run(story: &Story, checkpoint: Checkpoint, now_ms: i64) -> Told {
    let mut run = Run {
        story,
        dice: story.dice.iter(),
        batcher: ShardBatcher::new(story.settings.clone(), writer(), checkpoint.clone()),
        read: 0,
        now_ms,
        invoking: Vec::new(),
        giving_up: Vec::new(),
        kept: checkpoint,
        told: Told::default(),
    };
    for _ in 0..100_000 {
        if run.kept.ended {
            assert!(run.batcher.is_finished());
            run.told.last = Some(run.kept);
            return run.told;
        }
        run.step();
    }
    panic!("it never ends: {:?}", run.batcher);
}

impl Run<'_> {
    fn die(&mut self) -> Option<u8> {
        self.dice.next().copied()
    }

    fn step(&mut self) {
        let actions = self.batcher.actions(self.now_ms);
        self.take(actions);
        let all_read = self.read == self.story.records.len();
        let room = self.batcher.room();
        let reads = !all_read && room.records > 0 && room.bytes > 0;
        match self.die() {
            Some(0..=9) => self.crash(),
            Some(10..=70) if reads => self.read(),
            Some(71..=110) if !self.giving_up.is_empty() => self.given_up(),
            Some(111..=130) => self.now_ms += 500,
            _ if !self.invoking.is_empty() => self.answer(),
            _ if !self.giving_up.is_empty() => self.given_up(),
            _ if reads => self.read(),
            _ => {
                if all_read {
                    self.batcher.read_until(self.now_ms);
                    self.batcher.ended(self.story.heir);
                }
                let wake_ms = self.batcher.wake_ms().unwrap_or(self.now_ms);
                self.now_ms = self.now_ms.max(wake_ms);
            }
        }
    }

    /// Another one goes on from what was kept.
    fn crash(&mut self) {
        let checkpoint = self.kept.clone();
        let records = &self.story.records;
        self.read = records.partition_point(|record| record.sequence.position < checkpoint.position);
        self.batcher = ShardBatcher::new(self.story.settings.clone(), writer(), checkpoint);
        self.invoking.clear();
        self.giving_up.clear();
    }

    fn read(&mut self) {
        let room = self.batcher.room();
        let count = usize::from(self.die().unwrap_or(50)) % 7 + 1;
        let to = (self.read + count.min(room.records)).min(self.story.records.len());
        let new = &self.story.records[self.read..to];
        let wanted = |record: &&EventRecord| !self.story.unwanted.contains(&record.sequence.position.pack);
        let wanted = new.iter().filter(wanted).cloned().collect();
        let read_to = Position::at_pack(new.last().unwrap().sequence.position.pack + 1);
        self.now_ms = self.now_ms.max(new.last().unwrap().record.arrival_ms);
        self.batcher.arrived(wanted, read_to, self.now_ms);
        self.read = to;
    }

    fn given_up(&mut self) {
        let (id, batch) = self.giving_up.remove(0);
        self.told.given_up.extend(packs(&batch));
        let actions = self.batcher.given_up(id);
        self.take(actions);
    }

    /// The function answers to one of the invocations.
    fn answer(&mut self) {
        let die = self.die();
        let which = usize::from(die.unwrap_or(0)) % self.invoking.len();
        let (id, batch) = self.invoking.remove(which);
        let bad: Vec<u64> =
            packs(&batch).into_iter().filter(|pack| self.story.poison.contains(pack)).collect();
        let report = self.story.settings.report_batch_item_failures;
        let outcome = match die {
            Some(0..=20) => Outcome::NotInvoked,
            Some(21..=50) => failed(),
            Some(51..=60) if report && !batch.is_empty() => {
                answered(r#"{"state":{},"batchItemFailures":[{"itemIdentifier":"7"}]}"#)
            }
            _ if bad.is_empty() => self.success(&batch, batch.len(), ""),
            _ if report => {
                let items = bad.iter().map(|pack| format!(r#"{{"itemIdentifier":"{}"}}"#, sequence(*pack)));
                let items = items.collect::<Vec<_>>().join(",");
                let done = packs(&batch).iter().take_while(|pack| !bad.contains(pack)).count();
                self.success(&batch, done, &format!(r#","batchItemFailures":[{items}]"#))
            }
            _ => failed(),
        };
        let actions = self.batcher.invoked(id, outcome, self.now_ms);
        self.take(actions);
    }

    /// The function is done with the first records of a batch, and counts them into its state.
    fn success(&mut self, batch: &Batch, done: usize, failures: &str) -> Outcome {
        self.told.processed.extend(&packs(batch)[..done]);
        let Some(window) = &batch.window else {
            return answered(&format!(r#"{{"any":1{failures}}}"#));
        };
        let state: BTreeMap<String, u64> = serde_json::from_str(&window.state).unwrap();
        let count = state.get("n").copied().unwrap_or(0);
        if window.is_final {
            *self.told.totals.entry(window.start_ms).or_default() += count;
            self.told.early += usize::from(window.terminated_early);
        }
        answered(&format!(r#"{{"state":{{"n":{}}}{failures}}}"#, count + done as u64))
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Invoke { id, batch } => {
                    self.look_at_batch(&batch);
                    self.invoking.push((id, batch));
                }
                Action::GiveUp { id, batch, condition, last, .. } => {
                    self.look_at_keys(&batch);
                    assert!(!batch.is_empty());
                    assert!(condition == StreamCondition::RecordAgeExceeded || last.is_some());
                    self.giving_up.push((id, batch));
                }
                Action::Keep(checkpoint) => self.look_at_checkpoint(checkpoint),
            }
        }
    }

    fn is_over(&self, pack: u64) -> bool {
        self.told.processed.contains(&pack) || self.told.given_up.contains(&pack)
    }

    fn look_at_checkpoint(&mut self, checkpoint: Checkpoint) {
        assert!(
            checkpoint.position >= self.kept.position,
            "it goes back: {checkpoint:?} after {:?}",
            self.kept
        );
        let before = self.story.records.iter().map(|record| record.sequence.position);
        for position in before.filter(|position| *position < checkpoint.position || checkpoint.ended) {
            let fine = self.story.unwanted.contains(&position.pack) || self.is_over(position.pack);
            assert!(fine, "{checkpoint:?} passes {position:?}, which is not done");
        }
        self.kept = checkpoint;
    }

    fn look_at_batch(&self, batch: &Batch) {
        let settings = &self.story.settings;
        assert!(batch.len() <= settings.batch_size);
        assert!(batch.event(&writer()).len() <= settings.payload_bytes || batch.len() == 1);
        match (&batch.window, settings.tumbling_window_ms) {
            (Some(window), Some(length_ms)) => {
                assert_eq!((window.end_ms - window.start_ms, window.is_final), (length_ms, batch.is_empty()));
                let inside = |record: &EventRecord| {
                    (window.start_ms..window.end_ms).contains(&record.record.arrival_ms)
                };
                assert!(batch.iter().all(inside), "{batch:?}");
            }
            (window, length_ms) => assert!(window.is_none() && length_ms.is_none() && !batch.is_empty()),
        }
        self.look_at_keys(batch);
        // What came before with the same key is done, or comes before in this batch.
        for (index, record) in batch.iter().enumerate() {
            let key = &record.record.partition_key;
            let pack = record.sequence.position.pack;
            assert!(!self.story.unwanted.contains(&pack));
            for earlier in self.story.records.iter().take_while(|earlier| earlier.sequence < record.sequence)
            {
                let earlier_pack = earlier.sequence.position.pack;
                let fine = earlier.record.partition_key != key
                    || self.story.unwanted.contains(&earlier_pack)
                    || self.is_over(earlier_pack)
                    || packs(batch)[..index].contains(&earlier_pack);
                assert!(fine, "{pack} before {earlier_pack} in {batch:?}");
            }
        }
    }

    fn look_at_keys(&self, batch: &Batch) {
        let others = self.invoking.iter().chain(&self.giving_up).flat_map(|(_, other)| other.iter());
        let others: BTreeSet<&[u8]> = others.map(|record| &record.record.partition_key[..]).collect();
        assert!(batch.iter().all(|record| !others.contains(&record.record.partition_key[..])), "{batch:?}");
    }
}
