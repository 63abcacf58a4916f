//! What a field may be changed to, and what it can't be: from its schema, with the words of Kubernetes' own types,
//! which their schemas do not hold.

use serde_json::{Value, json};

use super::schema::Field;

/// A text that is none of any field's words, no label, no amount and no time.
const NONSENSE: &str = "no such thing!";

/// The key of the entry in a map of this name.
pub(crate) fn key_of(map: &str) -> &'static str {
    match map {
        "limits" | "requests" => "memory",
        "annotations" => "example.com/tier",
        _ => "tier",
    }
}

/// Something that a field of this name may hold.
pub(crate) fn sample(name: &str, schema: &Value) -> Value {
    let whole = match (name, schema["type"].as_str()) {
        ("matchExpressions", Some("object")) => json!({"key": "tier", "operator": "In", "values": ["a"]}),
        ("matchFields", Some("object")) => json!({"key": "metadata.name", "operator": "In", "values": ["a"]}),
        ("tolerations", Some("object")) => {
            json!({"key": "tier", "operator": "Equal", "value": "a", "effect": "NoExecute"})
        }
        ("topologySpreadConstraints", Some("object")) => json!({
            "maxSkew": 1, "topologyKey": "tier", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"tier": "a"}},
        }),
        _ => Value::Null,
    };
    if !whole.is_null() {
        return whole;
    }
    if schema["type"] == "object" {
        // A term says of which pods it speaks, for the keys of labels that are to be matched.
        let named = schema["properties"].as_object().into_iter().flatten().filter(|(name, _)| {
            let required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
            required || *name == "labelSelector"
        });
        let mut fields: serde_json::Map<String, Value> =
            named.map(|(name, below)| (name.clone(), sample(name, below))).collect();
        if schema["additionalProperties"].is_object() {
            let entry = sample(name, &schema["additionalProperties"]);
            fields.insert(key_of(name).to_owned(), entry);
        }
        return Value::Object(fields);
    }
    if schema["type"] == "array" {
        return json!([sample(name, &schema["items"])]);
    }
    words(name, schema)
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("which values has a field {name}: {schema}?"))
}

/// What may stand in a field that holds nothing else.
fn words(name: &str, schema: &Value) -> Vec<Value> {
    if let Some(words) = schema["enum"].as_array() {
        return words.clone();
    }
    let list = |words: &[&str]| words.iter().map(|word| json!(word)).collect();
    match name {
        "retention" => list(&["48h", "24h", "2880m", "8760h"]),
        "quota" => vec![json!("2Gi"), json!("64Mi"), json!(1_i64 << 30), json!("1.5Gi")],
        "maxRecordSize" => vec![json!("2Mi"), json!("10Mi"), json!("1536Ki"), json!(1 << 20)],
        "bytesPerSecond" => vec![json!("2Mi"), json!("1Ki"), json!("1Gi"), json!(4096)],
        "start" | "end" => list(&["08:00", "18:30", "00:00", "23:59"]),
        "timeZone" => list(&["Europe/Berlin", "UTC", "America/Port-au-Prince"]),
        "size" => vec![json!("12Gi"), json!("20480Mi"), json!("1T")],
        "limits" | "requests" => {
            vec![json!("1Gi"), json!("1024Mi"), json!(536_870_912), json!("1e9"), json!("1.001Gi")]
        }
        "streamName" => list(&["Orders_v1.raw", "o"]),
        "secretName" => list(&["shop-tls", "shop.tls-2"]),
        "storageClassName" => list(&["fast", "fast.ssd-2"]),
        "nodePort" => vec![json!(30_566), json!(1), json!(65_535)],
        "operator" => list(&["NotIn", "Equal"]),
        "effect" => list(&["NoSchedule", "NoExecute"]),
        "whenUnsatisfiable" => list(&["ScheduleAnyway", "DoNotSchedule"]),
        "nodeAffinityPolicy" | "nodeTaintsPolicy" => list(&["Honor", "Ignore"]),
        "key" => list(&["metadata.name", "example.com/tier"]),
        "weight" => vec![json!(1), json!(100), json!(0)],
        "maxSkew" | "minDomains" => vec![json!(1), json!(2), json!(0)],
        "tolerationSeconds" => vec![json!(60), json!(0)],
        "name" => list(&["default", "another"]),
        "namespaces" => list(&["elsewhere"]),
        _ if schema["type"] == "string" => list(&["b"]),
        _ if schema["type"] == "integer" => numbers(schema),
        _ => Vec::new(),
    }
}

fn numbers(schema: &Value) -> Vec<Value> {
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    let (Some(least), Some(most)) = (bound("minimum"), bound("maximum")) else { return Vec::new() };
    let mut numbers = vec![least, least + 1, least + 2, most];
    numbers.dedup();
    numbers.retain(|number| *number <= most);
    numbers.into_iter().map(Value::from).collect()
}

impl Field {
    /// Whether the field, or what it is in, is one of Kubernetes' own types, whose schemas are loose.
    pub(crate) fn is_foreign(&self) -> bool {
        ["affinity", "tolerations", "topologySpreadConstraints", "nodeSelector", "resources", "annotations"]
            .iter()
            .any(|name| self.is_within(name))
    }

    /// What it may be changed to, as far as its schema tells.
    pub(crate) fn values(&self) -> Vec<Value> {
        match self.schema["type"].as_str() {
            Some("object" | "array") => {
                let empty = if self.schema["type"] == "array" { json!([]) } else { json!({}) };
                let may_be_empty = self.schema["required"].is_null();
                let sample = sample(self.name(), self.schema);
                let both = may_be_empty && sample != empty;
                if both { vec![sample, empty] } else { vec![sample] }
            }
            kind => {
                let mut values = words(self.name(), self.schema);
                if kind == Some("string") && self.is_foreign() {
                    values.push(json!(NONSENSE));
                }
                values
            }
        }
    }

    /// What it can't be.
    pub(crate) fn wrong_values(&self) -> Vec<Value> {
        let schema = self.schema;
        let number = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
        let length = |name: &str| schema[name].as_u64().map(|bound| bound as usize);
        let mut wrong = match schema["type"].as_str() {
            Some("object") => vec![json!(NONSENSE), json!([]), json!(7)],
            Some("array") => vec![json!(NONSENSE), json!({}), json!(7)],
            Some("string") => vec![json!(7), json!(true), json!([]), json!({})],
            Some("integer") => vec![json!(NONSENSE), json!(true), json!(1.5), json!([])],
            _ => vec![json!(1.5), json!(true), json!([]), json!({})],
        };
        if schema["type"] == "integer" {
            wrong.extend(number("minimum").map(|least| json!(least - 1)));
            let most = number("maximum").or((schema["format"] == "int32").then_some(i64::from(i32::MAX)));
            wrong.extend(most.map(|most| json!(most + 1)));
        }
        if schema["enum"].is_array() {
            wrong.extend([json!(NONSENSE), json!("")]);
        }
        if schema["pattern"].is_string() {
            wrong.push(json!(NONSENSE));
        }
        wrong.extend(length("minLength").map(|least| json!("a".repeat(least - 1))));
        wrong.extend(length("maxLength").map(|most| json!("1".repeat(most + 1))));
        if let Some(most) = length("maxItems") {
            wrong.push(json!(vec![sample(self.name(), &schema["items"]); most + 1]));
        }
        if let Some(most) = length("maxProperties") {
            let entries = (0..=most).map(|index| (format!("key-{index}"), json!("a")));
            wrong.push(Value::Object(entries.collect()));
        }
        if schema["x-kubernetes-int-or-string"] == true && !self.is_foreign() {
            wrong.extend([json!("9999999Pi"), json!("0.5"), json!(0), json!(-1)]);
        }
        wrong
    }
}
