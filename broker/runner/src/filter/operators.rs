//! Reading one of the values that a field may have: itself, or an operator and what it compares with.

use serde_json::{Map, Value};

use super::compile::{PatternError, Place, kind};
use super::value::{End, Like, Number, Test, lower};

const ANYTHING_BUT: &str = "anything-but";
const EXISTS: &str = "exists";
const IGNORE_CASE: &str = "equals-ignore-case";
const NUMERIC: &str = "numeric";
const PREFIX: &str = "prefix";
const SUFFIX: &str = "suffix";
const NAMES: [&str; 6] = [ANYTHING_BUT, EXISTS, IGNORE_CASE, NUMERIC, PREFIX, SUFFIX];

/// Whether an operator has this name.
pub(super) fn is_name(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Reads a value; `None` where the field may be missing.
pub(super) fn read(value: &Value, here: &Place<'_>) -> Result<Option<Test>, PatternError> {
    let object = match value {
        Value::Null => return Ok(Some(Test::Null)),
        Value::Bool(value) => return Ok(Some(Test::Bool(*value))),
        Value::Number(number) => return Ok(Some(Test::Number(Number::of(number)))),
        Value::String(text) => return Ok(Some(Test::Text(text.as_str().into()))),
        Value::Array(_) => return Err(here.error("a value or an operator is expected, not a list")),
        Value::Object(object) => object,
    };
    let (name, operand) = single(object, here)?;
    let place = here.key(name);
    match name {
        PREFIX | SUFFIX => Ok(Some(Test::Like(edge(name, operand, &place)?))),
        IGNORE_CASE => Ok(Some(Test::Like(same_ignoring_case(operand, &place)?))),
        NUMERIC => Ok(Some(numeric(operand, &place)?)),
        ANYTHING_BUT => Ok(Some(Test::NotOne(anything_but(operand, &place)?))),
        EXISTS => match operand {
            Value::Bool(true) => Ok(Some(Test::Exists)),
            Value::Bool(false) => Ok(None),
            other => Err(place.error(format!("true or false is expected, not {}", kind(other)))),
        },
        _ => Err(place.error(format!("there is no such operator: there are {}", NAMES.join(", ")))),
    }
}

/// The only field of an object.
fn single<'a>(
    object: &'a Map<String, Value>,
    here: &Place<'_>,
) -> Result<(&'a str, &'a Value), PatternError> {
    let mut fields = object.iter();
    match (fields.next(), fields.next()) {
        (Some((name, operand)), None) => Ok((name, operand)),
        (None, _) => Err(here.error(format!("an operator is expected: one of {}", NAMES.join(", ")))),
        _ => Err(here.error("one operator in an object is expected: put others into objects of their own")),
    }
}

fn text<'a>(value: &'a Value, place: &Place<'_>) -> Result<&'a str, PatternError> {
    value.as_str().ok_or_else(|| place.error(format!("a string is expected, not {}", kind(value))))
}

fn lowered(text: &str) -> Box<str> {
    lower(text).collect::<String>().into()
}

fn same_ignoring_case(operand: &Value, place: &Place<'_>) -> Result<Like, PatternError> {
    Ok(Like::SameIgnoringCase(lowered(text(operand, place)?)))
}

/// A prefix or a suffix, with or without its case.
fn edge(name: &str, operand: &Value, place: &Place<'_>) -> Result<Like, PatternError> {
    let Value::Object(object) = operand else {
        let text = text(operand, place)?.into();
        return Ok(if name == PREFIX { Like::Prefix(text) } else { Like::Suffix(text) });
    };
    let (inner, operand) = single(object, place)?;
    let place = place.key(inner);
    if inner != IGNORE_CASE {
        return Err(place.error(format!("a string or {IGNORE_CASE} is expected here")));
    }
    let text = lowered(text(operand, &place)?);
    Ok(if name == PREFIX { Like::PrefixIgnoringCase(text) } else { Like::SuffixIgnoringCase(text) })
}

/// What may not be: a string, a number, a list of either, or an operator on one or several strings.
fn anything_but(operand: &Value, place: &Place<'_>) -> Result<Vec<Test>, PatternError> {
    let Value::Object(object) = operand else {
        let tests = each(operand, place, |value, place| match value {
            Value::String(text) => Ok(Test::Text(text.as_str().into())),
            Value::Number(number) => Ok(Test::Number(Number::of(number))),
            other => Err(place.error(format!("a string or a number is expected, not {}", kind(other)))),
        })?;
        let numbers = tests.iter().filter(|test| matches!(test, Test::Number(_))).count();
        if numbers != 0 && numbers != tests.len() {
            return Err(place.error("strings alone or numbers alone are expected in one list"));
        }
        return Ok(tests);
    };
    let (name, operand) = single(object, place)?;
    let place = place.key(name);
    each(operand, &place, |value, place| {
        if value.as_str() == Some("") {
            return Err(place.error("a string that is not empty is expected"));
        }
        match name {
            PREFIX | SUFFIX => Ok(Test::Like(edge(name, value, place)?)),
            IGNORE_CASE => Ok(Test::Like(same_ignoring_case(value, place)?)),
            _ => Err(place.error(format!("{PREFIX}, {SUFFIX} or {IGNORE_CASE} is expected here"))),
        }
    })
}

/// Reads a value, or each one of a list.
fn each(
    operand: &Value,
    place: &Place<'_>,
    read: impl Fn(&Value, &Place<'_>) -> Result<Test, PatternError>,
) -> Result<Vec<Test>, PatternError> {
    match operand {
        Value::Array(values) if values.is_empty() => {
            Err(place.error("an empty list would match everything: use exists"))
        }
        Value::Array(values) => {
            values.iter().enumerate().map(|(index, value)| read(value, &place.index(index))).collect()
        }
        value => Ok(vec![read(value, place)?]),
    }
}

/// `["=", 5]`, `[">", 5]`, `[">=", 5, "<", 7]` and the like.
fn numeric(operand: &Value, place: &Place<'_>) -> Result<Test, PatternError> {
    let expected = r#"a comparison such as [">", 0, "<=", 5] is expected"#;
    let Value::Array(terms) = operand else {
        return Err(place.error(format!("{expected}, not {}", kind(operand))));
    };
    if terms.len() != 2 && terms.len() != 4 {
        return Err(place.error(expected));
    }
    let (mut low, mut high) = (None, None);
    for (index, pair) in terms.chunks(2).enumerate() {
        let (sign, number) = (place.index(2 * index), place.index(2 * index + 1));
        let Value::Number(at) = &pair[1] else {
            return Err(number.error(format!("a number is expected, not {}", kind(&pair[1]))));
        };
        let end = |included| Some(End { at: Number::of(at), included });
        match (index, pair[0].as_str()) {
            (0, Some("=")) if terms.len() == 2 => (low, high) = (end(true), end(true)),
            (0, Some(">")) => low = end(false),
            (0, Some(">=")) => low = end(true),
            (0, Some("<")) if terms.len() == 2 => high = end(false),
            (0, Some("<=")) if terms.len() == 2 => high = end(true),
            (0, _) if terms.len() == 4 => {
                return Err(sign.error(r#"a range begins with ">" or ">=""#));
            }
            (0, _) => return Err(sign.error(r#"one of "=", "<", "<=", ">" and ">=" is expected"#)),
            (_, Some("<")) => high = end(false),
            (_, Some("<=")) => high = end(true),
            _ => return Err(sign.error(r#"a range ends with "<" or "<=""#)),
        }
    }
    if let (Some(low), Some(high)) = (low, high)
        && !low.meets(high)
    {
        return Err(place.error("no number lies in this range"));
    }
    Ok(Test::Range { low, high })
}
