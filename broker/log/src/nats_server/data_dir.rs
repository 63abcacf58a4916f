//! A data directory that is ours alone, also after a parent that was killed left a server behind in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{CONFIG_FILE, NatsServerError, PID_FILE};

/// How long a server that was left behind may take to end on SIGTERM before SIGKILL, and again after that.
const STALE_TIMEOUT: Duration = Duration::from_secs(10);

/// Holds the directory's lock for as long as it lives; the system frees it when the process dies.
#[derive(Debug)]
pub(super) struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, takes its lock, and ends a server that was left behind in it.
    pub(super) async fn take(path: &Path) -> Result<DataDir, NatsServerError> {
        let failed = |reason: String| NatsServerError::DataDir { path: path.to_owned(), reason };
        std::fs::create_dir_all(path).map_err(|error| failed(error.to_string()))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(|error| failed(error.to_string()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NatsServerError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error.to_string())),
        }
        end_stale_server(path).await.map_err(failed)?;
        Ok(DataDir { _lock: lock })
    }
}

/// Ends the server of an earlier parent, if it still runs. It is known by its process id *and* a command line
/// that names our configuration file: the id alone may belong to somebody else by now.
async fn end_stale_server(data_dir: &Path) -> Result<(), String> {
    let pid_file = data_dir.join(PID_FILE);
    let Some(pid) = std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok()) else {
        return Ok(());
    };
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    let config = data_dir.join(CONFIG_FILE);
    for signal in [Signal::TERM, Signal::KILL] {
        if !runs_with(pid, &config) {
            break;
        }
        tracing::warn!(
            pid = pid.as_raw_nonzero().get(),
            ?signal,
            "ending a nats-server that was left behind"
        );
        let _ = kill_process(pid, signal);
        let deadline = Instant::now() + STALE_TIMEOUT;
        while runs_with(pid, &config) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    if runs_with(pid, &config) {
        let pid = pid.as_raw_nonzero();
        return Err(format!("process {pid}, a nats-server of an earlier run, does not end: kill it"));
    }
    let _ = std::fs::remove_file(pid_file);
    Ok(())
}

/// Whether the process runs with exactly this configuration file as one of its arguments. A zombie has no
/// command line any more.
fn runs_with(pid: Pid, config: &Path) -> bool {
    let path = PathBuf::from(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    let Ok(command_line) = std::fs::read(path) else { return false };
    command_line.split(|byte| *byte == 0).any(|argument| argument == config.as_os_str().as_bytes())
}
