//! `millrace dev`, and programs that use it.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use crate::Child;

/// `millrace dev` with a directory of its own, on a free port. It verifies signatures.
pub struct Dev {
    endpoint: String,
    credentials: String,
    _process: Child,
}

impl Dev {
    /// Starts it and waits until it is ready.
    pub fn start() -> Result<Dev> {
        let mut program = Command::new(binary()?);
        for name in ["MILLRACE_DATA", "MILLRACE_LISTEN", "MILLRACE_LOG"] {
            program.env_remove(name);
        }
        program.args(["dev", "--ephemeral", "--auth", "--listen", "127.0.0.1:0"]);
        let mut endpoint = None;
        let ready = |line: &str| {
            endpoint = endpoint.take().or(line.strip_prefix("ready: AWS_ENDPOINT_URL=").map(str::to_owned));
            line.strip_prefix("access key: AWS_SHARED_CREDENTIALS_FILE=").map(str::to_owned)
        };
        let (process, credentials) = Child::start(program, ready)?;
        let endpoint = endpoint.context("no endpoint before the access key")?;
        Ok(Dev { endpoint, credentials, _process: process })
    }

    /// Runs a client against it; what it prints.
    pub fn run(&self, mut client: Command) -> Result<String> {
        client.env("AWS_ENDPOINT_URL", &self.endpoint).env("AWS_SHARED_CREDENTIALS_FILE", &self.credentials);
        said(client)
    }
}

/// Runs a program; what it prints.
pub fn said(mut program: Command) -> Result<String> {
    let name = format!("{program:?}");
    let output = program.output();
    let Output { status, stdout, stderr } =
        output.with_context(|| format!("can't run {name}: `make clients` says what is missing"))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    ensure!(status.success(), "{name} ended with {status}\n{stdout}{}", String::from_utf8_lossy(&stderr));
    Ok(stdout)
}

/// The binary: what `MILLRACE_BINARY` names if it is there, or the one of the profile that this test is of.
fn binary() -> Result<PathBuf> {
    let named = std::env::var_os("MILLRACE_BINARY").map(PathBuf::from);
    let test = std::env::current_exe()?;
    let beside = test.parent().and_then(|deps| deps.parent()).map(|profile| profile.join("millrace"));
    let found = named.into_iter().chain(beside).find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("there is no millrace: `cargo build -p millrace` builds it"),
    }
}
