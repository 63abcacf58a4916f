//! From texts to resources: pure.

use std::collections::BTreeMap;
use std::fmt;

use millrace_core::StreamConfig;
use millrace_crds::admission::{self, Violation, nearest};
use millrace_crds::{API_VERSION, Broker, GROUP, Stream, retention};
use serde::Deserialize;
use serde_json::Value;

use super::locate::locate;
use super::source::Source;

/// The kinds that resource files may hold.
const KINDS: [&str; 2] = ["Broker", "Stream"];

/// A stream that a file declares.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredStream {
    /// The name that clients use.
    pub name: String,
    /// What is asked of it.
    pub config: StreamConfig,
    /// Where it is declared, such as `orders.yaml:3`.
    pub at: String,
}

/// What files declare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// The streams, in the order of files and documents.
    pub streams: Vec<DeclaredStream>,
    /// The Brokers. They describe a cluster: here they are checked, and otherwise stand for the one process.
    pub brokers: Vec<Broker>,
    /// What is good here and would not be in a cluster.
    pub warnings: Vec<Problem>,
}

/// Something in a file that can't be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, and line and column where they are known: `orders.yaml:12:5`.
    pub at: String,
    /// The field, where it is one.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { at, path, message } = self;
        if path.is_empty() { write!(f, "{at}: {message}") } else { write!(f, "{at}: {path}: {message}") }
    }
}

/// Reads resource files as the API server would take them: defaults filled in, unknown fields refused, every
/// rule applied but the one on short retention, which is a warning here.
///
/// # Errors
/// Every problem that was found, in the order of files and documents.
pub fn parse(sources: &[Source]) -> Result<Resources, Vec<Problem>> {
    let mut resources = Resources::default();
    let mut problems = Vec::new();
    for source in sources {
        let mut any = false;
        for (document, value) in documents(source) {
            match value {
                Ok(Value::Null) => continue,
                Ok(value) => Reader { source, document }.take(value, &mut resources, &mut problems),
                Err(problem) => problems.push(problem),
            }
            any = true;
        }
        if !any {
            let message = "holds no resource: write a Stream into it, or remove it".to_owned();
            problems.push(Problem { at: source.name.clone(), path: String::new(), message });
        }
    }
    refuse_duplicates(&resources.streams, &mut problems);
    if problems.is_empty() { Ok(resources) } else { Err(problems) }
}

/// The documents of a file, as far as they can be read. The only place that reads YAML.
fn documents(source: &Source) -> Vec<(usize, Result<Value, Problem>)> {
    let mut documents = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(&source.text).enumerate() {
        let value = serde_yaml::Value::deserialize(document).map_err(|error| not_yaml(source, &error));
        let value = value.and_then(|value| {
            serde_json::to_value(value).map_err(|error| Problem {
                at: source.name.clone(),
                path: String::new(),
                message: format!("is no resource: {error}"),
            })
        });
        let broken = value.is_err();
        documents.push((index, value));
        // The parser does not get beyond a syntax error: it would give the same one for ever.
        if broken {
            break;
        }
    }
    documents
}

/// A syntax error for people, at its place.
fn not_yaml(source: &Source, error: &serde_yaml::Error) -> Problem {
    let lines: Vec<&str> = source.text.lines().collect();
    let indented_with_tab = |line: &str| line[..line.len() - line.trim_start().len()].contains('\t');
    let place = error.location().map(|place| (place.line(), place.column()));
    let upto = place.map_or(lines.len(), |(line, _)| line.min(lines.len()));
    if let Some(index) = lines[..upto].iter().rposition(|line| indented_with_tab(line)) {
        let column = lines[index].find('\t').unwrap_or_default() + 1;
        let message = "is indented with a tab: YAML takes spaces only".to_owned();
        return Problem {
            at: format!("{}:{}:{column}", source.name, index + 1),
            path: String::new(),
            message,
        };
    }
    let at = place.map_or(source.name.clone(), |(line, column)| format!("{}:{line}:{column}", source.name));
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or(&said);
    Problem { at, path: String::new(), message: format!("is not good YAML: {said}") }
}

/// Takes one document.
struct Reader<'a> {
    source: &'a Source,
    document: usize,
}

impl Reader<'_> {
    fn take(&self, value: Value, resources: &mut Resources, problems: &mut Vec<Problem>) {
        let wrong = self.envelope(&value);
        if !wrong.is_empty() {
            return problems.extend(wrong);
        }
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        let (stored, broken) = match admission::check(&kind, value, None) {
            Ok(checked) => checked,
            Err(violations) => return problems.extend(violations.into_iter().map(|v| self.violation(v))),
        };
        let (short, broken): (Vec<_>, Vec<_>) = broken.into_iter().partition(|violation| {
            violation.rule.as_deref() == Some(retention::RANGE_RULE) && is_short(&stored["spec"]["retention"])
        });
        if !broken.is_empty() {
            return problems.extend(broken.into_iter().map(|violation| self.violation(violation)));
        }
        resources.warnings.extend(short.into_iter().map(|violation| {
            let written = stored["spec"]["retention"].as_str().unwrap_or_default();
            self.problem(
                &violation.path,
                format!("{written} is good here only; for a cluster, {}", violation.message),
            )
        }));
        let taken = match kind.as_str() {
            "Broker" => serde_json::from_value(stored)
                .map(|broker| resources.brokers.push(broker))
                .map_err(|error| self.problem("spec", error.to_string())),
            _ => self.stream(stored).map(|stream| resources.streams.push(stream)),
        };
        problems.extend(taken.err());
    }

    fn stream(&self, stored: Value) -> Result<DeclaredStream, Problem> {
        let stream: Stream =
            serde_json::from_value(stored).map_err(|error| self.problem("spec", error.to_string()))?;
        let config = stream.spec.config().map_err(|error| {
            let said = error.to_string();
            let (path, message) = said.split_once(": ").unwrap_or(("spec", &said));
            self.problem(path, message.to_owned())
        })?;
        Ok(DeclaredStream { name: stream.stream_name().to_owned(), config, at: self.at("metadata.name").0 })
    }

    /// What is wrong around the spec: version, kind, metadata, fields at the top.
    fn envelope(&self, value: &Value) -> Vec<Problem> {
        let Some(fields) = value.as_object() else {
            return vec![self.problem("", "is no resource: it begins with apiVersion and kind".to_owned())];
        };
        let version = value["apiVersion"].as_str();
        let kind = value["kind"].as_str();
        if version != Some(API_VERSION) {
            let message = match version {
                None => format!("apiVersion is missing: write `apiVersion: {API_VERSION}`"),
                Some(other) if other.starts_with(GROUP) => {
                    format!("{other} is not served: write {API_VERSION}")
                }
                Some(other) => format!(
                    "{other} belongs to Kubernetes or another project: here are taken resources of {API_VERSION} \
                     alone, so keep the others in files of their own"
                ),
            };
            return vec![self.problem("apiVersion", message)];
        }
        match kind {
            Some(kind) if KINDS.contains(&kind) => {}
            Some(kind) => {
                let meant = nearest(kind, KINDS).map(|meant| format!("did you mean {meant}?"));
                let remedy = meant.unwrap_or_else(|| format!("there are {}", KINDS.join(" and ")));
                return vec![
                    self.problem("kind", format!("{kind} is no kind that is served here: {remedy}")),
                ];
            }
            None => {
                return vec![self.problem("kind", format!("kind is missing: write {}", KINDS.join(" or ")))];
            }
        }
        let mut problems = Vec::new();
        const TOP: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        for name in fields.keys().filter(|name| !TOP.contains(&name.as_str())) {
            let remedy = match nearest(name, TOP) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "did you mean it as a part of spec?".to_owned(),
            };
            problems.push(self.problem(name, format!("is no known field: {remedy}")));
        }
        problems.extend(self.metadata(&value["metadata"]));
        if value.pointer("/spec/brokerRef/namespace").is_some() {
            let message =
                "a Stream's Broker lies in the Stream's own namespace: name it without one".to_owned();
            problems.push(self.problem("spec.brokerRef.namespace", message));
        }
        problems
    }

    fn metadata(&self, metadata: &Value) -> Option<Problem> {
        match metadata["name"].as_str() {
            Some(name) if is_object_name(name) => None,
            Some(name) => Some(self.problem(
                "metadata.name",
                format!(
                    "{name:?} is no object's name: write lower-case letters, digits, '-' and '.', with a letter \
                     or digit at both ends; another name for clients goes into spec.streamName"
                ),
            )),
            None if metadata.get("generateName").is_some() => Some(self.problem(
                "metadata.generateName",
                "names are not made up here, since files are applied again and again: write metadata.name"
                    .to_owned(),
            )),
            None => Some(self.problem("metadata.name", "is missing: write a name as a text".to_owned())),
        }
    }

    fn violation(&self, violation: Violation) -> Problem {
        self.problem(&violation.path, violation.message)
    }

    fn problem(&self, path: &str, message: String) -> Problem {
        Problem { at: self.at(path).1, path: path.to_owned(), message }
    }

    /// The place of a field as `file:line` and as `file:line:column`.
    fn at(&self, path: &str) -> (String, String) {
        let name = &self.source.name;
        let text = &self.source.text;
        // What is not there at all is told at the document's first line that says something.
        let place = locate(text, self.document, path).or_else(|| locate(text, self.document, "apiVersion"));
        match place.or_else(|| locate(text, self.document, "kind")) {
            Some((line, column)) => (format!("{name}:{line}"), format!("{name}:{line}:{column}")),
            None => (name.clone(), name.clone()),
        }
    }
}

/// The shortest retention that is taken at all, in seconds. Brokers rely on records outliving every doubt about
/// an append, and every leader of the log that does not know that it was deposed: see docs/protocol.md.
const LEAST_RETENTION_S: u64 = 60;

/// Whether a retention is below a cluster's least, and one that can be had here.
fn is_short(retention: &Value) -> bool {
    let retention = millrace_crds::Retention::new(retention.as_str().unwrap_or_default());
    retention.seconds().is_ok_and(|seconds| (LEAST_RETENTION_S..24 * 3_600).contains(&seconds))
}

/// RFC 1123's subdomain, as the API server asks of names.
fn is_object_name(name: &str) -> bool {
    let label = |part: &str| {
        let inner = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Two streams of one name: this process has one namespace, whatever the files say.
fn refuse_duplicates(streams: &[DeclaredStream], problems: &mut Vec<Problem>) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for stream in streams {
        match first.get(stream.name.as_str()) {
            None => _ = first.insert(&stream.name, &stream.at),
            Some(at) => problems.push(Problem {
                at: stream.at.clone(),
                path: "metadata.name".to_owned(),
                message: format!(
                    "a stream named {} is declared at {at} already, and here all share one namespace: give one \
                     of them another name",
                    stream.name
                ),
            }),
        }
    }
}
