//! What may follow the words of a command line. Pure.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command, ValueHint};

/// What may follow.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Candidates {
    /// How the word begins.
    pub(super) begun: String,
    /// Words that are known beforehand, each with what it means.
    pub(super) fixed: Vec<(String, String)>,
    /// Names that only the cluster knows.
    pub(super) names: Option<Names>,
    /// Whether a file may follow.
    pub(super) files: bool,
    /// The flags so far that have values, by their long names.
    pub(super) flags: BTreeMap<String, String>,
}

/// Names that only the cluster knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Streams.
    Streams,
    /// Streams and Brokers, each with its kind.
    Objects,
}

/// What may follow `words`, of which the last is unfinished.
pub(super) fn of(root: &Command, words: &[String]) -> Candidates {
    let (begun, before) = match words.split_last() {
        Some((begun, before)) => (begun.clone(), before),
        None => (String::new(), words),
    };
    let mut found = Candidates { begun, ..Candidates::default() };
    let (mut command, mut position, mut awaits) = (root, 0, None);
    for word in before {
        if let Some(flag) = awaits.take() {
            found.flags.insert(flag, word.clone());
        } else if let Some((flag, value)) = word.strip_prefix("--").and_then(|flag| flag.split_once('=')) {
            found.flags.insert(flag.to_owned(), value.to_owned());
        } else if word.starts_with('-') {
            awaits = flag(command, word).filter(|arg| takes_value(arg)).and_then(long);
        } else if let Some(inner) = command.find_subcommand(word) {
            (command, position) = (inner, 0);
        } else {
            position += 1;
        }
    }
    let begun = found.begun.clone();
    let mut offer = |word: String, meaning: String| {
        if word.starts_with(&begun) {
            found.fixed.push((word, meaning));
        }
    };
    if let Some(name) = awaits {
        let arg = command.get_arguments().find(|arg| long(arg).as_ref() == Some(&name));
        values(arg, &mut offer);
        found.files = arg.is_some_and(is_file);
        return found;
    }
    if begun.starts_with('-') {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            if let Some(long) = long(arg) {
                offer(format!("--{long}"), first_line(arg.get_help()));
            }
        }
        return found;
    }
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        offer(inner.get_name().to_owned(), first_line(inner.get_about()));
    }
    let arg = command.get_positionals().nth(position);
    values(arg, &mut offer);
    found.names = match arg.map(|arg| arg.get_id().as_str()) {
        Some("stream") => Some(Names::Streams),
        Some("object") => Some(Names::Objects),
        _ => None,
    };
    found
}

fn flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| {
        let long = word.strip_prefix("--").is_some_and(|name| long(arg).as_deref() == Some(name));
        let short = arg.get_short().is_some_and(|short| word.len() == 2 && word.ends_with(short));
        long || short
    })
}

fn long(arg: &Arg) -> Option<String> {
    arg.get_long().map(str::to_owned)
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn is_file(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::FilePath | ValueHint::AnyPath)
}

fn values(arg: Option<&Arg>, offer: &mut impl FnMut(String, String)) {
    for value in arg.into_iter().flat_map(Arg::get_possible_values) {
        offer(value.get_name().to_owned(), first_line(value.get_help()));
    }
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory;

    fn candidates(words: &[&str]) -> Candidates {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut command = Cli::command();
        command.build();
        of(&command, &words)
    }

    fn fixed(words: &[&str]) -> Vec<String> {
        candidates(words).fixed.into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn commands_are_completed_but_for_those_that_are_hidden() {
        assert_eq!(fixed(&["s"]), ["shards", "split", "status", "simulate"]);
        assert!(fixed(&[""]).contains(&"tail".to_owned()));
        assert!(fixed(&["__"]).is_empty());
    }

    #[test]
    fn flags_are_completed_with_what_they_mean() {
        assert_eq!(fixed(&["tail", "orders", "--unt"]), ["--until-idle"]);
        let found = candidates(&["tail", "--kubec"]);
        assert!(found.fixed[0].1.starts_with("Work on Kubernetes, by this kubeconfig"), "{found:?}");
    }

    #[test]
    fn names_come_from_the_cluster_that_the_flags_before_them_mean() {
        let found = candidates(&["tail", "-n", "demo", "--context=work", "or"]);
        assert_eq!((found.names, found.begun.as_str()), (Some(Names::Streams), "or"));
        let flags: Vec<(&str, &str)> = found.flags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(flags, [("context", "work"), ("namespace", "demo")]);
        assert_eq!(candidates(&["status", ""]).names, Some(Names::Objects));
        assert_eq!(candidates(&["tail", "orders", ""]).names, None, "there is one stream only");
    }

    #[test]
    fn a_flags_value_is_not_taken_for_a_name() {
        let found = candidates(&["tail", "--from", ""]);
        assert_eq!((found.names, found.files), (None, false));
        assert!(candidates(&["status", "--kubeconfig", ""]).files);
        assert_eq!(fixed(&["completion", "z"]), ["zsh"]);
    }
}
