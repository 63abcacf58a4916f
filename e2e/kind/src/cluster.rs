//! The cluster that tests share.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::OnceCell;

use crate::{Program, output};

/// The image of Millrace that every node has; `make image` builds it.
pub const IMAGE: &str = "millrace:dev";

/// An image with a shell, `nc` and `wget` that every node has.
pub const SHELL_IMAGE: &str = "millrace.local/shell:1";

/// A kind cluster with three nodes. Tests use one together, and it is kept for the next run: `millrace-e2e`, or what
/// `MILLRACE_E2E_CLUSTER` names.
#[derive(Clone)]
pub struct Cluster {
    name: String,
    kubeconfig: PathBuf,
    client: Client,
}

impl Cluster {
    /// Finds the cluster, or makes it, and sees to it that its nodes have the present image.
    pub async fn get() -> Result<Cluster> {
        // A client lives as long as the runtime it was made in, and each test has one of its own: only the path is kept.
        // One that can't be made is not tried again for each test.
        static KUBECONFIG: OnceCell<std::result::Result<PathBuf, String>> = OnceCell::const_new();
        let name = std::env::var("MILLRACE_E2E_CLUSTER").unwrap_or_else(|_| "millrace-e2e".into());
        let prepared = || async { prepare(&name).await.map_err(|error| format!("{error:#}")) };
        let kubeconfig = KUBECONFIG.get_or_init(prepared).await.clone().map_err(Error::msg)?;
        let config = Kubeconfig::read_from(&kubeconfig)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Cluster { name, kubeconfig, client: Client::try_from(config)? })
    }

    /// A client with every right.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig: never the user's own.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `kubectl`, `helm` or another program with the cluster's tools in its `PATH`, and `KUBECONFIG`.
    pub fn program(&self, name: &str) -> Program {
        let mut program = script(&self.name);
        program.args(["run", name]);
        program
    }

    /// Python with boto3.
    pub fn python(&self) -> Program {
        let python = std::env::var_os("MILLRACE_PYTHON").unwrap_or_else(|| {
            let cache = std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
            cache.unwrap_or_default().join("millrace/tools/python/bin/python").into()
        });
        let mut program = Program::new(python);
        program.env("KUBECONFIG", &self.kubeconfig);
        program
    }

    /// A program inside a node: `docker exec`.
    pub fn on_node(&self, node: &str) -> Program {
        let mut program = Program::new("docker");
        program.args(["exec", node]);
        program
    }

    /// Where port 30566 of the nodes is reached from this machine.
    pub async fn reach(&self) -> Result<String> {
        let mut program = script(&self.name);
        program.arg("reach");
        Ok(output(program, "").await?.trim().to_owned())
    }
}

/// The script that makes clusters.
fn script(name: &str) -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/cluster");
    let mut program = Program::new(path);
    // Any free port, so that the cluster of `make up` can stand beside this one.
    program.args(["--name", name, "--nodes", "3", "--port", "0"]);
    program
}

async fn prepare(name: &str) -> Result<PathBuf> {
    let mut up = script(name);
    up.arg("up");
    let path = output(up, "").await.context("there is no cluster to test on")?;
    let mut load = script(name);
    load.args(["load", IMAGE]);
    output(load, "").await.with_context(|| format!("the nodes don't have {IMAGE}: make image builds it"))?;
    Ok(PathBuf::from(path.trim()))
}
