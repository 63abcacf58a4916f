//! The broker: ownership and routing, then one folder per API.

pub mod broker;
pub mod clock;
pub mod controller;
pub mod http;
pub mod kinesis;
pub mod metrics;
pub mod peer_http;
pub mod sabotage;
pub mod sigv4;
