//! The broker: ownership and routing, then one folder per API.

pub mod broker;
pub mod clock;
pub mod kinesis;
