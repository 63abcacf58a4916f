//! The programs, each with what it stands on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::Child;

/// How many seconds a client may take. Nothing waits for it when all is well.
const PATIENCE: &str = "600";

/// The story in Go. Here and below the caller gives the endpoint and an access key.
pub fn go(stream: &str) -> Command {
    let mut go = client("go", "go");
    go.env("GOFLAGS", "-mod=readonly").env("GOPROXY", "off").args(["run", ".", stream]);
    go
}

/// The story in Java: the synchronous client, and the asynchronous one for the subscription.
pub fn java(stream: &str) -> Command {
    let mut java = client("java", "java");
    java.args(jars("java")).args(["Sdk.java", stream]);
    java
}

/// The Kinesis Client Library, which reads by `polling` or by `fan-out`.
pub fn kcl(stream: &str, retrieval: &str, dynamodb: &str) -> Command {
    let mut java = client("java", "java");
    java.args(jars("java")).args(["Kcl.java", stream, retrieval]).env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb);
    java
}

/// DynamoDB Local, where the Kinesis Client Library keeps its leases; and its endpoint.
pub fn dynamodb_local() -> Result<(Child, String)> {
    let mut java = Command::new("java");
    let native = format!("-Djava.library.path={}", tools().join("jars/dynamodb-local").display());
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    java.arg(native).args(jars("dynamodb-local"));
    java.arg("com.amazonaws.services.dynamodbv2.local.main.ServerRunner");
    java.args(["-inMemory", "-disableTelemetry", "-port", &port.to_string()]);
    // The last of its settings: it listens right after, and clients try again till then.
    let ready = |line: &str| line.starts_with("CorsParams").then_some(());
    let (child, ()) = Child::start(java, ready).context("DynamoDB Local does not start")?;
    Ok((child, format!("http://127.0.0.1:{port}")))
}

/// The story in JavaScript.
pub fn javascript(stream: &str) -> Command {
    let mut node = client("node", "javascript");
    node.env("NODE_PATH", tools().join("javascript/node_modules")).args(["story.js", stream]);
    node
}

/// The story in Rust.
pub fn rust(stream: &str) -> Command {
    let mut cargo = client("cargo", "rust");
    // In a target directory of its own: its dependencies are not the workspace's.
    cargo.env("CARGO_TARGET_DIR", tools().join("rust-client"));
    cargo.args(["run", "--quiet", "--locked", "--offline", "--", stream]);
    cargo
}

/// Records of the Kinesis Producer Library's form, by aws-kinesis-agg.
pub fn aggregated(stream: &str) -> Command {
    let python = std::env::var_os("MILLRACE_PYTHON");
    let python = python.unwrap_or_else(|| tools().join("python/bin/python").into());
    let mut python = client(&python.to_string_lossy(), "python");
    python.args(["aggregated.py", stream]);
    python
}

/// A program in a folder of this crate, which knows nothing of this user's accounts. One that hangs is ended with all
/// that it has started.
fn client(program: &str, folder: &str) -> Command {
    let mut client = Command::new("timeout");
    client
        .args([PATIENCE, program])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    client
}

/// The class path. A program lives for seconds, so that its code is not worth the best compiler's time.
fn jars(folder: &str) -> [String; 4] {
    let path = tools().join("jars").join(folder).join("*");
    ["-XX:TieredStopAtLevel=1".into(), "-Xshare:auto".into(), "-cp".into(), path.display().to_string()]
}

/// Where `make` puts tools.
fn tools() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("millrace/tools")
}
