//! Programs as processes of their own, with what they print.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;

/// A program to run: arguments, environment and directory as in the standard library.
pub type Program = tokio::process::Command;

/// Runs a program with this on its standard input, and returns what it printed. One that fails is an error with what
/// it said. It ends with the future.
pub async fn output(mut program: Program, input: &str) -> Result<String> {
    let name = format!("{:?}", program.as_std());
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = program.spawn().with_context(|| format!("can't run {name}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let feed = async {
        // A program that ends without reading says why by its exit status.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{name} ended with {}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}
