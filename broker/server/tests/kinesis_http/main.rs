//! The Kinesis API over real HTTP, on a broker whose log is in memory.

mod api;
mod attributes;
mod cbor;
mod compatibility;
mod connections;
mod consumers;
mod declared;
mod hostile;
mod lists;
mod records;
mod refusals;
mod reshards;
mod retained;
mod subscribe;
mod tls;
mod wire;
