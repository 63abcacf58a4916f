//! The log in memory, with faults.
