//! The files themselves: found, read, and seen to change.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A resource file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// What problems call it: the path that the user gave.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// Files and directories that are read, and read again when they have changed.
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Option<u64>,
}

impl Watched {
    /// Watches these; nothing is read yet.
    pub fn new(paths: Vec<PathBuf>) -> Watched {
        Watched { paths, seen: None }
    }

    /// Reads every file: those that are named, and those directly in a directory whose names end in `.yaml`,
    /// `.yml` or `.json`.
    ///
    /// # Errors
    /// When a path can't be read, or a directory has none of these files.
    pub fn read(&mut self) -> anyhow::Result<Vec<Source>> {
        let sources = read(&self.paths);
        self.seen = Some(fingerprint(&sources));
        sources
    }

    /// Whether the files differ from what [`Watched::read`] found last. It compares what stands in them rather
    /// than times and sizes: the files are small, and two saves within one tick of the clock are seen too.
    pub fn has_changed(&self) -> bool {
        self.seen != Some(fingerprint(&read(&self.paths)))
    }
}

/// The same number for the same files and texts, and for the same failure to read them.
fn fingerprint(sources: &anyhow::Result<Vec<Source>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match sources {
        Ok(sources) => sources.hash(&mut hasher),
        Err(error) => format!("{error:#}").hash(&mut hasher),
    }
    hasher.finish()
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        let files = if path.is_dir() { files_in(path)? } else { vec![path.clone()] };
        for file in files {
            let bytes = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
            let Ok(text) = String::from_utf8(bytes) else {
                bail!("{} is no text: resource files are YAML in UTF-8", file.display());
            };
            sources.push(Source { name: file.display().to_string(), text });
        }
    }
    Ok(sources)
}

fn files_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("can't read {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("can't read {}", directory.display()))?.path();
        let is_yaml =
            path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|good| end == *good));
        if is_yaml && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} holds no resource files: put one into it whose name ends in .yaml", directory.display());
    }
    files.sort();
    Ok(files)
}
