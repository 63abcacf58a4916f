//! `millrace completion`: what makes shells, and kubectl, complete the commands.

mod candidates;

use std::io::Write;
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::{Shell, generate};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use millrace_crds::{Broker, Stream};

use crate::kubernetes::{Cluster, KubeArgs};
use candidates::{Candidates, Names};

/// How long the cluster may take to name its objects: somebody waits for the cursor.
const NAMES_WITHIN: Duration = Duration::from_secs(2);

/// What kubectl runs for `kubectl millrace <TAB>`: an executable of this name on the PATH.
const FOR_KUBECTL: &str = "\
#!/bin/sh
# kubectl runs this for `kubectl millrace <TAB>`: it goes onto the PATH as kubectl_complete-millrace.
exec kubectl-millrace __complete -- \"$@\"
";

/// Options of `millrace completion`.
#[derive(clap::Args, Debug)]
pub struct CompletionArgs {
    /// Whom to complete for. kubectl: the executable kubectl_complete-millrace, which completes names of Streams
    /// and Brokers too
    #[arg(value_enum)]
    asker: Asker,
}

/// Who completes.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Asker {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Kubectl,
}

impl Asker {
    fn shell(self) -> Option<Shell> {
        match self {
            Asker::Bash => Some(Shell::Bash),
            Asker::Zsh => Some(Shell::Zsh),
            Asker::Fish => Some(Shell::Fish),
            Asker::Powershell => Some(Shell::PowerShell),
            Asker::Kubectl => None,
        }
    }
}

/// Options of what kubectl asks.
#[derive(clap::Args, Debug)]
pub struct CompleteArgs {
    /// The words so far, the last one unfinished
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Prints the script.
pub fn run(args: CompletionArgs, command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    match args.asker.shell() {
        Some(shell) => generate(shell, &mut command.clone(), command.get_name(), &mut script),
        None => script.extend(FOR_KUBECTL.as_bytes()),
    }
    Ok(std::io::stdout().lock().write_all(&script)?)
}

/// Prints what may follow, in the form that kubectl reads: a candidate a line, a tab before what it means, and
/// a last line that says whether files are completed as well.
pub async fn answer(args: CompleteArgs, command: clap::Command) -> anyhow::Result<()> {
    let mut command = command;
    command.build();
    let found = candidates::of(&command, &args.words);
    let mut candidates = found.fixed.clone();
    if let Some(names) = found.names {
        candidates.extend(names_of(&found, names).await);
    }
    let mut out = std::io::stdout().lock();
    for (candidate, meaning) in candidates {
        writeln!(out, "{candidate}\t{meaning}")?;
    }
    // 4: no files. 0: the shell's own way.
    writeln!(out, ":{}", if found.files { 0 } else { 4 })?;
    Ok(())
}

/// Names on the cluster that begin so. Whatever fails completes nothing: nobody reads errors there.
async fn names_of(found: &Candidates, names: Names) -> Vec<(String, String)> {
    let listed = async {
        let cluster = KubeArgs::of(&found.flags).connect().await?;
        match names {
            Names::Streams => streams(&cluster, "").await,
            Names::Objects => {
                let mut both = streams(&cluster, "stream/").await?;
                both.extend(brokers(&cluster, "broker/").await?);
                anyhow::Ok(both)
            }
        }
    };
    let listed = tokio::time::timeout(NAMES_WITHIN, listed).await;
    let all = listed.ok().and_then(Result::ok).unwrap_or_default();
    all.into_iter().filter(|(name, _)| name.starts_with(&found.begun)).collect()
}

async fn streams(cluster: &Cluster, prefix: &str) -> anyhow::Result<Vec<(String, String)>> {
    let streams = Api::<Stream>::namespaced(cluster.api.clone(), &cluster.namespace);
    let streams = streams.list(&ListParams::default()).await?.items;
    Ok(streams.iter().map(|it| (format!("{prefix}{}", it.name_any()), "Stream".to_owned())).collect())
}

async fn brokers(cluster: &Cluster, prefix: &str) -> anyhow::Result<Vec<(String, String)>> {
    let brokers = Api::<Broker>::namespaced(cluster.api.clone(), &cluster.namespace);
    let brokers = brokers.list(&ListParams::default()).await?.items;
    Ok(brokers.iter().map(|it| (format!("{prefix}{}", it.name_any()), "Broker".to_owned())).collect())
}
