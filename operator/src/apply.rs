//! Server-side apply of what a reconciler wants, and no request where that is there already.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// In what [`amount`] counts: so many make one.
pub(crate) const BILLION: i128 = 1_000_000_000;

/// Whose fields these are.
pub const FIELD_MANAGER: &str = "millrace-operator";
/// Where an object keeps the digest of what was applied last: a field that is wanted no longer is told by it,
/// since nothing that is wanted shows it.
pub const APPLIED: &str = "millrace.dev/applied";
/// The label that says who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label that says for which Broker.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// An object as a reconciler wants it. Fields that it does not name are others' business.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// What kind it is.
    pub resource: ApiResource,
    /// The object: `metadata` with name and namespace, and what is wanted of the rest.
    pub object: Value,
}

impl Desired {
    /// An object of a kind of Kubernetes' own.
    pub fn new(group: &str, version: &str, kind: &str, object: Value) -> Desired {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Desired { resource, object }
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), self.namespace(), &self.resource)
    }

    fn digest(&self) -> String {
        let mut digest = hex::encode(Sha256::digest(self.object.to_string().as_bytes()));
        digest.truncate(16);
        digest
    }

    /// What stands there now.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn live(&self, client: &Client) -> Result<Option<DynamicObject>, kube::Error> {
        self.api(client).get_opt(self.name()).await
    }

    /// Whether what stands there is as wanted.
    pub fn is_applied(&self, live: &DynamicObject) -> bool {
        let digest = live.annotations().get(APPLIED);
        let there = serde_json::to_value(live).unwrap_or_default();
        digest == Some(&self.digest()) && covers(&there, &self.object)
    }

    /// Applies it, whatever is there.
    ///
    /// # Errors
    /// When the API server refuses it or does not answer.
    pub async fn apply(&self, client: &Client) -> Result<DynamicObject, kube::Error> {
        let mut object = self.object.clone();
        object["apiVersion"] = json!(self.resource.api_version);
        object["kind"] = json!(self.resource.kind);
        object["metadata"]["annotations"][APPLIED] = json!(self.digest());
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.api(client).patch(self.name(), &params, &Patch::Apply(object)).await
    }
}

/// Whether an object that stands under a wanted object's name may be taken for it: it was made for this owner, or
/// was left behind by an owner of the same name and has none now. Anybody else's is left alone.
pub fn may_take(live: &DynamicObject, owner_uid: &str, instance: &str) -> bool {
    match live.owner_references().iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) => owner.uid == owner_uid,
        None => {
            let labels = live.labels();
            labels.get(MANAGED_BY).is_some_and(|by| by == FIELD_MANAGER)
                && labels.get(INSTANCE).is_some_and(|of| of == instance)
        }
    }
}

/// Whether all that is wanted is there, among what may be more. The API server writes amounts in a form of its
/// own, such as 500m for 0.5.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| match live.get(key) {
                Some(there) => covers(there, value),
                None => is_nothing(value),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (Value::String(live), Value::String(wanted)) => live == wanted || is_same_amount(live, wanted),
        (live, wanted) => live == wanted,
    }
}

/// What the API server does not keep: null, and lists and objects without anything in them.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The API server rounds up to thousandths.
fn is_same_amount(live: &str, wanted: &str) -> bool {
    const THOUSANDTH: i128 = BILLION / 1_000;
    match (amount(live), amount(wanted)) {
        (Some(live), Some(wanted)) => live == (wanted + THOUSANDTH - 1) / THOUSANDTH * THOUSANDTH,
        _ => false,
    }
}

/// A Kubernetes quantity in billionths, which is as exact as the API server keeps them: digits, a fraction, and a
/// suffix of the decimal or the binary family, or an exponent.
pub(crate) fn amount(text: &str) -> Option<i128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let scale: i128 = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => BILLION,
        "k" => BILLION * 1_000,
        "M" => BILLION * 1_000_000,
        "G" => BILLION * 1_000_000_000,
        "T" => BILLION * 1_000_000_000_000,
        "P" => BILLION * 1_000_000_000_000_000,
        "E" => BILLION * 1_000_000_000_000_000_000,
        "Ki" => BILLION << 10,
        "Mi" => BILLION << 20,
        "Gi" => BILLION << 30,
        "Ti" => BILLION << 40,
        "Pi" => BILLION << 50,
        "Ei" => BILLION << 60,
        exponent => {
            let exponent: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            BILLION.checked_mul(10_i128.checked_pow(exponent)?)?
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || whole.len() + fraction.len() == 0 {
        return None;
    }
    let read = |digits: &str| if digits.is_empty() { Some(0_i128) } else { digits.parse().ok() };
    let unit = 10_i128.pow(fraction.len() as u32);
    Some(read(whole)?.checked_mul(scale)? + read(fraction)?.checked_mul(scale)? / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(object: Value) -> Desired {
        Desired::new("", "v1", "ConfigMap", object)
    }

    fn live(of: &Desired, change: impl FnOnce(&mut Value)) -> DynamicObject {
        let mut object = of.object.clone();
        object["apiVersion"] = json!("v1");
        object["kind"] = json!("ConfigMap");
        object["metadata"]["annotations"][APPLIED] = json!(of.digest());
        change(&mut object);
        serde_json::from_value(object).expect("an object")
    }

    #[test]
    fn what_others_add_does_not_matter() {
        let wanted = desired(json!({"metadata": {"name": "a"}, "data": {"x": "1"}}));
        assert!(wanted.is_applied(&live(&wanted, |object| object["data"]["y"] = json!("2"))));
    }

    #[test]
    fn what_others_change_and_what_is_wanted_no_longer_is_seen() {
        let wanted = desired(json!({"metadata": {"name": "a"}, "data": {"x": "1"}}));
        assert!(!wanted.is_applied(&live(&wanted, |object| object["data"]["x"] = json!("2"))));
        let less = desired(json!({"metadata": {"name": "a"}, "data": {}}));
        assert!(!less.is_applied(&live(&wanted, |_| ())));
    }

    #[test]
    fn amounts_are_compared_by_value() {
        for (wanted, live) in [
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("2000m", "2"),
            ("1.5Gi", "1536Mi"),
            (".5", "500m"),
            ("1024Ti", "1Pi"),
            ("1000e6", "1e9"),
            ("100u", "1m"),
            ("1.001Gi", "1074815565824m"),
        ] {
            assert!(is_same_amount(live, wanted), "{wanted} {live}");
        }
        for (wanted, live) in [("1", "1k"), ("1G", "1Gi"), ("a", "b"), ("1.", "x"), ("500m", "1")] {
            assert!(!is_same_amount(live, wanted), "{wanted} {live}");
        }
    }

    #[test]
    fn an_object_of_somebody_else_is_not_taken() {
        let wanted =
            desired(json!({"metadata": {"name": "a", "labels": {MANAGED_BY: FIELD_MANAGER, INSTANCE: "b"}}}));
        let owned = |uid: &str| {
            let owner =
                json!([{"apiVersion": "v1", "kind": "B", "name": "b", "uid": uid, "controller": true}]);
            live(&wanted, |object| object["metadata"]["ownerReferences"] = owner)
        };
        assert!(may_take(&owned("1"), "1", "b"));
        assert!(!may_take(&owned("2"), "1", "b"));
        assert!(may_take(&live(&wanted, |_| ()), "1", "b"));
        assert!(!may_take(&live(&wanted, |_| ()), "1", "c"));
        assert!(!may_take(&live(&wanted, |object| object["metadata"]["labels"] = json!({})), "1", "b"));
    }
}
