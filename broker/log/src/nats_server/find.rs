//! Where the nats-server binary lies.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::version::{MIN_VERSION, ServerVersion};
use super::{NatsServerError, PROGRAM};

/// How long `nats-server --version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The binary to run: the one given, else the first of these that is a new enough one: `PATH`, then where
/// `make tools` puts it.
pub(super) async fn find_binary(given: Option<&Path>) -> Result<PathBuf, NatsServerError> {
    if let Some(path) = given {
        check_version(path).await?;
        return Ok(path.to_owned());
    }
    let mut too_old = None;
    for path in candidates() {
        match check_version(&path).await {
            Ok(()) => return Ok(path),
            Err(error) => too_old = too_old.or(Some(error)),
        }
    }
    Err(too_old.unwrap_or(NatsServerError::Missing))
}

/// The files of that name on `PATH` and in the cache of tools.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    dirs.extend(cache.map(|cache| cache.join("millrace").join("tools")));
    dirs.into_iter().map(|dir| dir.join(PROGRAM)).filter(|file| file.is_file()).collect()
}

async fn check_version(path: &Path) -> Result<(), NatsServerError> {
    let not_runnable = |reason: String| NatsServerError::NotRunnable { path: path.to_owned(), reason };
    let run = tokio::process::Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(VERSION_TIMEOUT, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(not_runnable(error.to_string())),
        Err(_) => return Err(not_runnable("it did not tell its version in 10 s".into())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match ServerVersion::parse(&text) {
        Some(version) if version >= MIN_VERSION => Ok(()),
        Some(found) => Err(NatsServerError::TooOld { path: path.to_owned(), found, wanted: MIN_VERSION }),
        None => Err(not_runnable(format!("it answers --version with {:?}", text.trim()))),
    }
}
