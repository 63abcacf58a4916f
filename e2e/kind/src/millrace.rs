//! Millrace on a cluster: installed by Helm, and used by clients from outside.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::sync::OnceCell;

use crate::{Cluster, IMAGE, Namespace, Program, output};

/// Where the operator runs.
pub const OPERATOR_NAMESPACE: &str = "millrace-system";

/// A Broker called `default`, of one log server and one broker.
pub const SMALL_BROKER: &str = "
apiVersion: millrace.dev/v1alpha1
kind: Broker
metadata: {name: default}
spec:
  log: {servers: 1, replicas: 1, storage: {size: 4Gi}}
  replicas: 1
";

impl Cluster {
    /// Installs Millrace with Helm, or upgrades it, once in a run.
    pub async fn install(&self) -> Result<()> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        INSTALLED.get_or_try_init(|| self.install_with(&[])).await.copied()
    }

    /// Installs Millrace with Helm, or upgrades it, with these values (`name=value`) and no others.
    pub async fn install_with(&self, values: &[&str]) -> Result<()> {
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/millrace");
        let (repository, tag) = IMAGE.split_once(':').context("an image without tag")?;
        let mut helm = self.program("helm");
        helm.args(["upgrade", "--install", "millrace", chart, "--namespace", OPERATOR_NAMESPACE])
            .args(["--create-namespace", "--wait", "--timeout", "3m"])
            .args(["--set", &format!("image.repository={repository}")])
            .args(["--set-string", &format!("image.tag={tag}")]);
        for value in values {
            helm.args(["--set", value]);
        }
        output(helm, "").await.context("Millrace can't be installed").map(|_| ())
    }

    /// Takes Millrace away with Helm, as far as Helm does.
    pub async fn uninstall(&self) -> Result<()> {
        let mut helm = self.program("helm");
        helm.args(["uninstall", "millrace", "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "3m"]);
        output(helm, "").await.map(|_| ())
    }
}

/// A way to a Broker's API from this machine, with its first access key.
pub struct Endpoint {
    address: String,
    access_key: String,
    secret_key: String,
    /// The certificate of the authority that is trusted, where TLS is spoken.
    authority: Option<PathBuf>,
    /// What leads there, if it is not the nodes' port itself. It lasts as long as the pod that it leads to.
    _forward: Option<Forward>,
}

/// `kubectl port-forward`. It tells of each connection, and ends when nobody reads that.
type Forward = (Child, Lines<BufReader<ChildStdout>>);

impl Endpoint {
    /// The same over TLS, trusting the authority whose certificate lies in this file.
    pub fn over_tls(self, authority: &Path) -> Endpoint {
        let address = self.address.replacen("http://", "https://", 1);
        Endpoint { address, authority: Some(authority.to_owned()), ..self }
    }

    /// A program that finds this way in its environment.
    pub fn for_program(&self, program: impl Into<Program>) -> Program {
        let mut program = program.into();
        program
            .env("AWS_ENDPOINT_URL", &self.address)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", &self.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key);
        if let Some(authority) = &self.authority {
            program.env("AWS_CA_BUNDLE", authority);
        }
        program
    }
}

impl Namespace {
    /// A way to a Broker of this namespace, through one of its brokers.
    pub async fn endpoint(&self, broker: &str) -> Result<Endpoint> {
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
                return self.endpoint_at(broker, &format!("http://{address}"), Some((forward, lines))).await;
            }
        }
        bail!("kubectl port-forward ended: is a broker of {broker} ready?")
    }

    /// A way to a Broker whose Service has the nodes' port 30566, through whichever broker is ready.
    pub async fn endpoint_on_nodes(&self, broker: &str) -> Result<Endpoint> {
        self.endpoint_at(broker, &self.cluster.reach().await?, None).await
    }

    async fn endpoint_at(&self, broker: &str, address: &str, forward: Option<Forward>) -> Result<Endpoint> {
        let secret = self.api::<Secret>().get(&format!("{broker}-root-access-key")).await?;
        let part = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            value
                .and_then(|value| String::from_utf8(value.0.clone()).ok())
                .with_context(|| format!("no {key}"))
        };
        Ok(Endpoint {
            address: address.to_owned(),
            access_key: part("AWS_ACCESS_KEY_ID")?,
            secret_key: part("AWS_SECRET_ACCESS_KEY")?,
            authority: None,
            _forward: forward,
        })
    }

    /// A program of `clients/` that uses a Broker.
    pub fn program(&self, script: &str, endpoint: &Endpoint) -> Program {
        let mut python = self.cluster.python();
        python.arg(format!("{}/clients/{script}", env!("CARGO_MANIFEST_DIR")));
        endpoint.for_program(python)
    }

    /// Runs `clients/stream.py` against a Broker, and returns what it prints.
    pub async fn client(&self, endpoint: &Endpoint, arguments: &[&str]) -> Result<Value> {
        let mut python = self.program("stream.py", endpoint);
        python.args(arguments);
        Ok(serde_json::from_str(&output(python, "").await?)?)
    }
}
