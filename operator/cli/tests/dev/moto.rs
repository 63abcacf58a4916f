//! moto's own tests of Kinesis: somebody else's notion of the service, held against ours.
//!
//! They come with moto's source, by `make moto`. `e2e/moto` has what runs around them, and the list of those that don't
//! pass, each with what the service does instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use millrace_server::kinesis::Account;
use serde::Deserialize;

use crate::process::Dev;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Exclusions {
    /// Files that say nothing of another server, with the reason.
    not_run: BTreeMap<String, String>,
    /// Tests that fail, by their files, with the reason.
    fail: BTreeMap<String, BTreeMap<String, String>>,
}

impl Exclusions {
    fn read() -> Result<Exclusions> {
        let text = std::fs::read_to_string(ours().join("exclusions.yaml"))?;
        Ok(serde_yaml::from_str(&text)?)
    }

    fn failing(&self) -> BTreeSet<String> {
        let tests = |(file, tests): (&String, &BTreeMap<String, String>)| {
            tests.keys().map(|test| format!("{file}::{test}")).collect::<Vec<_>>()
        };
        self.fail.iter().flat_map(tests).collect()
    }
}

/// Whether a test has passed, failed or was skipped, and what was said of it.
type Outcomes = BTreeMap<String, (String, String)>;

#[test]
fn motos_tests_pass_but_for_those_that_expect_what_the_service_does_not_do() -> Result<()> {
    if std::env::var("MILLRACE_TEST").is_ok_and(|wanted| wanted == "fast") {
        println!("skipped: MILLRACE_TEST is fast, and these are eighty tests against a real server");
        return Ok(());
    }
    let exclusions = Exclusions::read()?;
    let outcomes = run(&exclusions)?;
    let with = |outcome: &str| -> BTreeSet<String> {
        outcomes.iter().filter(|(_, (its, _))| its == outcome).map(|(test, _)| test.clone()).collect()
    };
    let (passed, failed, skipped) = (with("passed"), with("failed"), with("skipped"));
    println!(
        "{} of moto's tests pass, {} fail, {} skip themselves",
        passed.len(),
        failed.len(),
        skipped.len()
    );
    ensure!(passed.len() > failed.len(), "most of moto's tests pass, if they run at all");

    let listed = exclusions.failing();
    let mut wrong = String::new();
    for test in failed.difference(&listed) {
        writeln!(wrong, "{test} fails: {}", outcomes[test].1)?;
    }
    for test in listed.difference(&failed) {
        writeln!(wrong, "{test} does not fail: take it from the list")?;
    }
    ensure!(wrong.is_empty(), "e2e/moto/exclusions.yaml says otherwise:\n{wrong}");
    Ok(())
}

/// Runs all of moto's tests of Kinesis against a server of their own.
fn run(exclusions: &Exclusions) -> Result<Outcomes> {
    let dev = Dev::start(&["--ephemeral"])?;
    let moto = moto();
    let source = moto.join("source");
    ensure!(source.is_dir(), "{} is missing: `make moto` makes it", source.display());
    let outcomes = tempfile::NamedTempFile::new()?;
    let python = std::env::var("MILLRACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let path = std::env::join_paths([moto.join("lib"), ours(), source.clone()])?;
    let mut pytest = Command::new(&python);
    pytest
        .current_dir(&source)
        .args(["-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider", "--quiet", "--tb=short"])
        .arg("tests/test_kinesis")
        .args(exclusions.not_run.keys().map(|file| format!("--ignore=tests/test_kinesis/{file}")))
        .env("PYTHONPATH", path)
        .env("TEST_SERVER_MODE", "true")
        .env("TEST_SERVER_MODE_ENDPOINT", &dev.endpoint)
        .env("MOTO_CALL_RESET_API", "false")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "anything")
        .env("AWS_SECRET_ACCESS_KEY", "anything")
        .env("ACCOUNT", Account::of_namespace("default").to_string())
        .env("OUTCOMES", outcomes.path());
    let said = pytest.output().with_context(|| format!("can't run {python}: `make python` makes one"))?;
    let text = std::fs::read_to_string(outcomes.path())?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "pytest told no outcomes\n{}\n{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        )
    })
}

/// Where moto's source lies with what its tests need.
fn moto() -> PathBuf {
    if let Some(given) = std::env::var_os("MILLRACE_MOTO") {
        return given.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    cache.join("millrace/tools/moto")
}

fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/moto")
}
