//! What runs beside a function: it reads shards, filters and batches their records, and serves the Runtime API
//! by which the function takes them.
//!
//! [`filter`], [`event`] and [`batch`] decide without I/O, a clock or random numbers of their own.

pub mod batch;
pub mod event;
pub mod filter;
pub mod runtime_api;
pub mod source;
