//! The invocations that wait for the function and those that it works on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::invocation::{Cause, FunctionError, Invocation, Response};
use super::{LogLines, Settings};

type Outcome = Result<Response, FunctionError>;

/// Hands invocations to the function, and answers to those who wait for them.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) settings: Settings,
    pub(super) logs: LogLines,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// By their ids.
    running: BTreeMap<String, Running>,
    /// How many invocations were handed out.
    taken: u64,
    /// How many requests for the next invocation are waiting.
    polling: usize,
    init_error: Option<FunctionError>,
}

#[derive(Debug)]
struct Waiting {
    invocation: Invocation,
    outcome: oneshot::Sender<Outcome>,
    taken: oneshot::Sender<Instant>,
}

/// An invocation that the function works on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) request_id: String,
    /// The how manieth it was. With the id of the request, which attempts may share, it names the attempt.
    order: u64,
    since: Instant,
    deadline: Instant,
    timeout: Duration,
    /// Gone once the answer has begun.
    outcome: Option<oneshot::Sender<Outcome>>,
}

/// An attempt, as the function names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) request_id: &'a str,
    /// What the function was told as `Lambda-Runtime-Invocation-Id`. Older clients don't say it.
    pub(super) invocation_id: Option<&'a str>,
}

/// An invocation that was handed out.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) invocation: Invocation,
    pub(super) invocation_id: String,
    pub(super) deadline: Instant,
}

fn invocation_id(request_id: &str, order: u64) -> String {
    format!("{request_id}-{order}")
}

impl State {
    /// Whether the function works on this attempt.
    fn is_running(&self, named: Named<'_>) -> bool {
        self.running.get(named.request_id).is_some_and(|running| {
            named.invocation_id.is_none_or(|id| id == invocation_id(&running.request_id, running.order))
        })
    }
}

/// Takes an invocation back that nobody waits for any more.
struct Withdraw<'e> {
    exchange: &'e Exchange,
    request_id: &'e str,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.exchange.withdraw(self.request_id);
    }
}

impl Exchange {
    pub(super) fn new(settings: Settings, logs: LogLines) -> Arc<Exchange> {
        Arc::new(Exchange { settings, logs, state: Mutex::default(), changed: Notify::new() })
    }

    /// Offers an invocation to the function, and waits for what comes of it.
    pub(super) async fn invoke(&self, invocation: Invocation) -> Outcome {
        let (request_id, limit) = (invocation.request_id.clone(), invocation.timeout);
        let (outcome, mut outcome_is) = oneshot::channel();
        let (taken, mut is_taken) = oneshot::channel();
        let _withdraw = Withdraw { exchange: self, request_id: &request_id };
        self.state.lock().waiting.push_back(Waiting { invocation, outcome, taken });
        self.changed.notify_waiters();
        let lost = || FunctionError::exited(&request_id, "the invocation was lost");
        let in_time = timeout(self.settings.taken_within, &mut is_taken).await;
        let deadline = match in_time.map_err(|_| is_taken.try_recv()) {
            // The second: it was taken at that very moment.
            Ok(Ok(deadline)) | Err(Ok(deadline)) => deadline,
            // It was refused while it waited.
            Ok(Err(_)) => return outcome_is.await.unwrap_or_else(|_| Err(lost())),
            Err(Err(_)) => {
                let init_error = self.state.lock().init_error.clone();
                return Err(
                    init_error.unwrap_or_else(|| FunctionError::not_taken(self.settings.taken_within))
                );
            }
        };
        match timeout_at(deadline, &mut outcome_is).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(lost())),
            Err(_) => match self.take(Named { request_id: &request_id, invocation_id: None }) {
                Some(running) => {
                    let error = FunctionError::timed_out(&request_id, limit);
                    self.logs.line(&format!(
                        "{request_id} Task timed out after {:.2} seconds",
                        limit.as_secs_f64()
                    ));
                    self.end(&running, Some(&error));
                    Err(error)
                }
                // The answer came at that very moment.
                None => outcome_is.await.unwrap_or_else(|_| Err(lost())),
            },
        }
    }

    /// The next invocation, as soon as there is one and the function may work on one more.
    pub(super) async fn next(&self) -> Taken {
        let polling = self.poll();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(next) = self.hand_out() {
                drop(polling);
                return next;
            }
            changed.await;
        }
    }

    /// Counts a request for the next invocation. A function asks for no more of them than it can work on; where it does,
    /// it has lost some that it had: it has started anew.
    fn poll(&self) -> Polling<'_> {
        let mut state = self.state.lock();
        state.polling += 1;
        state.init_error = None;
        let excess =
            (state.polling + state.running.len()).saturating_sub(self.settings.max_concurrency.max(1));
        let mut oldest: Vec<(u64, String)> =
            state.running.iter().map(|(id, running)| (running.order, id.clone())).collect();
        oldest.sort_unstable();
        let lost: Vec<Running> =
            oldest.into_iter().take(excess).filter_map(|(_, id)| state.running.remove(&id)).collect();
        drop(state);
        for running in lost {
            self.lose(running, "Runtime exited without providing a reason");
        }
        Polling(self)
    }

    fn hand_out(&self) -> Option<Taken> {
        let mut state = self.state.lock();
        if state.running.len() >= self.settings.max_concurrency.max(1) {
            return None;
        }
        loop {
            let Waiting { invocation, outcome, taken } = state.waiting.pop_front()?;
            let since = Instant::now();
            let deadline = since + invocation.timeout;
            if taken.send(deadline).is_err() {
                continue;
            }
            state.taken += 1;
            let invocation_id = invocation_id(&invocation.request_id, state.taken);
            let running = Running {
                request_id: invocation.request_id.clone(),
                order: state.taken,
                since,
                deadline,
                timeout: invocation.timeout,
                outcome: Some(outcome),
            };
            state.running.insert(invocation.request_id.clone(), running);
            drop(state);
            self.logs.start(&invocation.request_id, &self.settings);
            return Some(Taken { invocation, invocation_id, deadline });
        }
    }

    /// Whether the function works on this attempt.
    pub(super) fn is_running(&self, named: Named<'_>) -> bool {
        self.state.lock().is_running(named)
    }

    /// Ends an attempt; nothing if the function does not work on it.
    pub(super) fn take(&self, named: Named<'_>) -> Option<Running> {
        let mut state = self.state.lock();
        let running = if state.is_running(named) { state.running.remove(named.request_id) } else { None };
        drop(state);
        self.changed.notify_waiters();
        running
    }

    /// The answer of an invocation begins; it goes on until [`Exchange::take`].
    pub(super) fn begin(&self, named: Named<'_>, response: Response) -> Option<(Instant, Duration)> {
        let mut state = self.state.lock();
        if !state.is_running(named) {
            return None;
        }
        let running = state.running.get_mut(named.request_id)?;
        let outcome = running.outcome.take()?;
        let until = (running.deadline, running.timeout);
        drop(state);
        outcome.send(Ok(response)).is_ok().then_some(until)
    }

    /// Tells what came of an invocation that was taken.
    pub(super) fn finish(&self, running: Running, outcome: Outcome) {
        self.end(&running, outcome.as_ref().err());
        if let Some(waits) = running.outcome {
            // Whoever waited may have gone.
            let _ = waits.send(outcome);
        }
    }

    /// The function could not start: what waits for it fails.
    pub(super) fn init_failed(&self, error: FunctionError) {
        let mut state = self.state.lock();
        state.init_error = Some(error.clone());
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for Waiting { outcome, .. } in waiting {
            let _ = outcome.send(Err(error.clone()));
        }
    }

    /// The function has ended: what it worked on is lost.
    pub(super) fn exited(&self, why: &str) {
        let running = std::mem::take(&mut self.state.lock().running);
        for (_, running) in running {
            self.lose(running, why);
        }
    }

    pub(super) fn init_error(&self) -> Option<FunctionError> {
        self.state.lock().init_error.clone()
    }

    pub(super) fn taken(&self) -> u64 {
        self.state.lock().taken
    }

    /// Whether a request for the next invocation is waiting, so that one would be taken at once.
    pub(super) fn is_idle(&self) -> bool {
        self.state.lock().polling > 0
    }

    fn lose(&self, running: Running, why: &str) {
        self.logs.line(&format!("RequestId: {} Error: {why}", running.request_id));
        let error = FunctionError::exited(&running.request_id, why);
        self.finish(running, Err(error));
    }

    /// Writes the lines after an invocation.
    pub(super) fn end(&self, running: &Running, error: Option<&FunctionError>) {
        let status = error.map(|error| match error.cause {
            Cause::TimedOut => "timeout",
            _ => "error",
        });
        self.logs.end(&running.request_id, running.since.elapsed(), &self.settings, status);
    }

    fn withdraw(&self, request_id: &str) {
        let mut state = self.state.lock();
        state.waiting.retain(|waiting| waiting.invocation.request_id != request_id);
        // One whose answer has begun goes on.
        let gone = state.running.get(request_id).is_some_and(|running| running.outcome.is_some());
        let running = if gone { state.running.remove(request_id) } else { None };
        drop(state);
        if let Some(running) = running {
            self.end(&running, Some(&FunctionError::exited(request_id, "nobody waits for it")));
            self.changed.notify_waiters();
        }
    }
}

/// A request for the next invocation that is waiting.
struct Polling<'e>(&'e Exchange);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.state.lock().polling -= 1;
    }
}
