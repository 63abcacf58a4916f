//! What all measurements share: where things lie, how long, and the report.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::load::{self, Load, Outcome};
use crate::machine::Machine;
use crate::options::{Args, Measurement};
use crate::report::Report;

/// How much longer than its own time a load may take: it prepares requests, and waits for its last answers.
const LOAD_GRACE: Duration = Duration::from_secs(90);

/// One run of the program.
pub(crate) struct Bench {
    pub(crate) millrace: PathBuf,
    pub(crate) nats_server: PathBuf,
    /// Where emulators of Kinesis lie.
    pub(crate) emulators: PathBuf,
    /// How long a load lasts.
    pub(crate) seconds: u64,
    pub(crate) runs: u32,
    pub(crate) report: Report,
    /// Removed at the end, with all that lies in it.
    data: TempDir,
}

impl Bench {
    /// Finds the programs and looks at the machine.
    pub(crate) async fn new(args: Args) -> anyhow::Result<Bench> {
        let millrace = match args.millrace {
            Some(path) => path,
            None => std::env::current_exe()?.with_file_name("millrace"),
        };
        if !millrace.is_file() {
            bail!("there is no millrace at {}: build it, or name one with --millrace", millrace.display());
        }
        let nats_server = find_nats_server(args.nats_server)?;
        let emulators = args.emulators.or_else(|| Some(tools()?.join("emulators"))).unwrap_or_default();
        let parent = args.data.unwrap_or_else(std::env::temp_dir);
        let data = tempfile::Builder::new()
            .prefix("millrace-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("can't keep data in {}", parent.display()))?;
        let machine = Machine::this_one(&nats_server, &data.path().canonicalize()?).await?;
        let mut report = Report::new(machine, args.seconds, args.runs);
        if cfg!(debug_assertions) {
            report.note("This program was built without optimisation: its figures mean little.");
        }
        if report.machine().file_system == "tmpfs" {
            report.note(
                "Data lies in memory, where an fsync costs nothing: name a directory on a disk with --data.",
            );
        }
        Ok(Bench { millrace, nats_server, emulators, seconds: args.seconds, runs: args.runs, report, data })
    }

    /// An empty directory, removed when it is dropped.
    pub(crate) fn directory(&self) -> anyhow::Result<TempDir> {
        tempfile::tempdir_in(self.data.path()).context("can't make a directory for data")
    }

    /// Runs a load, and notes what was refused or went wrong in it.
    pub(crate) async fn load(&mut self, of: Measurement, name: &str, load: Load) -> anyhow::Result<Outcome> {
        eprintln!("{of}: {name}");
        let bound = Duration::from_secs(self.seconds) + LOAD_GRACE;
        let outcome = load::run(&load, bound).await.with_context(|| name.to_owned())?;
        if outcome.throttled > 0 {
            self.report.throttled(of, name, outcome.throttled);
        }
        if outcome.errors > 0 {
            let first = outcome.first_error.as_deref().unwrap_or("unknown");
            self.report.failed(of, format!("{name}: {} errors, the first: {first}", outcome.errors));
        }
        Ok(outcome)
    }
}

/// The one given, else the first in `PATH`, else where `make tools` puts it.
fn find_nats_server(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    directories.extend(tools());
    let mut files = directories.into_iter().map(|directory| directory.join("nats-server"));
    files
        .find(|file| file.is_file())
        .context("there is no nats-server: run `make tools`, or name one with --nats-server")
}

/// Where `make` puts tools.
fn tools() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("millrace/tools"))
}
