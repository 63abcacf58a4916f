//! Work on a cluster: what the user's kubeconfig says, the objects there, and the way to a broker's pod.

mod find;
mod forward;
mod pods;
#[cfg(test)]
pub mod recorded;
mod refusal;
mod target;

pub use find::{find, named, no_stream};
pub use forward::{Forward, refused_for_good};
pub use pods::is_ready;
pub use refusal::{Asked, Seen, explain, is_absent, seen};
pub use target::{Target, stream_name};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// What the executable is called as a plugin of kubectl.
pub const PLUGIN: &str = "kubectl-millrace";

/// Where on Kubernetes to work.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct KubeArgs {
    /// Work on Kubernetes, in this namespace [default: the one of the kubeconfig's context]
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Work on Kubernetes, on the cluster of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Work on Kubernetes, by this kubeconfig [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
}

/// A cluster's API, and the namespace to work in.
#[derive(Clone)]
pub struct Cluster {
    /// The API, with the user's own rights.
    pub api: Client,
    /// The namespace that was asked for, or the context's.
    pub namespace: String,
}

impl KubeArgs {
    /// Whether any of these was given.
    pub fn any(&self) -> bool {
        self.namespace.is_some() || self.context.is_some() || self.kubeconfig.is_some()
    }

    /// The arguments of a command line that is still being typed, by their long names.
    pub fn of(flags: &BTreeMap<String, String>) -> KubeArgs {
        let value = |name: &str| flags.get(name).cloned();
        KubeArgs {
            namespace: value("namespace"),
            context: value("context"),
            kubeconfig: value("kubeconfig").map(PathBuf::from),
        }
    }

    /// Reads the kubeconfig as kubectl does. Without one, what the cluster gives to its pods.
    ///
    /// # Errors
    /// When there is neither, or the kubeconfig lacks what was asked for.
    pub async fn connect(&self) -> anyhow::Result<Cluster> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.clone();
        let api = Client::try_from(config).with_context(|| format!("can't make a client for {server}"))?;
        Ok(Cluster { api, namespace })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let named = match kubeconfig {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
            Err(error) => Err(error),
        };
        match named {
            Ok(config) => Ok(config),
            Err(error) if self.kubeconfig.is_none() && self.context.is_none() && has_none(&error) => {
                Config::incluster().ok().with_context(|| no_kubeconfig(&error))
            }
            Err(error) => Err(anyhow::anyhow!(no_kubeconfig(&error))),
        }
    }
}

fn has_none(error: &KubeconfigError) -> bool {
    matches!(error, KubeconfigError::FindPath | KubeconfigError::CurrentContextNotSet)
        || matches!(error, KubeconfigError::ReadConfig(cause, _) if cause.kind() == std::io::ErrorKind::NotFound)
}

fn no_kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::FindPath => {
            "there is no kubeconfig: name one with --kubeconfig or $KUBECONFIG".to_owned()
        }
        KubeconfigError::ReadConfig(cause, path) => format!(
            "can't read the kubeconfig {}: {cause}; name another with --kubeconfig or $KUBECONFIG",
            path.display()
        ),
        KubeconfigError::CurrentContextNotSet => {
            "the kubeconfig has no current context: name one with --context, \
             or choose one with `kubectl config use-context NAME`"
                .to_owned()
        }
        KubeconfigError::LoadContext(name) => {
            format!("the kubeconfig has no context {name}: `kubectl config get-contexts` lists those it has")
        }
        other => format!("the kubeconfig can't be used: {other}"),
    }
}

/// Whether this process was started as `kubectl millrace`.
pub fn is_plugin() -> bool {
    std::env::args_os().next().is_some_and(|name| is_plugin_name(Path::new(&name)))
}

fn is_plugin_name(executable: &Path) -> bool {
    executable.file_stem().is_some_and(|stem| stem == PLUGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_known_by_its_name_wherever_it_lies() {
        assert!(is_plugin_name(Path::new("/usr/local/bin/kubectl-millrace")));
        assert!(is_plugin_name(Path::new("kubectl-millrace.exe")));
        assert!(!is_plugin_name(Path::new("/opt/kubectl-millrace/millrace")));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named_with_what_to_do() {
        let args = KubeArgs { kubeconfig: Some("/nowhere/config".into()), ..KubeArgs::default() };
        let said = args.connect().await.err().expect("there is none").to_string();
        assert!(said.starts_with("can't read the kubeconfig /nowhere/config: "), "{said}");
        assert!(said.ends_with("name another with --kubeconfig or $KUBECONFIG"), "{said}");
    }

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: work
contexts:
- {name: work, context: {cluster: here, user: me, namespace: demo}}
- {name: bare, context: {cluster: here, user: me}}
clusters:
- {name: here, cluster: {server: 'http://127.0.0.1:1'}}
users:
- {name: me, user: {}}
";

    #[tokio::test]
    async fn the_namespace_is_the_contexts_unless_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config");
        std::fs::write(&file, KUBECONFIG).unwrap();
        let namespace = async |namespace: Option<&str>, context: Option<&str>| {
            let args = KubeArgs {
                namespace: namespace.map(str::to_owned),
                context: context.map(str::to_owned),
                kubeconfig: Some(file.clone()),
            };
            args.connect().await.map(|cluster| cluster.namespace)
        };
        assert_eq!(namespace(None, None).await.unwrap(), "demo");
        assert_eq!(namespace(None, Some("bare")).await.unwrap(), "default");
        assert_eq!(namespace(Some("other"), None).await.unwrap(), "other");
        let said = namespace(None, Some("wrok")).await.unwrap_err().to_string();
        assert!(said.starts_with("the kubeconfig has no context wrok: "), "{said}");
    }
}
