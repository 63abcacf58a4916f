//! A process that ends with the test.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A running program. Killed when dropped.
pub struct Child(std::process::Child);

impl Child {
    /// Starts a program, and gives `ready` its lines until that finds something.
    pub(crate) fn start<T>(
        mut program: Command,
        mut ready: impl FnMut(&str) -> Option<T>,
    ) -> Result<(Child, T)> {
        let name = program.get_program().display().to_string();
        let child = program.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = Child(child.with_context(|| format!("can't run {name}"))?);
        let mut lines = BufReader::new(child.0.stdout.take().context("no standard output")?).lines();
        while let Some(line) = lines.next().transpose()? {
            if let Some(found) = ready(&line) {
                // It may go on to print, and must not stand still for it.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok((child, found));
            }
        }
        bail!("{name} ended before it was ready: {}", child.0.wait()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Its own kill and wait are all that can fail here, when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
