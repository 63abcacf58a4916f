//! What the traits promise, on real nats-servers: one, and three, killed and paused.

mod appends;
mod cluster;
mod connections;
mod full;
mod kv;
mod nats_server;
mod reads;
mod retention;
mod servers;
mod tls;
mod watches;
