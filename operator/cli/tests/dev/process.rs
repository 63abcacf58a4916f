//! `millrace dev` as a child process on a free port.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long anything may take before the test gives up. Nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A resource file with one stream.
pub(crate) fn stream(name: &str, capacity: &str) -> String {
    format!(
        "apiVersion: millrace.dev/v1alpha1\nkind: Stream\nmetadata:\n  name: {name}\nspec:\n  brokerRef:\n    \
         name: local\n  capacity:\n    {}\n  quota: 64Mi\n",
        capacity.replace('\n', "\n    ")
    )
}

/// The command, with nothing of the test's environment that would change what it does.
pub(crate) fn millrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    for name in ["MILLRACE_DATA", "MILLRACE_LISTEN", "MILLRACE_LOG", "AWS_ENDPOINT_URL"] {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// A running `millrace dev`. Killed when dropped.
pub(crate) struct Dev {
    child: Child,
    pub(crate) endpoint: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Dev {
    /// Starts it on a free port and waits until it says that it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Result<Dev> {
        let mut child = millrace(&["dev", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let endpoint = loop {
            let mut line = String::new();
            if stdout.read_line(&mut line)? == 0 {
                bail!("millrace dev has ended: {}", child.wait()?);
            }
            lines.lock().unwrap().push(line.trim().to_owned());
            if let Some(endpoint) = line.trim().strip_prefix("ready: AWS_ENDPOINT_URL=") {
                break endpoint.to_owned();
            }
        };
        let told = lines.clone();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(std::result::Result::ok) {
                told.lock().unwrap().push(line);
            }
        });
        Ok(Dev { child, endpoint, lines })
    }

    /// Waits until it prints a line with this in it.
    pub(crate) fn await_line(&self, part: &str) -> Result<String> {
        await_that(&format!("a line with {part:?}"), || {
            self.lines.lock().unwrap().iter().find(|line| line.contains(part)).cloned()
        })
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) fn end(mut self, signal: &str) -> Result<std::process::ExitStatus> {
        Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        await_that("its end", || self.child.try_wait().ok().flatten())
    }

    /// The most memory that it has had so far, in bytes: proc(5).
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib << 10)
    }

    /// Runs one of people's tools against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = millrace(arguments).env("AWS_ENDPOINT_URL", &self.endpoint).output()?;
        if !output.status.success() {
            bail!("millrace {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something.
pub(crate) fn await_that<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what} did not come within {} s", PATIENCE.as_secs());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Runs `millrace dev` that is expected to refuse: its exit and what it says.
pub(crate) fn refused(arguments: &[&str]) -> Result<String> {
    let mut child = millrace(&["dev", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let status = await_that("its end", || child.try_wait().ok().flatten());
    let _ = child.kill();
    let mut said = String::new();
    child.stderr.take().context("no stderr")?.read_to_string(&mut said)?;
    let status = status.with_context(|| said.clone())?;
    if status.success() {
        bail!("it did not refuse: {said}");
    }
    Ok(said)
}

/// Runs a Python program with boto3 against an endpoint; what it prints.
pub(crate) fn python(script: &str, endpoint: &str, arguments: &[&str]) -> Result<String> {
    let interpreter = std::env::var("MILLRACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dev").join(script);
    let Output { status, stdout, stderr } = Command::new(&interpreter)
        .arg(script)
        .args(arguments)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "anything")
        .env("AWS_SECRET_ACCESS_KEY", "anything")
        .output()
        .with_context(|| format!("can't run {interpreter}: `make python` makes one with boto3"))?;
    if !status.success() {
        bail!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    }
    Ok(String::from_utf8(stdout)?)
}
