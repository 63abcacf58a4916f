//! The operator: Brokers and Streams as Kubernetes resources.
//!
//! One folder per resource, each in the same steps: *resolve* reads what is there, pure functions decide and build,
//! *apply* writes, *report* says in the status what was found. Nothing is remembered between two rounds that matters:
//! a round may end anywhere, and the next one begins with what is there.

pub mod apply;
pub mod broker;
pub mod context;
mod decisions;
pub mod declare;
pub mod events;
mod follow;
pub mod lease;
pub mod links;
pub mod metrics;
mod orphans;
mod outlooks;
mod rounds;
pub mod run;
pub mod seed;
pub mod settings;
mod status;
pub mod stream;

pub use context::Context;
pub use settings::Settings;
