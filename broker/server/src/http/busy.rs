//! Whether a connection is at work, so that one that is not can be closed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Body, BoxError};

/// The requests that a connection carries at the moment.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    idle_since: Instant,
}

impl Activity {
    pub(super) fn new() -> Arc<Activity> {
        Arc::new(Activity { state: Mutex::new(State { in_flight: 0, idle_since: Instant::now() }) })
    }

    /// Counts a request, until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.state.lock().in_flight += 1;
        Busy(self.clone())
    }

    /// Returns once the connection has carried no request for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let until = {
                let state = self.state.lock();
                let since = if state.in_flight > 0 { Instant::now() } else { state.idle_since };
                since + limit
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request under way.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.in_flight -= 1;
        state.idle_since = Instant::now();
    }
}

/// An answer's body, which keeps its request counted until it is sent.
pub(super) struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl BusyBody {
    pub(super) fn new(body: Body, busy: Busy) -> BusyBody {
        BusyBody { body, _busy: busy }
    }
}

impl HttpBody for BusyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_while_it_carries_no_request() {
        let activity = Activity::new();
        let limit = Duration::from_secs(10);
        let busy = activity.begin();
        let waited = tokio::time::timeout(Duration::from_secs(100), activity.idle_for(limit)).await;
        assert!(waited.is_err(), "a request is under way");
        drop(busy);
        let ended = Instant::now();
        activity.idle_for(limit).await;
        assert!(ended.elapsed() >= limit);
    }
}
