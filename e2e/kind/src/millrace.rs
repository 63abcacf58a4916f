//! Millrace on a cluster: installed by Helm, and used by clients from outside.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::sync::OnceCell;

use crate::{Cluster, IMAGE, Namespace, output};

impl Cluster {
    /// Installs Millrace with Helm, or upgrades it, once in a run.
    pub async fn install(&self) -> Result<()> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let install = || async {
            let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/millrace");
            let (repository, tag) = IMAGE.split_once(':').context("an image without tag")?;
            let mut helm = self.program("helm");
            helm.args(["upgrade", "--install", "millrace", chart, "--namespace", "millrace-system"])
                .args(["--create-namespace", "--wait", "--timeout", "3m"])
                .args(["--set", &format!("image.repository={repository}")])
                .args(["--set-string", &format!("image.tag={tag}")]);
            output(helm, "").await.context("Millrace can't be installed")?;
            Ok(())
        };
        INSTALLED.get_or_try_init(install).await.copied()
    }
}

/// A way to a Broker's API from this machine, with its first access key. It lasts as long as the pod that it leads to.
pub struct Endpoint {
    address: String,
    access_key: String,
    secret_key: String,
    _forward: Child,
    // kubectl tells of each connection, and ends when nobody reads that.
    _told: Lines<BufReader<ChildStdout>>,
}

impl Namespace {
    /// A way to a Broker of this namespace.
    pub async fn endpoint(&self, broker: &str) -> Result<Endpoint> {
        let secret = self.api::<Secret>().get(&format!("{broker}-root-access-key")).await?;
        let part = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            value
                .and_then(|value| String::from_utf8(value.0.clone()).ok())
                .with_context(|| format!("no {key}"))
        };
        let (access_key, secret_key) = (part("AWS_ACCESS_KEY_ID")?, part("AWS_SECRET_ACCESS_KEY")?);
        let mut forward = self
            .kubectl(&["port-forward", &format!("service/{broker}-api"), ":4566"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = forward.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            // Forwarding from 127.0.0.1:40721 -> 4566
            if let Some(address) =
                line.split_whitespace().nth(2).filter(|text| text.starts_with("127.0.0.1:"))
            {
                let address = address.to_owned();
                return Ok(Endpoint { address, access_key, secret_key, _forward: forward, _told: lines });
            }
        }
        bail!("kubectl port-forward ended: is a broker of {broker} ready?")
    }

    /// Runs `clients/stream.py` against a Broker, and returns what it prints.
    pub async fn client(&self, endpoint: &Endpoint, arguments: &[&str]) -> Result<Value> {
        let mut python = self.cluster.python();
        python
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/stream.py"))
            .args(arguments)
            .env("AWS_ENDPOINT_URL", format!("http://{}", endpoint.address))
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", &endpoint.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &endpoint.secret_key);
        Ok(serde_json::from_str(&output(python, "").await?)?)
    }
}
