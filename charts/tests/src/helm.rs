//! Helm, run as a person runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::documents::{Document, documents};

/// The namespace of the release in these tests.
pub const NAMESPACE: &str = "millrace-system";

/// The folder that holds the whole repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The chart's folder.
pub fn chart() -> PathBuf {
    repository().join("charts/millrace")
}

/// Whether the tests that run Helm are left out, which it says. Only `MILLRACE_TEST=fast` without a Helm is such
/// a case.
pub fn skipped() -> bool {
    let skip = binary().is_none() && std::env::var("MILLRACE_TEST").is_ok_and(|kind| kind == "fast");
    if skip {
        eprintln!("LEFT OUT: there is no helm, and MILLRACE_TEST is fast");
    }
    skip
}

/// What Helm answers.
///
/// # Panics
/// Where there is no Helm, saying how to get one.
pub fn helm(args: &[&str]) -> Output {
    let Some(binary) = binary() else {
        panic!("there is no helm on PATH nor among the kind tools: run `make kind-tools`, or install Helm 4")
    };
    // No cluster is asked: what is rendered must not depend on the one that a person is logged in to.
    let output = Command::new(&binary).args(args).env("KUBECONFIG", "/dev/null").output();
    output.unwrap_or_else(|error| panic!("{} can't be run: {error}", binary.display()))
}

/// The objects that the chart makes of these values, each as `--set` takes it.
pub fn render(values: &[&str]) -> Vec<Document> {
    documents(&succeed("template", values))
}

/// What `helm install` says at its end.
pub fn notes(values: &[&str]) -> String {
    let said = succeed("install", values);
    let (_, notes) = said.split_once("NOTES:\n").expect("helm install prints the notes");
    notes.to_owned()
}

/// What Helm says when it refuses these values.
pub fn refusal(values: &[&str]) -> String {
    let output = run("template", values);
    assert!(!output.status.success(), "{values:?} was taken");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(verb: &str, values: &[&str]) -> String {
    let output = run(verb, values);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {verb} with {values:?}: {errors}");
    String::from_utf8(output.stdout).expect("Helm writes UTF-8")
}

fn run(verb: &str, values: &[&str]) -> Output {
    let chart = chart();
    let mut args = vec![verb, "millrace", chart.to_str().expect("a path of UTF-8"), "--namespace", NAMESPACE];
    if verb == "install" {
        args.push("--dry-run=client");
    }
    args.extend(values.iter().flat_map(|value| ["--set", value]));
    helm(&args)
}

/// The one on PATH, or else the newest among the tools that `make kind-tools` builds.
fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("helm")).find(|file| file.is_file());
    on_path.or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        let folders = std::fs::read_dir(cache.join("millrace")).ok()?;
        let kinds = folders.filter_map(|entry| Some(entry.ok()?.path()));
        let kinds = kinds
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kind-")));
        kinds.map(|path| path.join("bin/helm")).filter(|file| file.is_file()).max()
    })
}
