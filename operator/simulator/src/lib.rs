//! The autoscaler and its peers on a recorded load, second by second: pure.
//!
//! Millrace's own `decide()` is run on the broker's own shard map and load sketch. Load is a fluid: each second's
//! records spread over partition keys exactly by their shares, and a shard refuses what exceeds its limit (a token
//! bucket, as the broker's). Records that are refused are gone: nothing is tried again.

mod cost;
mod figures;
mod keys;
mod load;
mod oracle;
mod plot;
pub mod policies;
mod run;
mod stream;
mod trace;

pub use cost::{Cost, RESHARD_COST_SHARD_HOURS, THROTTLED_RECORD_COST_SHARD_HOURS};
pub use figures::Figures;
pub use keys::Keys;
pub use load::{Load, Segment};
pub use oracle::{Optimum, optimum};
pub use plot::plot;
pub use policies::Policy;
pub use run::{Course, Run, TARGET, run};
pub use stream::LIMIT_OVER_TARGET;
pub use trace::{Trace, TraceError};
