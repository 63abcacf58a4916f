//! Loads as processes of their own: what one is told, what it tells.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::{catch_up, overload, put_record, put_records, put_to_get, raw, reshard_wait};

/// A load.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "load", rename_all = "kebab-case")]
pub(crate) enum Load {
    Raw(raw::Load),
    PutRecords(put_records::Load),
    PutRecord(put_record::Load),
    PutToGet(put_to_get::Load),
    ReshardWait(reshard_wait::Load),
    Overload(overload::Load),
    ReadShards(catch_up::ReadShards),
    ReadRaw(catch_up::ReadRaw),
}

impl Load {
    async fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Load::Raw(load) => load.run().await,
            Load::PutRecords(load) => load.run().await,
            Load::PutRecord(load) => load.run().await,
            Load::PutToGet(load) => load.run().await,
            Load::ReshardWait(load) => load.run().await,
            Load::Overload(load) => load.run().await,
            Load::ReadShards(load) => load.run().await,
            Load::ReadRaw(load) => load.run().await,
        }
    }
}

/// What a load has seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) figures: BTreeMap<String, f64>,
    /// Every single value of something that a figure tells in short.
    pub(crate) samples: BTreeMap<String, Vec<f64>>,
    /// Records that the API refused as too fast.
    pub(crate) throttled: u64,
    /// Records or requests that failed otherwise.
    pub(crate) errors: u64,
    /// What the first of those was.
    pub(crate) first_error: Option<String>,
}

impl Outcome {
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    /// A figure by its name.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<f64> {
        self.figures.get(name).copied().with_context(|| format!("the load has not told {name}"))
    }
}

/// What the hidden subcommand does: reads a load, runs it, prints what it has seen.
pub(crate) fn run_as_process() -> anyhow::Result<()> {
    let mut stdin = std::io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let load: Load = serde_json::from_str(&line).context("a load is told by millrace-bench, in JSON")?;
    drop(stdin);
    // Its end says that nobody waits for us any more.
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(2);
    });
    // The server needs the other half.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let outcome = runtime.block_on(async { tokio::spawn(load.run()).await })??;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// Runs a load as a process, no longer than `bound`.
pub(crate) async fn run(load: &Load, bound: Duration) -> anyhow::Result<Outcome> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("load")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for us alone: what it means for the load we decide.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("can't start a load")?;
    let mut stdin = child.stdin.take().context("a load without an input")?;
    stdin.write_all(format!("{}\n", serde_json::to_string(load)?).as_bytes()).await?;
    let output = match timeout(bound, child.wait_with_output()).await {
        Ok(output) => output?,
        Err(_) => bail!("the load did not end within {} s", bound.as_secs()),
    };
    drop(stdin);
    if !output.status.success() {
        bail!("the load failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the load has not told what it saw")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_told_in_one_line() {
        let load = Load::PutRecord(put_record::Load {
            address: "127.0.0.1:1".parse().unwrap(),
            stream: "s".into(),
            connections: 2,
            seconds: 1.5,
        });
        let line = serde_json::to_string(&load).unwrap();
        assert!(!line.contains('\n'));
        let read: Load = serde_json::from_str(&line).unwrap();
        assert!(
            matches!(read, Load::PutRecord(load) if load.connections == 2 && load.seconds == 1.5),
            "{line}"
        );
    }
}
