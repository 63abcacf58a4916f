//! What has to be sent so that an object becomes another one.

use serde_json::{Map, Value};

/// The merge patch (RFC 7386) that makes `new` of `old`; `None` when they are the same.
pub(super) fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else { return Some(new.clone()) };
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        if let Some(change) = merge_patch(before.get(name).unwrap_or(&Value::Null), value) {
            patch.insert(name.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_in_a_patch() {
        let old = json!({"a": {"b": 1, "c": "x"}, "d": [1]});
        assert_eq!(merge_patch(&old, &old), None);
        let new = json!({"a": {"b": 2, "c": "x"}, "e": {"f": true}});
        assert_eq!(merge_patch(&old, &new), Some(json!({"a": {"b": 2}, "d": null, "e": {"f": true}})));
    }
}
