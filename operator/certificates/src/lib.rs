//! The certificates of a Broker's servers, derived from a seed.
//!
//! Each Broker has a certificate authority of its own, and each of its roles a certificate for each [`Epoch`].
//! All of it follows from one [`Seed`], so that whoever holds the seed can issue the same certificates again,
//! byte by byte, and never has to read a Secret back.

mod authority;
mod derive;
mod epoch;
mod seed;

pub use authority::{Authority, IssueError, Names, Pem, Role};
pub use epoch::Epoch;
pub use seed::{Seed, SeedError};
