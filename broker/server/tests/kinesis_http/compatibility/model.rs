//! The service model that client libraries are made from, as boto3 has it.

use std::process::Command;

use serde_json::Value;

/// What is written of it, by the interpreter that has boto3.
const PRINT: &str = "import json; from botocore.loaders import Loader; \
                     print(json.dumps(Loader().load_service_model('kinesis', 'service-2')))";

pub(super) struct Operation {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) errors: Vec<String>,
}

/// A member of an operation's input, or of one of its members.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// Where it stands in an input: `/Records/0/Data`.
    pub(super) pointer: String,
    /// What errors call it: `records.1.member.data`.
    pub(super) at: String,
    /// What people call it: `Records[].Data`.
    pub(super) shown: String,
    pub(super) required: bool,
    /// Its shape, and those of what it holds, if it is a list or a map of texts.
    pub(super) shape: Value,
    pub(super) element: Option<Value>,
    pub(super) key: Option<Value>,
}

impl Parameter {
    pub(super) fn name(&self) -> &str {
        self.pointer.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it stands in the input itself.
    pub(super) fn is_outermost(&self) -> bool {
        self.pointer.matches('/').count() == 1
    }
}

/// All operations of the model, by name.
pub(super) fn operations() -> Vec<Operation> {
    let python = std::env::var("MILLRACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let output =
        Command::new(&python).args(["-c", PRINT]).output().expect("`make python` makes one with boto3");
    assert!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
    let model: Value = serde_json::from_slice(&output.stdout).expect("the model is JSON");
    let operations = model["operations"].as_object().expect("operations");
    let mut all: Vec<Operation> =
        operations.iter().map(|(name, found)| operation(&model, name, found)).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn operation(model: &Value, name: &str, found: &Value) -> Operation {
    let mut parameters = Vec::new();
    if let Some(input) = found["input"]["shape"].as_str() {
        collect(model, &model["shapes"][input], ["", "", ""], &mut parameters);
    }
    let errors = found["errors"].as_array().into_iter().flatten();
    let mut errors: Vec<String> = errors.map(|error| text(&error["shape"])).collect();
    errors.sort();
    Operation { name: name.to_owned(), parameters, errors }
}

/// Gathers a structure's members with all that they hold.
fn collect(model: &Value, structure: &Value, [pointer, at, shown]: [&str; 3], found: &mut Vec<Parameter>) {
    let required: Vec<String> = structure["required"].as_array().into_iter().flatten().map(text).collect();
    for (name, member) in structure["members"].as_object().into_iter().flatten() {
        let shape = &model["shapes"][text(&member["shape"])];
        let held = |part: &str| shape[part]["shape"].as_str().map(|held| model["shapes"][held].clone());
        let element = held("member").or_else(|| held("value"));
        let [first, rest] = [name[..1].to_lowercase(), name[1..].to_owned()];
        let parameter = Parameter {
            pointer: format!("{pointer}/{name}"),
            at: format!("{at}{first}{rest}"),
            shown: format!("{shown}{name}"),
            required: required.contains(name),
            shape: shape.clone(),
            element: element.clone(),
            key: held("key"),
        };
        let Parameter { pointer, at, shown, .. } = parameter.clone();
        found.push(parameter);
        match element.filter(|element| element["type"] == "structure") {
            Some(element) => {
                let inner = [format!("{pointer}/0"), format!("{at}.1.member."), format!("{shown}[].")];
                collect(model, &element, inner.each_ref().map(String::as_str), found);
            }
            None if shape["type"] == "structure" => {
                let inner = [pointer, format!("{at}."), format!("{shown}.")];
                collect(model, shape, inner.each_ref().map(String::as_str), found);
            }
            None => {}
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
