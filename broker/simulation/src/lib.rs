//! Brokers, log and clients on a seeded clock and network, with an oracle.
//!
//! [`run()`] lets several real brokers, writers and readers work on the in-memory log while the seed lets the
//! network fail and brokers crash, pause and lose each other; then it lets everything settle and says what did
//! not hold. One seed is one run: the same events in the same order.

mod chaos;
mod crashes;
mod operator;
pub mod oracle;
mod process;
mod reader;
mod run;
mod scenario;
mod seeds;
mod world;
mod writer;

pub use crashes::{Outcome, reshard_with_blows};
pub use run::{Failure, Report, run, run_scenario};
pub use scenario::{Chaos, Scenario, network};
pub use seeds::{parallel, run_seeds};
