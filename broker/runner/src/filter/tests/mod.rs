//! The language by example, its errors, and the tree against a plain reading of the rules.

mod against_rules;
mod errors;
mod language;
mod records;
