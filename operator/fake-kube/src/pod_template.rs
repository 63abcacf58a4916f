//! What the API server holds pod templates to, of the fields that Brokers hand on. Schemas of Kubernetes' own types
//! are loose; these rules are in its code.
//! Source: <https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/apis/core/validation/validation.go>.

use serde_json::Value;

use crate::names::{is_label_key, is_label_value, is_namespace};

/// Field, reason, what is wrong.
pub(crate) type Cause = (String, &'static str, String);

/// What is wrong with a pod's specification at `path`.
pub(crate) fn check(spec: &Value, path: &str) -> Vec<Cause> {
    let mut found = Found(Vec::new());
    for (container, at) in items(&spec["containers"], &format!("{path}.containers")) {
        found.resources(&container["resources"], &format!("{at}.resources"));
    }
    let at = format!("{path}.nodeSelector");
    for (key, value) in fields(&spec["nodeSelector"]) {
        found.label_key(&at, key);
        found.label_value(&at, value);
    }
    for (toleration, at) in items(&spec["tolerations"], &format!("{path}.tolerations")) {
        found.toleration(toleration, &at);
    }
    let spread = items(&spec["topologySpreadConstraints"], &format!("{path}.topologySpreadConstraints"));
    for (constraint, at) in spread {
        found.spread(constraint, &at);
    }
    found.affinity(&spec["affinity"], &format!("{path}.affinity"));
    found.0
}

/// The items of a list, each with its path.
fn items<'a>(list: &'a Value, path: &str) -> Vec<(&'a Value, String)> {
    let items = list.as_array().into_iter().flatten();
    items.enumerate().map(|(index, item)| (item, format!("{path}[{index}]"))).collect()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

struct Found(Vec<Cause>);

impl Found {
    fn invalid(&mut self, path: &str, value: &Value, why: &str) {
        self.0.push((path.to_owned(), "FieldValueInvalid", format!("Invalid value: {value}: {why}")));
    }

    fn required(&mut self, path: &str, why: &str) {
        self.0.push((path.to_owned(), "FieldValueRequired", format!("Required value: {why}")));
    }

    fn forbidden(&mut self, path: &str, why: &str) {
        self.0.push((path.to_owned(), "FieldValueForbidden", format!("Forbidden: {why}")));
    }

    /// One of the words, or nothing where that is left to the server.
    fn word(&mut self, at: &Value, name: &str, path: &str, words: &[&str]) {
        if !at[name].is_null() && !words.contains(&text(at, name)) {
            let why =
                format!("Unsupported value: {}: supported values: \"{}\"", at[name], words.join("\", \""));
            self.0.push((format!("{path}.{name}"), "FieldValueNotSupported", why));
        }
    }

    fn label_key(&mut self, path: &str, key: &str) {
        if !is_label_key(key) {
            self.invalid(
                path,
                &key.into(),
                "name part must consist of alphanumeric characters, '-', '_' or '.'",
            );
        }
    }

    fn label_value(&mut self, path: &str, value: &Value) {
        if !value.as_str().is_some_and(is_label_value) {
            self.invalid(
                path,
                value,
                "a valid label must be an empty string or consist of alphanumeric characters",
            );
        }
    }

    fn at_least(&mut self, at: &Value, name: &str, path: &str, least: i64) {
        if at[name].as_i64().is_some_and(|number| number < least) {
            let why = format!("must be greater than or equal to {least}");
            self.invalid(&format!("{path}.{name}"), &at[name], &why);
        }
    }

    fn resources(&mut self, resources: &Value, path: &str) {
        for name in ["limits", "requests"] {
            for (resource, _) in fields(&resources[name]) {
                let is_standard = matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage");
                if !(is_standard || resource.contains('/') && is_label_key(resource)) {
                    let why = "must be a standard resource for containers";
                    self.invalid(&format!("{path}.{name}"), &resource.as_str().into(), why);
                }
            }
        }
        for (claim, at) in items(&resources["claims"], &format!("{path}.claims")) {
            let why = format!("Not found: {}", claim["name"]);
            self.0.push((format!("{at}.name"), "FieldValueNotFound", why));
        }
    }

    fn toleration(&mut self, toleration: &Value, path: &str) {
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        if !key.is_empty() {
            self.label_key(&format!("{path}.key"), key);
        } else if operator != "Exists" {
            let why =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            self.invalid(&format!("{path}.operator"), &toleration["operator"], why);
        }
        self.word(toleration, "operator", path, &["Equal", "Exists", ""]);
        self.word(toleration, "effect", path, &["NoSchedule", "PreferNoSchedule", "NoExecute", ""]);
        if operator == "Exists" && !text(toleration, "value").is_empty() {
            let why = "value must be empty when `operator` is 'Exists'";
            self.invalid(&format!("{path}.operator"), &toleration["value"], why);
        }
        self.label_value(&format!("{path}.value"), &text(toleration, "value").into());
        if toleration["tolerationSeconds"].is_number() && text(toleration, "effect") != "NoExecute" {
            self.invalid(&format!("{path}.effect"), &toleration["effect"], "effect must be 'NoExecute'");
        }
    }

    fn spread(&mut self, constraint: &Value, path: &str) {
        self.at_least(constraint, "maxSkew", path, 1);
        self.at_least(constraint, "minDomains", path, 1);
        self.topology_key(constraint, path);
        self.word(constraint, "whenUnsatisfiable", path, &["DoNotSchedule", "ScheduleAnyway"]);
        if constraint["minDomains"].is_number() && constraint["whenUnsatisfiable"] != "DoNotSchedule" {
            let why = "can only use minDomains if whenUnsatisfiable=DoNotSchedule";
            self.invalid(&format!("{path}.minDomains"), &constraint["minDomains"], why);
        }
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            self.word(constraint, name, path, &["Honor", "Ignore"]);
        }
        self.label_selector(&constraint["labelSelector"], &format!("{path}.labelSelector"));
        self.label_keys(constraint, "matchLabelKeys", path);
    }

    fn topology_key(&mut self, term: &Value, path: &str) {
        let path = format!("{path}.topologyKey");
        match text(term, "topologyKey") {
            "" => self.required(&path, "can not be empty"),
            key => self.label_key(&path, key),
        }
    }

    fn label_keys(&mut self, term: &Value, name: &str, path: &str) {
        let (keys, list) = (&term[name], format!("{path}.{name}"));
        for (key, at) in items(keys, &list) {
            self.label_key(&at, key.as_str().unwrap_or_default());
        }
        if !items(keys, &list).is_empty() && term["labelSelector"].is_null() {
            self.forbidden(&list, "must not be specified when labelSelector is not set");
        }
    }

    fn affinity(&mut self, affinity: &Value, path: &str) {
        const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
        const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
        let (node, at) = (&affinity["nodeAffinity"], format!("{path}.nodeAffinity"));
        let (required, terms) = (&node[REQUIRED], format!("{at}.{REQUIRED}.nodeSelectorTerms"));
        if !required.is_null() && items(&required["nodeSelectorTerms"], &terms).is_empty() {
            self.required(&terms, "must have at least one node selector term");
        }
        for (term, at) in items(&required["nodeSelectorTerms"], &terms) {
            self.node_term(term, &at);
        }
        for (term, at) in items(&node[PREFERRED], &format!("{at}.{PREFERRED}")) {
            self.weight(term, &at);
            self.node_term(&term["preference"], &format!("{at}.preference"));
        }
        for name in ["podAffinity", "podAntiAffinity"] {
            let (pod, at) = (&affinity[name], format!("{path}.{name}"));
            for (term, at) in items(&pod[REQUIRED], &format!("{at}.{REQUIRED}")) {
                self.pod_term(term, &at);
            }
            for (term, at) in items(&pod[PREFERRED], &format!("{at}.{PREFERRED}")) {
                self.weight(term, &at);
                self.pod_term(&term["podAffinityTerm"], &format!("{at}.podAffinityTerm"));
            }
        }
    }

    fn weight(&mut self, term: &Value, path: &str) {
        if !term["weight"].as_i64().is_some_and(|weight| (1..=100).contains(&weight)) {
            self.invalid(&format!("{path}.weight"), &term["weight"], "must be in the range 1-100");
        }
    }

    fn node_term(&mut self, term: &Value, path: &str) {
        for (wanted, at) in items(&term["matchExpressions"], &format!("{path}.matchExpressions")) {
            self.label_key(&format!("{at}.key"), text(wanted, "key"));
            self.operator(wanted, &at, &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]);
        }
        for (wanted, at) in items(&term["matchFields"], &format!("{path}.matchFields")) {
            if text(wanted, "key") != "metadata.name" {
                self.invalid(&format!("{at}.key"), &wanted["key"], "not a valid field selector key");
            }
            self.operator(wanted, &at, &["In", "NotIn"]);
        }
    }

    fn pod_term(&mut self, term: &Value, path: &str) {
        self.topology_key(term, path);
        self.label_selector(&term["labelSelector"], &format!("{path}.labelSelector"));
        self.label_selector(&term["namespaceSelector"], &format!("{path}.namespaceSelector"));
        for namespace in term["namespaces"].as_array().into_iter().flatten() {
            if !namespace.as_str().is_some_and(is_namespace) {
                self.invalid(
                    &format!("{path}.namespace"),
                    namespace,
                    "a lowercase RFC 1123 label must consist of lower case alphanumerics",
                );
            }
        }
        self.label_keys(term, "matchLabelKeys", path);
        self.label_keys(term, "mismatchLabelKeys", path);
    }

    fn label_selector(&mut self, selector: &Value, path: &str) {
        for (key, value) in fields(&selector["matchLabels"]) {
            self.label_key(&format!("{path}.matchLabels"), key);
            self.label_value(&format!("{path}.matchLabels"), value);
        }
        for (wanted, at) in items(&selector["matchExpressions"], &format!("{path}.matchExpressions")) {
            self.label_key(&format!("{at}.key"), text(wanted, "key"));
            self.operator(wanted, &at, &["In", "NotIn", "Exists", "DoesNotExist"]);
            for (value, at) in items(&wanted["values"], &format!("{at}.values")) {
                self.label_value(&at, value);
            }
        }
    }

    /// An operator, and as many values as it takes.
    fn operator(&mut self, wanted: &Value, path: &str, words: &[&str]) {
        let count = items(&wanted["values"], path).len();
        let values = format!("{path}.values");
        match text(wanted, "operator") {
            operator if !words.contains(&operator) => {
                let operator = &wanted["operator"];
                self.invalid(&format!("{path}.operator"), operator, "not a valid selector operator");
            }
            "In" | "NotIn" if count == 0 => {
                self.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if count > 0 => {
                self.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if count != 1 => {
                self.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            _ => {}
        }
    }
}
