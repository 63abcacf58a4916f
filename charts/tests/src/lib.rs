//! The chart as Helm renders it, for the tests beside this.

mod documents;
mod helm;

pub use documents::{Document, documents};
pub use helm::{NAMESPACE, chart, helm, notes, refusal, render, repository, skipped};
