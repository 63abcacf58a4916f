//! Which request fails, and how.

use std::collections::BTreeMap;

/// What befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this HTTP status (409, 429, 500, 503, …) and has no effect.
    Status(u16),
    /// It takes effect, but its answer is lost: the client sees a broken connection.
    Lost,
    /// The client dies before it: this request has no effect, and it and every later one find no
    /// connection until [`FakeKube::restart`](crate::FakeKube::restart).
    Crash,
    /// The client dies after it took effect; later requests as with `Crash`.
    CrashAfter,
}

/// How every open watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// The connection breaks without a word.
    Break,
    /// An `ERROR` event says 410: the client has to list anew.
    Gone,
}

/// One request, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Counted from 1 since the beginning.
    pub number: u64,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status of the answer; 0 when there was none.
    pub status: u16,
    /// Whether an object changed.
    pub changed: bool,
}

impl Request {
    /// Whether it asks for a change, so anything but a GET.
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }
}

#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) planned: BTreeMap<u64, Fault>,
    pub(crate) crashed: bool,
    /// Watches opened before this generation end as `watch_fault` says.
    pub(crate) watch_generation: u64,
    pub(crate) watch_fault: Option<WatchFault>,
    pub(crate) log: Vec<Request>,
}
