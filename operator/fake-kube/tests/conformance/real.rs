//! A real etcd and kube-apiserver on loopback, as child processes of the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::runtime::{conditions, wait};
use kube::{Client, Config, ResourceExt};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const TOKEN: &str = "conformance";

/// The running server; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) client: Client,
    _children: [Child; 2],
    _directory: TempDir,
}

/// Where the binaries are.
fn binaries() -> Result<PathBuf> {
    let complete =
        |directory: &Path| ["etcd", "kube-apiserver"].iter().all(|name| directory.join(name).exists());
    if let Some(directory) = std::env::var_os("MILLRACE_KIND_BIN").map(PathBuf::from) {
        if complete(&directory) {
            return Ok(directory);
        }
        bail!(
            "MILLRACE_KIND_BIN={} lacks etcd or kube-apiserver: run `make kind-tools`",
            directory.display()
        );
    }
    let cache = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache/millrace");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("kind-"))
        .map(|entry| entry.path().join("bin"))
        .filter(|directory| complete(directory))
        .collect();
    found.sort();
    found.pop().with_context(|| {
        format!("no etcd and kube-apiserver in {}/kind-*/bin: run `make kind-tools`", cache.display())
    })
}

fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Starts both, waits until they answer and installs the definitions.
pub(crate) async fn start() -> Result<Server> {
    let binaries = binaries()?;
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let [etcd, peer, secure] = free_ports()?;
    let key = rcgen::KeyPair::generate()?;
    std::fs::write(at("key.pem"), key.serialize_pem())?;
    std::fs::write(at("key.pub"), key.public_key_pem())?;
    std::fs::write(at("tokens.csv"), format!("{TOKEN},conformance,conformance,system:masters\n"))?;
    let spawn = |name: &str, flags: Vec<String>| -> Result<Child> {
        let log = std::fs::File::create(at(&format!("{name}.log")))?;
        Command::new(binaries.join(name))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))
    };
    let etcd_url = format!("http://127.0.0.1:{etcd}");
    let peer_url = format!("http://127.0.0.1:{peer}");
    let store = spawn(
        "etcd",
        vec![
            format!("--data-dir={}", at("etcd").display()),
            format!("--listen-client-urls={etcd_url}"),
            format!("--advertise-client-urls={etcd_url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster=default={peer_url}"),
            "--unsafe-no-fsync".to_owned(),
        ],
    )?;
    let server = spawn(
        "kube-apiserver",
        vec![
            format!("--etcd-servers={etcd_url}"),
            format!("--cert-dir={}", at("certs").display()),
            format!("--secure-port={secure}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--token-auth-file={}", at("tokens.csv").display()),
            format!("--service-account-key-file={}", at("key.pub").display()),
            format!("--service-account-signing-key-file={}", at("key.pem").display()),
            "--service-account-issuer=https://conformance.invalid".to_owned(),
            "--authorization-mode=AlwaysAllow".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        ],
    )?;
    let mut config = Config::new(format!("https://127.0.0.1:{secure}").parse()?);
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(TOKEN.to_owned().into());
    let client = Client::try_from(config)?;
    let mut children = [store, server];
    answer(&client, &mut children, directory.path()).await?;
    install(&client).await?;
    Ok(Server { client, _children: children, _directory: directory })
}

/// Waits for `/readyz`. A process that ended says why in its log.
async fn answer(client: &Client, children: &mut [Child; 2], directory: &Path) -> Result<()> {
    let mut pause = tokio::time::interval(Duration::from_millis(200));
    let ready = async {
        loop {
            pause.tick().await;
            for (child, name) in children.iter_mut().zip(["etcd", "kube-apiserver"]) {
                if let Some(status) = child.try_wait()? {
                    let log =
                        std::fs::read_to_string(directory.join(format!("{name}.log"))).unwrap_or_default();
                    let lines: Vec<&str> = log.lines().collect();
                    bail!(
                        "{name} ended with {status}:\n{}",
                        lines[lines.len().saturating_sub(20)..].join("\n")
                    );
                }
            }
            let request = http::Request::get("/readyz").body(Vec::new())?;
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
        }
    };
    let limit = Duration::from_secs(180);
    tokio::time::timeout(limit, ready).await.context("kube-apiserver was not ready within 180 s")?
}

async fn install(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in millrace_crds::definitions() {
        api.create(&PostParams::default(), &definition).await?;
        let name = definition.name_any();
        wait::await_condition(api.clone(), &name, conditions::is_crd_established()).await?;
    }
    Ok(())
}
