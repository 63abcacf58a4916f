//! Every parameter is read, and held to what the model asks of it.

use base64_simd::STANDARD;
use serde_json::{Value, json};

use super::model::{Operation, Parameter, operations};
use super::sample::Sample;
use super::table::{Differences, is_built};

/// A value that breaks a constraint (`None`: there is none), and what the answer says of it.
type Violation = (Option<Value>, String);

#[tokio::test]
async fn every_parameter_of_the_model_is_read_and_held_to_its_constraints() {
    let sample = Sample::start().await;
    let passed_over = Differences::read().parameters;
    let changes = sample.api.watch_changes();
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for operation in operations().iter().filter(|operation| is_built(&operation.name)) {
        for parameter in &operation.parameters {
            if passed_over.contains_key(&parameter.shown) {
                continue;
            }
            wrong.extend(not_read(&sample, operation, parameter).await);
            for violation in violations(parameter) {
                tried += 1;
                wrong.extend(not_refused(&sample, operation, parameter, violation).await);
            }
        }
    }
    assert!(wrong.is_empty(), "of {tried}:\n{}", wrong.join("\n"));
    assert!(tried > 300, "{tried} constraints were tried: is this the model?");
    assert_eq!(*changes.lock(), []);
}

/// A parameter of another type is noticed only by who reads it.
async fn not_read(sample: &Sample, operation: &Operation, parameter: &Parameter) -> Option<String> {
    let other = match parameter.shape["type"].as_str().unwrap_or_default() {
        "string" | "blob" => json!(7),
        "list" => json!({}),
        "map" | "structure" => json!([]),
        _ => json!("x"),
    };
    let input = sample.input_with(operation, parameter, Some(other.clone()));
    let told = sample.error(operation, &input).await;
    (told.as_deref() != Some("SerializationException"))
        .then(|| format!("{} {}: {other} is answered with {told:?}", operation.name, parameter.shown))
}

async fn not_refused(
    sample: &Sample,
    operation: &Operation,
    parameter: &Parameter,
    (value, constraint): Violation,
) -> Option<String> {
    let shown: String = format!("{value:?}").chars().take(60).collect();
    let answer = sample.refusal(operation, &sample.input_with(operation, parameter, value)).await;
    let (name, message) = answer.map_or_else(Default::default, |answer| {
        (answer.error().0, answer.json()["message"].as_str().unwrap_or_default().to_owned())
    });
    let named = message.contains(&format!("at '{}' failed to satisfy constraint", parameter.at));
    let refused = name == "ValidationException" && named && message.contains(&constraint);
    let said: String = message.chars().take(300).collect();
    (!refused).then(|| {
        format!("{} {} = {shown}: not {constraint:?} but {name} {said}", operation.name, parameter.shown)
    })
}

/// Everything that breaks one constraint of a parameter.
fn violations(parameter: &Parameter) -> Vec<Violation> {
    let shape = &parameter.shape;
    let bound = |name: &str| shape[name].as_i64();
    let kind = shape["type"].as_str().unwrap_or_default();
    let mut all: Vec<Violation> = Vec::new();
    if parameter.required {
        all.push((None, "Member must not be null".into()));
    }
    if shape["enum"].is_array() {
        all.push((Some(json!("?")), "Member must satisfy enum value set: [".into()));
    }
    if shape["pattern"].is_string() {
        all.push((Some(json!("?")), "Member must satisfy regular expression pattern: ".into()));
    }
    let sized = match kind {
        "integer" | "long" => "value",
        _ => "length",
    };
    if let Some(min) = bound("min").filter(|min| *min > 0 || sized == "value") {
        let value = match kind {
            "list" => json!([]),
            "map" => json!({}),
            "string" => json!("a".repeat(min as usize - 1)),
            _ => json!(min - 1),
        };
        all.push((Some(value), format!("Member must have {sized} greater than or equal to {min}")));
    }
    if let Some(max) = bound("max") {
        let one_more = max as usize + 1;
        let (value, most) = match kind {
            "list" => (json!(vec![element(parameter); one_more]), max.to_string()),
            "map" => {
                let pairs = (0..one_more).map(|index| (format!("k{index}"), json!("v")));
                (Value::Object(pairs.collect()), max.to_string())
            }
            "string" => (json!(long(parameter, one_more)), max.to_string()),
            // The stream's own bound is lower.
            "blob" => (json!(STANDARD.encode_to_string(vec![7; one_more])), String::new()),
            _ => (json!(max + 1), max.to_string()),
        };
        all.push((Some(value), format!("Member must have {sized} less than or equal to {most}")));
    }
    all.extend(violations_within(parameter));
    all
}

/// What breaks the constraints of a list's or a map's texts, which are told of the whole.
fn violations_within(parameter: &Parameter) -> Vec<Violation> {
    let bound = |shape: &Value, name: &str| shape[name].as_u64().unwrap_or_default() as usize;
    match (&parameter.key, &parameter.element) {
        (Some(key), Some(value)) => {
            let keys = ["".to_owned(), "k".repeat(bound(key, "max") + 1)];
            let keys =
                keys.map(|key| (Some(json!({key: "v"})), "Map keys must satisfy constraint: [".to_owned()));
            let value = json!({"k": "v".repeat(bound(value, "max") + 1)});
            let value = (Some(value), "Map value must satisfy constraint: [".to_owned());
            [keys.as_slice(), &[value]].concat()
        }
        (None, Some(element)) if element["type"] == "string" => {
            let bad =
                if element["enum"].is_array() { "?".into() } else { "k".repeat(bound(element, "max") + 1) };
            vec![(Some(json!([bad])), "Member must satisfy constraint: [".to_owned())]
        }
        _ => Vec::new(),
    }
}

fn element(parameter: &Parameter) -> Value {
    match parameter.name() {
        "Records" => json!({"Data": "", "PartitionKey": "k"}),
        "ShardLevelMetrics" => json!("IncomingBytes"),
        _ => json!("a"),
    }
}

/// A text of at least that many characters, which follows the pattern.
fn long(parameter: &Parameter, chars: usize) -> String {
    let start = match parameter.name() {
        "StreamARN" | "ResourceARN" => "arn:aws:kinesis:r:012345678901:stream/",
        "ConsumerARN" => "arn:aws:kinesis:r:012345678901:stream/a/consumer/b:1",
        _ => "",
    };
    let filling = if parameter.name() == "ConsumerARN" { "1" } else { "a" };
    format!("{start}{}", filling.repeat(chars))
}
