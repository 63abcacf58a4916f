//! Resource files: what `kubectl apply -f` takes, read without an API server.
//!
//! [`parse::parse`] is pure: texts in, resources or problems out. [`Watched`] reads files and sees them change.

mod locate;
mod parse;
mod source;
#[cfg(test)]
mod tests;

pub use parse::{DeclaredStream, Problem, parse};
pub use source::Watched;

use anyhow::bail;

/// Reads the files and gives back the streams that they declare. What deserves a warning goes to standard
/// error.
///
/// # Errors
/// A line for each problem in any of the files; nothing is given back then.
pub fn streams(watched: &mut Watched) -> anyhow::Result<Vec<DeclaredStream>> {
    let sources = watched.read()?;
    match parse(&sources) {
        Ok(resources) => {
            for warning in &resources.warnings {
                eprintln!("warning: {warning}");
            }
            Ok(resources.streams)
        }
        Err(problems) => bail!("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")),
    }
}
