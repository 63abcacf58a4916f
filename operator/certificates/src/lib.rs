//! The certificates of a Broker's servers, derived from a seed.
