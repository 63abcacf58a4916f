//! Brokers, log and clients on a seeded clock and network, with an oracle
