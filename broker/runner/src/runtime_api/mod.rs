//! The Lambda Runtime API (version 2018-06-01), by which a function takes invocations and answers them: one server on
//! loopback for one instance of one function, over HTTP/1.1.
//!
//! [`Exchange`](exchange::Exchange) holds the invocations that wait and those that run; the rest is HTTP. An invocation
//! is known by its id alone: once its time is over nobody waits for it, and a late answer is refused.

mod answers;
mod body;
mod exchange;
mod invocation;
mod log;
mod server;
#[cfg(test)]
mod tests;

pub use invocation::{Cause, FunctionError, Invocation, Invoker, Response, ResponseBody};
pub use log::LogLines;
pub use server::RuntimeApi;

use std::time::Duration;

/// The longest answer that is not streamed, in bytes (Lambda's quota and what it adds to it).
pub const MAX_RESPONSE_BYTES: usize = (6 << 20) + 100;
/// The longest answer that is streamed, in bytes (Lambda's quota).
pub const MAX_STREAM_BYTES: usize = 200 << 20;

/// What a function is served with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The version that is told in log lines.
    pub version: String,
    /// The memory that is told in log lines, in MiB.
    pub memory_mib: u32,
    /// How many invocations the function works on at once (`AWS_LAMBDA_MAX_CONCURRENCY`).
    pub max_concurrency: usize,
    /// How long an invocation waits for the function to take it.
    pub taken_within: Duration,
    /// The longest answer that is not streamed, in bytes.
    pub max_response_bytes: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            version: "$LATEST".to_owned(),
            memory_mib: 128,
            max_concurrency: 1,
            taken_within: Duration::from_secs(60),
            max_response_bytes: MAX_RESPONSE_BYTES,
        }
    }
}
