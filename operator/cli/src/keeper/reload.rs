//! Making nats-server read its certificates again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::monitor::Monitor;

/// How often the process is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What Linux calls the process.
const PROGRAM: &str = "nats-server";

/// Sends SIGHUP to a nats-server for each state of its certificates.
///
/// Each process is told once when it is first seen: the files may have been replaced after it read them and before
/// we did. A signal that comes twice does no harm, and one that was not heeded is sent again, so a crash at any
/// point is made good by the next keeper.
pub struct Reloads {
    pid_file: PathBuf,
    monitor: Monitor,
    /// The process and the state of the certificates that it has read.
    told: Option<(Pid, u64)>,
    /// The process and the state that the last signal was sent for, and when the configuration had been read.
    asked: Option<(Pid, u64, String)>,
    complaint: Option<String>,
}

impl Reloads {
    /// For the process named in this file.
    pub fn new(pid_file: PathBuf, monitor: Monitor) -> Reloads {
        Reloads { pid_file, monitor, told: None, asked: None, complaint: None }
    }

    /// Never ends. `certificates` counts their states.
    pub async fn run(mut self, mut certificates: watch::Receiver<u64>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = certificates.changed() => {}
            }
            let state = *certificates.borrow();
            match self.look(state).await {
                Ok(()) => self.complaint = None,
                Err(why) if self.complaint.as_ref() == Some(&why) => {}
                Err(why) => {
                    tracing::warn!(why, "nats-server can't be told of its certificates yet: trying again");
                    self.complaint = Some(why);
                }
            }
        }
    }

    async fn look(&mut self, state: u64) -> Result<(), String> {
        let pid = server_pid(&self.pid_file)?;
        if self.told == Some((pid, state)) {
            return Ok(());
        }
        // A server that answers here has its handler for the signal; without one the signal would end it.
        let loaded = self.monitor.state().await?.config_load_time;
        match &self.asked {
            Some((asked, of, before)) if (*asked, *of) == (pid, state) && *before != loaded => {
                tracing::info!(pid = pid.as_raw_nonzero().get(), "nats-server has read its certificates");
                self.told = Some((pid, state));
                Ok(())
            }
            _ => {
                kill_process(pid, Signal::HUP)
                    .map_err(|error| format!("process {} takes no signal: {error}", pid.as_raw_nonzero()))?;
                self.asked = Some((pid, state, loaded));
                Ok(())
            }
        }
    }
}

/// The server's process. The file may be left from an earlier one, whose id is free or another's by now.
pub fn server_pid(pid_file: &Path) -> Result<Pid, String> {
    let name = pid_file.display();
    let text = std::fs::read_to_string(pid_file).map_err(|error| format!("{name} can't be read: {error}"))?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("{name} holds no process id"))?;
    let number = pid.as_raw_nonzero();
    match std::fs::read_to_string(format!("/proc/{number}/comm")) {
        Ok(program) if program.trim_end() == PROGRAM => Ok(pid),
        Ok(program) => Err(format!("{name} names process {number}, which is {}", program.trim_end())),
        Err(_) => Err(format!("{name} names process {number}, which is gone")),
    }
}
