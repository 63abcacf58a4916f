//! The fields of a resource, as its schema has them.

use millrace_crds::definition;
use serde_json::{Value, json};

use super::values::{key_of, sample};

/// One step from `spec` down to a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Into a field of an object.
    Name(String),
    /// Into the only item of a list.
    Item,
    /// Into the only value of a map.
    Entry,
}

/// A field of a resource's `spec`, however deep.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) path: Vec<Step>,
    pub(crate) schema: &'static Value,
    /// Whether what it is in can't be without it.
    pub(crate) required: bool,
}

/// Every field below `spec`, what it is in before what is in it.
pub(crate) fn fields(kind: &str) -> Vec<Field> {
    let mut found = Vec::new();
    collect(spec(kind), &mut Vec::new(), &mut found);
    found
}

fn spec(kind: &str) -> &'static Value {
    &definition::schema(kind).expect("a kind of ours")["properties"]["spec"]
}

fn collect(schema: &'static Value, path: &mut Vec<Step>, found: &mut Vec<Field>) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let named = schema["properties"].as_object().into_iter().flatten();
    let named =
        named.map(|(name, below)| (Step::Name(name.clone()), below, required.contains(&name.as_str())));
    let item = schema.get("items").map(|below| (Step::Item, below, false));
    let entry = schema.get("additionalProperties").map(|below| (Step::Entry, below, false));
    for (step, below, required) in named.chain(item).chain(entry) {
        path.push(step);
        found.push(Field { path: path.clone(), schema: below, required });
        collect(below, path, found);
        path.pop();
    }
}

impl Field {
    /// The path as the API server writes it.
    pub(crate) fn text(&self) -> String {
        let mut text = "spec".to_owned();
        for (index, step) in self.path.iter().enumerate() {
            match step {
                Step::Name(name) => text.push_str(&format!(".{name}")),
                Step::Item => text.push_str("[0]"),
                Step::Entry => text.push_str(&format!(".{}", key_of(name_of(&self.path[..index])))),
            }
        }
        text
    }

    /// Its name, or that of the list or map it is in.
    pub(crate) fn name(&self) -> &str {
        name_of(&self.path)
    }

    /// Whether it lies in a field of this name.
    pub(crate) fn is_within(&self, name: &str) -> bool {
        self.path.iter().any(|step| *step == Step::Name(name.to_owned()))
    }

    /// `spec` with this value in the field, and around it what the field has to be in.
    pub(crate) fn put(&self, kind: &str, base: &Value, value: Value) -> Value {
        let mut changed = base.clone();
        put(&mut changed, spec(kind), "", &self.path, value);
        changed
    }

    /// `spec` without the field.
    pub(crate) fn remove(&self, base: &Value) -> Value {
        let mut changed = base.clone();
        let (last, above) = self.path.split_last().expect("a field has a path");
        let mut place = &mut changed;
        for step in above {
            place = match step {
                Step::Name(name) => &mut place[name.as_str()],
                Step::Item => &mut place[0],
                Step::Entry => {
                    place.as_object_mut().and_then(|map| map.values_mut().next()).expect("an entry")
                }
            };
        }
        match (last, place) {
            (Step::Name(name), Value::Object(fields)) => drop(fields.remove(name)),
            (Step::Item | Step::Entry, place) => {
                *place = if place.is_array() { json!([]) } else { json!({}) }
            }
            _ => {}
        }
        changed
    }
}

fn name_of(path: &[Step]) -> &str {
    let names = path.iter().rev().filter_map(|step| match step {
        Step::Name(name) => Some(name.as_str()),
        _ => None,
    });
    names.into_iter().next().unwrap_or_default()
}

fn put(place: &mut Value, schema: &Value, name: &str, path: &[Step], value: Value) {
    let Some((step, rest)) = path.split_first() else {
        *place = value;
        return;
    };
    let (place, below, name) = match step {
        Step::Name(name) => (&mut place[name.as_str()], &schema["properties"][name], name.as_str()),
        Step::Item => {
            if place.as_array().is_none_or(Vec::is_empty) {
                *place = json!([null]);
            }
            (&mut place[0], &schema["items"], name)
        }
        Step::Entry => (&mut place[key_of(name)], &schema["additionalProperties"], name),
    };
    if place.is_null() {
        *place = sample(name, below);
    }
    put(place, below, name, rest, value);
}
