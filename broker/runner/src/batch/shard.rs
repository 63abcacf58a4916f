//! The state machine of one shard.

use std::hash::BuildHasher;

use millrace_core::Position;
use rustc_hash::FxBuildHasher;

use super::action::{Action, Attempt, Batch, InvocationId, Outcome, WindowBatch};
use super::lane::{Busy, Fit, Lane, Queued};
use super::progress::{Checkpoint, Progress};
use super::settings::Settings;
use super::window::Windows;
use crate::event::{
    BatchAnswer, EventRecord, EventWriter, StreamCondition, WindowAnswer, read_batch_answer,
    read_window_answer,
};

/// How much more may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Records.
    pub records: usize,
    /// What they take in events, in bytes; one that is larger may come alone.
    pub bytes: usize,
}

/// What follows a shard's last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    /// Whether a child takes its open window over.
    heir: bool,
}

/// An event source mapping on one shard. See the module.
#[derive(Debug)]
pub struct ShardBatcher {
    settings: Settings,
    writer: EventWriter,
    lanes: Vec<Lane>,
    progress: Progress,
    windows: Option<Windows>,
    end: Option<End>,
    /// Everything that arrived before was read: Unix milliseconds.
    read_until_ms: Option<i64>,
    kept: Checkpoint,
    next_id: u64,
}

impl ShardBatcher {
    /// Goes on at a checkpoint. Where a shard has no checkpoint yet it begins with the open window that it inherits,
    /// if it is its parent's heir. The settings were checked: [`Settings::check`].
    pub fn new(settings: Settings, writer: EventWriter, checkpoint: Checkpoint) -> ShardBatcher {
        let open = checkpoint.window.clone();
        ShardBatcher {
            lanes: (0..settings.parallelization_factor.max(1)).map(|_| Lane::default()).collect(),
            windows: settings.tumbling_window_ms.map(|length_ms| Windows::new(length_ms, open)),
            progress: Progress::new(checkpoint.position),
            end: None,
            read_until_ms: None,
            kept: checkpoint,
            next_id: 0,
            settings,
            writer,
        }
    }

    /// Takes records that were read, in order, without those that no filter wants. `read_to`: where reading goes on.
    pub fn arrived(&mut self, records: Vec<EventRecord>, read_to: Position, now_ms: i64) {
        for record in records {
            let bytes = self.writer.record_bytes(&record);
            let number = self.progress.take(record.sequence.position, bytes);
            let lane = match self.lanes.len() {
                1 => 0,
                lanes => (FxBuildHasher.hash_one(&record.record.partition_key[..]) % lanes as u64) as usize,
            };
            self.lanes[lane].push(Queued { record, number, bytes, read_ms: now_ms });
        }
        self.progress.read_to(read_to);
    }

    /// Everything that arrived before this time was taken, in Unix milliseconds: because a later record was read, or
    /// there was none at that time.
    pub fn read_until(&mut self, time_ms: i64) {
        self.read_until_ms = self.read_until_ms.max(Some(time_ms));
    }

    /// The shard has ended and everything was read. `heir`: a child takes its open window over.
    pub fn ended(&mut self, heir: bool) {
        self.end = Some(End { heir });
    }

    /// Whether the shard has ended, and all of it is done.
    pub fn is_finished(&self) -> bool {
        self.kept.ended
    }

    /// How far it is done.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.kept
    }

    /// How much more may be read.
    pub fn room(&self) -> Room {
        let (waiting, bytes) = self.progress.waiting();
        let wanted = 2 * self.settings.batch_size * self.lanes.len();
        // Those that are done behind one that is not are few bytes each, and bounded all the same.
        let held = 4 * wanted;
        let records = wanted.saturating_sub(waiting).min(held.saturating_sub(self.progress.held()));
        Room { records, bytes: self.settings.buffer_bytes.saturating_sub(bytes) }
    }

    /// What is to be done now.
    pub fn actions(&mut self, now_ms: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            if lane.busy.is_none() && lane.paused_until_ms.is_none_or(|until_ms| until_ms <= now_ms) {
                lane.paused_until_ms = None;
                actions.extend(self.advance(index, now_ms));
            }
        }
        actions.extend(self.keep().map(Action::Keep));
        actions
    }

    /// When to ask again though nothing has happened, in Unix milliseconds.
    pub fn wake_ms(&self) -> Option<i64> {
        let idle = self.lanes.iter().filter(|lane| lane.busy.is_none());
        idle.filter_map(|lane| match (lane.paused_until_ms, lane.pieces.is_empty()) {
            (Some(until_ms), _) => Some(until_ms),
            (None, false) => Some(i64::MIN),
            (None, true) => lane.due_ms(&self.settings, self.fit(lane), self.no_more()),
        })
        .min()
    }

    /// Whether a batch would wait in vain for more.
    fn no_more(&self) -> bool {
        let room = self.room();
        self.end.is_some() || room.records == 0 || room.bytes == 0
    }

    /// How large the next batch of a lane may be.
    fn fit(&self, lane: &Lane) -> Fit {
        let state_bytes = self.windows.as_ref().map_or(0, Windows::state_bytes);
        let bytes = self.settings.payload_bytes.saturating_sub(self.writer.envelope_bytes(state_bytes));
        let before_ms = self.windows.as_ref().zip(lane.next_arrival_ms()).map(|(windows, arrival_ms)| {
            windows.start_of(arrival_ms) + self.settings.tumbling_window_ms.unwrap_or(i64::MAX)
        });
        Fit { bytes, before_ms }
    }

    /// The next thing that a lane does.
    fn advance(&mut self, index: usize, now_ms: i64) -> Option<Action> {
        let next_ms = self.lanes[index].next_arrival_ms();
        if let Some(ending) = self.ending(next_ms, now_ms) {
            let id = self.id();
            self.lanes[index].busy = Some(Busy::Ending(id));
            let batch = Batch { records: [].into(), range: 0..0, window: Some(ending) };
            return Some(Action::Invoke { id, batch });
        }
        if self.lanes[index].pieces.is_empty() {
            let fit = self.fit(&self.lanes[index]);
            let due_ms = self.lanes[index].due_ms(&self.settings, fit, self.no_more());
            if due_ms.is_none_or(|due_ms| due_ms > now_ms) {
                return None;
            }
            self.lanes[index].begin_batch(&self.settings, fit);
        }
        if let Some(age_ms) = self.settings.maximum_record_age_ms {
            let piece = self.lanes[index].pieces.front_mut()?;
            let expired = piece.older_than(now_ms - age_ms);
            if expired > 0 {
                if expired < piece.records().len() {
                    let front = piece.split_off_front(expired);
                    self.lanes[index].pieces.push_front(front);
                }
                return self.give_up(index, StreamCondition::RecordAgeExceeded);
            }
        }
        let id = self.id();
        let lane = &mut self.lanes[index];
        let piece = lane.pieces.front_mut()?;
        piece.invocations += 1;
        lane.busy = Some(Busy::Invoking(id));
        let window = self.windows.as_ref().map(|windows| windows.of(piece.first_arrival_ms()));
        Some(Action::Invoke { id, batch: piece.batch(window) })
    }

    /// The last invocation of the open window, if it is due.
    fn ending(&self, next_ms: Option<i64>, now_ms: i64) -> Option<WindowBatch> {
        let windows = self.windows.as_ref()?;
        match (self.end, next_ms) {
            (Some(End { heir: false }), None) => windows.cut_off(now_ms),
            (Some(End { heir: true }), None) if !windows.is_overfull() => None,
            _ => windows.ending(next_ms, self.read_until_ms),
        }
    }

    fn give_up(&mut self, index: usize, condition: StreamCondition) -> Option<Action> {
        let id = self.id();
        let lane = &mut self.lanes[index];
        let piece = lane.pieces.front()?;
        lane.busy = Some(Busy::GivingUp(id));
        let (batch, invoke_count, last) = (piece.batch(None), piece.invocations, piece.last.clone());
        Some(Action::GiveUp { id, batch, condition, invoke_count, last })
    }

    fn id(&mut self) -> InvocationId {
        self.next_id += 1;
        InvocationId(self.next_id)
    }

    /// The checkpoint, if it is another than the last one.
    fn keep(&mut self) -> Option<Checkpoint> {
        // A state that is too large is not worth keeping: its window is about to end.
        if self.windows.as_ref().is_some_and(Windows::is_overfull) {
            return None;
        }
        let window = self.windows.as_ref().and_then(|windows| windows.open().cloned());
        let all_done = self.progress.is_done() && self.lanes.iter().all(Lane::is_done);
        let ended = all_done && self.end.is_some_and(|end| end.heir || window.is_none());
        let next = Checkpoint { position: self.progress.position(), window, ended };
        if next == self.kept {
            return None;
        }
        self.kept = next.clone();
        Some(next)
    }

    /// Tells that records were brought to the failure destination.
    pub fn given_up(&mut self, id: InvocationId) -> Vec<Action> {
        let busy = Some(Busy::GivingUp(id));
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.busy == busy) {
            lane.busy = None;
            lane.went_well();
            if let Some(piece) = lane.pieces.pop_front() {
                self.progress.done(piece.numbers());
            }
        }
        self.keep().map(Action::Keep).into_iter().collect()
    }

    /// Tells what came of an invocation. One that is not waited for any more changes nothing.
    pub fn invoked(&mut self, id: InvocationId, outcome: Outcome, now_ms: i64) -> Vec<Action> {
        let wanted = [Some(Busy::Invoking(id)), Some(Busy::Ending(id))];
        let Some(index) = self.lanes.iter().position(|lane| wanted.contains(&lane.busy)) else {
            return Vec::new();
        };
        let was = self.lanes[index].busy.take();
        let action = match was {
            Some(Busy::Ending(_)) => {
                self.window_ended(index, outcome, now_ms);
                None
            }
            _ => self.batch_ended(index, outcome, now_ms),
        };
        action.into_iter().chain(self.keep().map(Action::Keep)).collect()
    }

    /// What came of a window's last invocation. It is made until it succeeds.
    fn window_ended(&mut self, index: usize, outcome: Outcome, now_ms: i64) {
        let good = match outcome {
            Outcome::Answered { payload, .. } => read_window_answer(&payload, true, false, |_| false).is_ok(),
            Outcome::Failed { .. } | Outcome::NotInvoked => false,
        };
        if good {
            self.lanes[index].went_well();
            self.windows.as_mut().into_iter().for_each(Windows::close);
        } else {
            self.lanes[index].pause(now_ms);
        }
    }

    /// What came of an invocation with records.
    fn batch_ended(&mut self, index: usize, outcome: Outcome, now_ms: i64) -> Option<Action> {
        let lane = &mut self.lanes[index];
        let piece = lane.pieces.front_mut()?;
        let (request_id, answer) = match outcome {
            Outcome::NotInvoked => {
                piece.invocations -= 1;
                lane.pause(now_ms);
                return None;
            }
            Outcome::Failed { request_id } => (request_id, None),
            Outcome::Answered { request_id, payload } => (request_id, Some(payload)),
        };
        let function_failed = answer.is_none();
        piece.last = Some(Attempt { request_id, function_failed });
        let contains = |sequence| piece.contains(sequence);
        let report = self.settings.report_batch_item_failures;
        let (answered, state) = match (answer, &self.windows) {
            (None, _) => (None, None),
            (Some(payload), Some(_)) => match read_window_answer(&payload, false, report, contains) {
                Ok(WindowAnswer { batch, state }) => (Some(batch), state),
                Err(_) => (None, None),
            },
            (Some(payload), None) if report => (read_batch_answer(&payload, contains).ok(), None),
            (Some(_), None) => (Some(BatchAnswer::Done), None),
        };
        if let (Some(windows), Some(state)) = (&mut self.windows, state) {
            windows.answered(piece.first_arrival_ms(), state);
        }
        let done = match answered {
            Some(BatchAnswer::Done) => piece.records().len(),
            Some(BatchAnswer::FailedFrom(sequence)) => piece.before(sequence),
            None => 0,
        };
        if done == piece.records().len() {
            self.progress.done(piece.numbers());
            lane.pieces.pop_front();
            lane.went_well();
            return None;
        }
        if done > 0 {
            self.progress.done(piece.split_off_front(done).numbers());
            // Another record is the first one that fails.
            piece.failures = 0;
            lane.went_well();
        }
        let named = answered.is_some();
        self.batch_failed(index, named && done == 0, done > 0, now_ms)
    }

    /// The first piece of a lane failed. `first`: the function named its first record. `moved`: others before it are
    /// done now.
    fn batch_failed(&mut self, index: usize, first: bool, moved: bool, now_ms: i64) -> Option<Action> {
        let lane = &mut self.lanes[index];
        let piece = lane.pieces.front_mut()?;
        let bisect = self.settings.bisect_batch_on_function_error;
        if bisect && (moved || piece.records().len() > 1) {
            // Cutting is no retry. What the function named first stands alone; else it may be in either half.
            if !moved {
                let front = piece.split_off_front(if first { 1 } else { piece.records().len() / 2 });
                lane.pieces.push_front(front);
            }
            lane.pause(now_ms);
            return None;
        }
        piece.failures += 1;
        if self.settings.maximum_retry_attempts.is_some_and(|most| piece.failures > most) {
            return self.give_up(index, StreamCondition::RetryAttemptsExhausted);
        }
        lane.pause(now_ms);
        None
    }
}
