//! The control loop that one process of a cluster runs.

pub mod intents;
mod lanes;
