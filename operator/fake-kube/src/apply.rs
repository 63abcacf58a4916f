//! Server-side apply: what an applied configuration makes of the stored object.

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::fields;
use crate::kinds::Kind;
use crate::managers::{self, Owner};

/// Who applies, and how.
pub(crate) struct Applier<'a> {
    pub(crate) manager: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) force: bool,
    pub(crate) time: &'a str,
}

/// The object after `applied`: its fields set, fields that this manager applied before and nobody else owns
/// taken away.
///
/// # Errors
/// A conflict when others own fields that would change, unless forced.
pub(crate) fn apply(
    kind: &Kind,
    live: Option<&Value>,
    applied: &Value,
    by: &Applier<'_>,
) -> Result<Value, Failure> {
    let mut config = managers::ownable(applied);
    if kind.status
        && let Some(fields) = config.as_object_mut()
    {
        // Each endpoint resets what belongs to the other one.
        if by.subresource == "status" {
            fields.retain(|name, _| name == "status");
        } else {
            fields.remove("status");
        }
    }
    let wanted =
        if config == json!({}) { fields::Fields::new() } else { fields::leaves(&config, kind.custom) };
    let mut owners = live.map(managers::read).unwrap_or_default();
    let mut merged = live.cloned().unwrap_or_else(|| json!({ "metadata": {} }));
    let mut causes = Vec::new();
    for owner in &mut owners {
        if owner.is(by.manager, "Apply", by.subresource) {
            continue;
        }
        let disputed: Vec<_> = owner
            .fields
            .iter()
            .filter(|path| wanted.contains(*path) && fields::at(&merged, path) != fields::at(&config, path))
            .cloned()
            .collect();
        for path in disputed {
            if by.force {
                owner.fields.remove(&path);
            } else {
                let field: String =
                    path.iter().map(|step| format!(".{}", &step[2.min(step.len())..])).collect();
                let message = conflict_with(kind, owner);
                causes.push(json!({ "reason": "FieldManagerConflict", "message": message, "field": field }));
            }
        }
    }
    if !causes.is_empty() {
        let texts: Vec<String> = causes
            .iter()
            .map(|cause: &Value| {
                let text = |name: &str| cause[name].as_str().unwrap_or_default().to_owned();
                format!("{}: {}", text("message"), text("field"))
            })
            .collect();
        let plural = if causes.len() == 1 { "conflict" } else { "conflicts" };
        let message = format!("Apply failed with {} {plural}: {}", causes.len(), texts.join(", "));
        let mut failure = Failure::new(409, "Conflict", message);
        failure.details = json!({ "causes": causes });
        return Err(failure);
    }
    let mine = owners.iter().position(|owner| owner.is(by.manager, "Apply", by.subresource));
    let before = mine.map(|index| owners.remove(index));
    let dropped = before.iter().flat_map(|owner| &owner.fields).filter(|path| {
        !wanted.contains(*path)
            && !wanted.iter().any(|kept| kept.starts_with(path))
            && !owners.iter().any(|owner| owner.fields.iter().any(|kept| kept.starts_with(path)))
    });
    // A whole item goes before its fields would: "." sorts before "f:".
    for path in dropped {
        fields::remove(&mut merged, path);
    }
    // What is wanted stays, if only as an empty mapping. (The real one makes null of that, which a schema of ours
    // refuses: no user means it, and no test is about it.)
    fields::merge(&mut merged, &config, kind.custom);
    let unchanged = before.as_ref().is_some_and(|owner| owner.fields == wanted);
    let time = before.filter(|_| unchanged).map_or_else(|| by.time.to_owned(), |owner| owner.time);
    owners.push(Owner {
        manager: by.manager.to_owned(),
        operation: "Apply",
        subresource: by.subresource.to_owned(),
        time,
        fields: wanted,
    });
    owners.sort_by(|a, b| {
        (a.operation, &a.manager, &a.subresource).cmp(&(b.operation, &b.manager, &b.subresource))
    });
    for name in ["apiVersion", "kind"] {
        merged[name] = applied[name].clone();
    }
    for name in ["name", "namespace"] {
        if let Some(value) = applied["metadata"].get(name) {
            merged["metadata"][name] = value.clone();
        }
    }
    managers::write(&mut merged, owners);
    Ok(merged)
}

fn conflict_with(kind: &Kind, owner: &Owner) -> String {
    let applied = owner.operation == "Apply" && owner.subresource.is_empty();
    let version = if applied { String::new() } else { format!(" using {}", kind.api_version()) };
    let part = if owner.subresource.is_empty() {
        String::new()
    } else {
        format!(" with subresource \"{}\"", owner.subresource)
    };
    format!("conflict with \"{}\"{part}{version}", owner.manager)
}
