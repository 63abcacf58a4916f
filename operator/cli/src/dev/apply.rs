//! Bringing streams to what resource files say: pure decisions, and the thin code that carries them out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use millrace_core::{StreamAttributes, StreamConfig, StreamEntry, StreamState};
use millrace_server::broker::{Broker, ControlError};
use millrace_server::sigv4::ANY_NAMESPACE;

/// A stream as a file asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What is asked of it.
    pub config: StreamConfig,
}

/// What is to be done with one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not there.
    Create(Wanted),
    /// It is there, and the file has changed since it was last applied.
    Configure(Wanted),
    /// It is there, was made by a file, and no file names it any more. Data is never removed for that.
    Keep(String),
}

/// What is to be done, so that streams are as the files say. `applied` is what the files said when they were
/// last applied: a stream that was changed by the API since then keeps that change until its file changes.
pub fn changes(
    wanted: &[Wanted],
    applied: &BTreeMap<String, StreamConfig>,
    present: &BTreeMap<String, StreamEntry>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for stream in wanted {
        match present.get(&stream.name) {
            None => changes.push(Change::Create(stream.clone())),
            Some(_) if applied.get(&stream.name) == Some(&stream.config) => {}
            Some(entry) if StreamConfig { rescale: false, ..entry.config.clone() } == stream.config => {}
            Some(_) => changes.push(Change::Configure(stream.clone())),
        }
    }
    let dropped = applied.keys().filter(|name| !wanted.iter().any(|stream| stream.name == **name));
    changes.extend(dropped.filter(|name| present.contains_key(*name)).cloned().map(Change::Keep));
    changes
}

/// What the files said when they were last applied, kept beside the data.
pub struct Applied {
    file: PathBuf,
    configs: BTreeMap<String, StreamConfig>,
}

impl Applied {
    /// Reads it; nothing was applied where there is no file.
    ///
    /// # Errors
    /// When the file can't be read or understood.
    pub fn read(data: &Path) -> anyhow::Result<Applied> {
        let file = data.join("applied");
        let mut configs = BTreeMap::new();
        if file.exists() {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
            for line in text.lines() {
                let parsed = line.split_once(' ').and_then(|(name, config)| {
                    Some((name.to_owned(), StreamConfig::decode(&hex::decode(config).ok()?).ok()?))
                });
                let Some((name, config)) = parsed else {
                    bail!("{} is damaged: remove it, and the files are applied anew", file.display());
                };
                configs.insert(name, config);
            }
        }
        Ok(Applied { file, configs })
    }

    /// A crash before the rename leaves the old file: the same changes are found again, and done already.
    fn write(&self) -> anyhow::Result<()> {
        let lines =
            self.configs.iter().map(|(name, config)| format!("{name} {}\n", hex::encode(config.encode())));
        let draft = self.file.with_extension("new");
        std::fs::write(&draft, lines.collect::<String>())
            .and_then(|()| std::fs::rename(&draft, &self.file))
            .with_context(|| format!("can't write {}", self.file.display()))
    }
}

/// Brings the streams to what the files say. Returns a sentence for each thing done.
///
/// # Errors
/// When the log does not answer.
pub async fn apply(broker: &Broker, wanted: &[Wanted], applied: &mut Applied) -> anyhow::Result<Vec<String>> {
    let present: BTreeMap<String, StreamEntry> = broker
        .streams(ANY_NAMESPACE)
        .into_iter()
        .map(|stream| (stream.name.clone(), stream.entry.clone()))
        .collect();
    let mut done = Vec::new();
    for change in changes(wanted, &applied.configs, &present) {
        match change {
            Change::Create(stream) => {
                match broker
                    .create_stream(
                        ANY_NAMESPACE,
                        &stream.name,
                        stream.config.clone(),
                        StreamAttributes::default(),
                    )
                    .await
                {
                    Ok(()) | Err(ControlError::Exists(_)) => {}
                    Err(error) => return Err(error).context(format!("stream {} is not made", stream.name)),
                }
                let shards = stream.config.shards;
                done.push(format!("stream {} created with {}", stream.name, count(shards, "shard")));
            }
            Change::Configure(stream) => {
                let config = stream.config.clone();
                let set = move |present: &mut StreamConfig| *present = config.clone().following(present);
                broker
                    .configure_stream(ANY_NAMESPACE, &stream.name, &set)
                    .await
                    .with_context(|| format!("stream {} is not changed", stream.name))?;
                done.push(format!("stream {} configured as its file says now", stream.name));
            }
            Change::Keep(name) => done.push(format!(
                "stream {name} is in no file any more; its data is kept (remove it with: aws kinesis \
                 delete-stream --stream-name {name})"
            )),
        }
    }
    applied.configs = wanted.iter().map(|stream| (stream.name.clone(), stream.config.clone())).collect();
    applied.write()?;
    Ok(done)
}

/// Waits until the streams take records.
///
/// # Errors
/// When one of them does not become active in time.
pub async fn await_active(broker: &Broker, wanted: &[Wanted], wait: Duration) -> anyhow::Result<()> {
    let is_active = |name: &str| {
        let stream = broker.stream(ANY_NAMESPACE, name);
        stream.is_some_and(|s| s.entry.state == StreamState::Active && s.map.is_some())
    };
    let mut changes = broker.changes();
    let all = async {
        while !wanted.iter().all(|stream| is_active(&stream.name)) {
            changes.changed().await;
        }
    };
    if tokio::time::timeout(wait, all).await.is_err() {
        let waiting: Vec<&str> =
            wanted.iter().map(|stream| stream.name.as_str()).filter(|name| !is_active(name)).collect();
        bail!("not active after {} s: {}", wait.as_secs(), waiting.join(", "));
    }
    Ok(())
}

fn count(number: u32, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_core::DataId;

    fn config(shards: u32) -> StreamConfig {
        StreamConfig { shards, ..StreamConfig::default() }
    }

    fn wanted(shards: u32) -> Wanted {
        Wanted { name: "orders".into(), config: config(shards) }
    }

    fn present(shards: u32) -> BTreeMap<String, StreamEntry> {
        let entry = StreamEntry {
            data: DataId::from_random(1),
            state: StreamState::Active,
            created_ms: 0,
            config: config(shards),
        };
        BTreeMap::from([("orders".into(), entry)])
    }

    #[test]
    fn a_stream_that_is_not_there_is_made_also_when_it_was_applied_once() {
        let applied = BTreeMap::from([("orders".into(), config(2))]);
        assert_eq!(changes(&[wanted(2)], &applied, &BTreeMap::new()), [Change::Create(wanted(2))]);
    }

    #[test]
    fn what_the_api_changed_stays_until_the_file_changes() {
        let applied = BTreeMap::from([("orders".into(), config(2))]);
        assert_eq!(changes(&[wanted(2)], &applied, &present(4)), []);
        assert_eq!(changes(&[wanted(3)], &applied, &present(4)), [Change::Configure(wanted(3))]);
    }

    #[test]
    fn a_stream_that_is_in_no_file_any_more_keeps_its_data() {
        let applied = BTreeMap::from([("orders".into(), config(2))]);
        assert_eq!(changes(&[], &applied, &present(2)), [Change::Keep("orders".into())]);
        assert_eq!(changes(&[], &BTreeMap::new(), &present(2)), []);
    }

    #[test]
    fn what_was_applied_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut applied = Applied::read(dir.path()).unwrap();
        applied.configs.insert("orders".into(), config(7));
        applied.write().unwrap();
        assert_eq!(Applied::read(dir.path()).unwrap().configs, applied.configs);
    }
}
