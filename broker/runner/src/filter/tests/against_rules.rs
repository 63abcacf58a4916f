//! The tree against the rules as they are written down: a pattern is a set of alternatives, each a set of fields; an
//! event is a set of values, each with the elements of arrays in which it lies; no two fields match in two elements of
//! one array.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::filter::Filter;

/// Fields with the values that each may have; `None`: it has to be missing.
type Alternative = Vec<(Vec<String>, Option<Vec<Value>>)>;
/// Which element of which array, by the array's place in the event.
type Elements = Vec<(String, usize)>;

fn alternatives(pattern: &Map<String, Value>, path: &[String]) -> Vec<Alternative> {
    let mut found: Vec<Alternative> = vec![Vec::new()];
    for (key, value) in pattern {
        let parts: Vec<Alternative> = match value {
            Value::Array(any) if key == "$or" => {
                any.iter().flat_map(|inner| alternatives(inner.as_object().unwrap(), path)).collect()
            }
            Value::Object(inner) => alternatives(inner, &[path, std::slice::from_ref(key)].concat()),
            Value::Array(values) => {
                let missing = values[0] == json!({"exists": false});
                vec![vec![([path, std::slice::from_ref(key)].concat(), (!missing).then(|| values.clone()))]]
            }
            _ => unreachable!("the generator makes no others"),
        };
        let with = |part: &Alternative| found.iter().map(|one| [&one[..], part].concat()).collect::<Vec<_>>();
        found = parts.iter().flat_map(with).collect();
    }
    found
}

fn values(
    event: &Value,
    path: Vec<String>,
    place: String,
    within: &Elements,
    found: &mut Vec<(Vec<String>, Value, Elements)>,
) {
    match event {
        Value::Object(fields) => {
            for (key, value) in fields {
                values(
                    value,
                    [&path[..], std::slice::from_ref(key)].concat(),
                    format!("{place}/{key}"),
                    within,
                    found,
                );
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let inside = [&within[..], &[(place.clone(), index)]].concat();
                let keep = if element.is_object() || element.is_array() { &inside } else { within };
                values(element, path.clone(), format!("{place}/{index}"), keep, found);
            }
        }
        scalar => found.push((path, scalar.clone(), within.clone())),
    }
}

fn consistent(one: &Elements, other: &Elements) -> bool {
    one.iter().all(|(array, index)| other.iter().all(|(same, other)| array != same || index == other))
}

/// Whether some choice of values meets the fields, one after the other, and what has to be missing is missing there.
fn meets(
    fields: &[(Vec<String>, Option<Vec<Value>>)],
    all: &Alternative,
    event: &[(Vec<String>, Value, Elements)],
    within: &Elements,
) -> bool {
    let Some(((path, wanted), rest)) = fields.split_first() else {
        let mut missing = all.iter().filter(|(_, wanted)| wanted.is_none()).map(|(path, _)| path);
        return missing
            .all(|path| !event.iter().any(|(at, _, inside)| at == path && consistent(inside, within)));
    };
    let Some(wanted) = wanted else { return meets(rest, all, event, within) };
    event.iter().any(|(at, value, inside)| {
        at == path
            && wanted.contains(value)
            && consistent(inside, within)
            && meets(rest, all, event, &[&within[..], &inside[..]].concat())
    })
}

fn by_the_rules(pattern: &Value, event: &Value) -> bool {
    let mut found = Vec::new();
    values(event, Vec::new(), String::new(), &Elements::new(), &mut found);
    let alternatives = alternatives(pattern.as_object().unwrap(), &[]);
    alternatives.iter().any(|fields| meets(fields, fields, &found, &Elements::new()))
}

fn scalar() -> BoxedStrategy<Value> {
    prop::sample::select(vec![json!(1), json!(2), json!("x"), json!(null), json!(true)]).boxed()
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
}

fn events() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(key(), value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn objects(field: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let fields = prop::collection::btree_map(key(), field, 1..4);
    fields.prop_map(|map| Value::Object(map.into_iter().collect())).boxed()
}

fn patterns() -> impl Strategy<Value = Value> {
    let present = prop::collection::vec(scalar(), 1..3).prop_map(Value::Array).boxed();
    let missing = Just(json!([{"exists": false}]));
    // What has to be missing stays out of alternatives: there the tree holds each object to itself.
    let fields = present.clone().prop_recursive(3, 12, 3, objects).boxed();
    let or = prop::collection::vec(objects(fields), 2..4);
    let field = prop_oneof![3 => present, 1 => missing].prop_recursive(3, 16, 3, objects).boxed();
    (objects(field), prop::option::of((or, key()))).prop_map(|(pattern, or)| {
        let Value::Object(mut pattern) = pattern else { unreachable!("objects are made") };
        if let Some((or, key)) = or {
            match pattern.get_mut(&key).and_then(Value::as_object_mut) {
                Some(inner) => inner.insert("$or".into(), Value::Array(or)),
                None => pattern.insert("$or".into(), Value::Array(or)),
            };
        }
        Value::Object(pattern)
    })
}

/// Whether an object with a `$or` asks for nothing else but missing fields: see above.
fn mixes(pattern: &Value) -> bool {
    let Value::Object(fields) = pattern else { return false };
    let negative = |value: &Value| !value.to_string().replace(r#"[{"exists":false}]"#, "").contains('[');
    let others = fields.iter().filter(|(key, _)| *key != "$or");
    (fields.contains_key("$or") && others.clone().any(|(_, value)| value.is_object() && negative(value)))
        || others.clone().any(|(_, value)| mixes(value))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_pattern_matches_what_the_rules_say(pattern in patterns(), event in events()) {
        prop_assume!(!mixes(&pattern));
        let filter = Filter::parse(&pattern.to_string()).unwrap();
        prop_assert_eq!(filter.matches(event.to_string().as_bytes()), by_the_rules(&pattern, &event));
    }

    #[test]
    fn no_text_breaks_the_reader(text in r#"[\[\]{}":,a1$or -]{0,40}"#) {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn every_event_matches_the_pattern_of_one_of_its_values(event in events()) {
        let mut found = Vec::new();
        values(&event, Vec::new(), String::new(), &Elements::new(), &mut found);
        for (path, value, _) in found {
            let pattern = path.iter().rev().fold(json!([value]), |inner, key| json!({ key: inner }));
            prop_assert!(Filter::parse(&pattern.to_string()).unwrap().matches(event.to_string().as_bytes()));
        }
    }
}
