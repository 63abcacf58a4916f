//! The child process, which does not outlive us.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::{oneshot, watch};

/// A child, and the thread that started it and waits for it.
///
/// The thread lives as long as the child because the death signal (`PR_SET_PDEATHSIG`, prctl(2)) is sent when
/// the *thread* ends that started the child.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// False once the child was waited for: the id may be somebody else's then.
    running: Arc<Mutex<bool>>,
    exited: watch::Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the command. Where `setpriv` of util-linux exists the child is killed when this process dies.
    pub(super) async fn spawn(launch: Launch) -> std::io::Result<Process> {
        let (started_tx, started) = oneshot::channel();
        let (exited_tx, exited) = watch::channel(None);
        let running = Arc::new(Mutex::new(true));
        let thread_running = running.clone();
        let thread =
            std::thread::Builder::new().name("nats-server".into()).spawn(move || {
                match command(launch).spawn() {
                    Err(error) => {
                        let _ = started_tx.send(Err(error));
                    }
                    Ok(child) => {
                        let pid = Pid::from_child(&child);
                        let _ = started_tx.send(Ok(pid));
                        let status = wait(child, pid, &thread_running);
                        let text = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                        let _ = exited_tx.send(Some(text));
                    }
                }
            })?;
        let died = || std::io::Error::other("the thread that starts the child died");
        let pid = started.await.map_err(|_| died())??;
        Ok(Process { pid, running, exited, thread: Some(thread) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal, unless the child has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let running = self.running.lock();
        if *running {
            // It may have ended since, but it has not been waited for: the id is still its own.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Waits until the child has ended, and tells how.
    pub(super) async fn exited(&self) -> String {
        let mut exited = self.exited.clone();
        match exited.wait_for(Option::is_some).await {
            Ok(status) => status.clone().unwrap_or_default(),
            Err(_) => "for an unknown reason".into(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for the end, and collects the child only while nobody is about to signal it.
fn wait(mut child: Child, pid: Pid, running: &Mutex<bool>) -> std::io::Result<ExitStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
    let mut running = running.lock();
    *running = false;
    child.wait()
}

/// What to start.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// Takes what the child says of itself before its own log is open.
    pub(super) stderr: File,
}

/// The command, under `setpriv --pdeathsig KILL` if there is one: that becomes the program, under the same
/// process id. In a process group of its own, so that a terminal's Ctrl-C ends us first and us it.
fn command(launch: Launch) -> Command {
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| Path::new(path).is_file());
    let mut command = match setpriv {
        None => Command::new(&launch.program),
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&launch.program);
            command
        }
    };
    command.args(launch.arguments).envs(launch.environment).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(launch.stderr);
    command
}
