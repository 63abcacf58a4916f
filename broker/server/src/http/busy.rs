//! Whether a connection is at work, so that one that is not can be closed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Body, BoxError};

/// What a connection carries at the moment.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    requests: usize,
    /// Since when each piece of an answer waits to be taken by the client, in order.
    pieces: BTreeMap<u64, Instant>,
    next_piece: u64,
    idle_since: Instant,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It carries nothing.
    Idle,
    /// Its client does not take what it has asked for.
    Unread,
}

impl Activity {
    pub(super) fn new() -> Arc<Activity> {
        let state = State { requests: 0, pieces: BTreeMap::new(), next_piece: 0, idle_since: Instant::now() };
        Arc::new(Activity { state: Mutex::new(state) })
    }

    /// Counts a request, until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.state.lock().requests += 1;
        Busy(self.clone())
    }

    /// Returns once the connection has carried nothing for `idle`, or some piece of an answer for `unread`.
    pub(super) async fn overdue(&self, idle: Duration, unread: Duration) -> Overdue {
        loop {
            let (until, why) = {
                let state = self.state.lock();
                let now = Instant::now();
                match state.pieces.first_key_value() {
                    Some((_, since)) => (*since + unread, Overdue::Unread),
                    // Looked at again, which takes no signal from those who send.
                    None if state.requests > 0 => (now + idle.min(unread), Overdue::Idle),
                    None => (state.idle_since + idle, Overdue::Idle),
                }
            };
            if until <= Instant::now() {
                return why;
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
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}

/// A piece of an answer, until the connection has written it. It ends later than its body does, which hands all over
/// at once.
struct Piece {
    bytes: Bytes,
    number: u64,
    activity: Arc<Activity>,
}

impl Piece {
    fn of(activity: &Arc<Activity>, bytes: Bytes) -> Bytes {
        let mut state = activity.state.lock();
        let number = state.next_piece;
        state.next_piece += 1;
        state.pieces.insert(number, Instant::now());
        drop(state);
        Bytes::from_owner(Piece { bytes, number, activity: activity.clone() })
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut state = self.activity.state.lock();
        state.pieces.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

/// An answer's body, which keeps its request counted until it is sent.
pub(super) struct BusyBody {
    body: Body,
    busy: Busy,
}

impl BusyBody {
    pub(super) fn new(body: Body, busy: Busy) -> BusyBody {
        BusyBody { body, busy }
    }
}

impl HttpBody for BusyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let BusyBody { body, busy } = &mut *self;
        let frame = Pin::new(body).poll_frame(context);
        frame.map_ok(|frame| frame.map_data(|bytes| Piece::of(&busy.0, bytes)))
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
    use http_body_util::BodyExt;

    const IDLE: Duration = Duration::from_secs(10);
    const UNREAD: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_while_it_carries_no_request() {
        let activity = Activity::new();
        let busy = activity.begin();
        let waited = tokio::time::timeout(Duration::from_secs(100), activity.overdue(IDLE, UNREAD)).await;
        assert!(waited.is_err(), "a request is under way");
        drop(busy);
        let ended = Instant::now();
        assert_eq!(activity.overdue(IDLE, UNREAD).await, Overdue::Idle);
        assert!(ended.elapsed() >= IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_nobody_takes_is_overdue_whatever_else_goes_on() {
        let activity = Activity::new();
        let mut body = BusyBody::new(super::super::full("abc"), activity.begin());
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        let began = Instant::now();
        let others = async {
            loop {
                drop(Piece::of(&activity, Bytes::new()));
                drop(activity.begin());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let why = tokio::select! {
            why = activity.overdue(IDLE, UNREAD) => why,
            () = others => unreachable!(),
        };
        assert_eq!(why, Overdue::Unread);
        assert!(began.elapsed() >= UNREAD);
        drop(piece);
        assert_eq!(activity.overdue(IDLE, UNREAD).await, Overdue::Idle);
    }
}
