//! Who may do what: the brokers' account, and the first access key.

use serde_json::{Value, json};

use super::super::names::Names;
use super::{Component, Plan};
use crate::apply::Desired;

/// What a broker's account may do in its namespace: the chart's ClusterRole of this name says.
const BROKER_ROLE: &str = "millrace-broker";

pub(super) fn objects(plan: &Plan<'_>) -> Vec<Desired> {
    let brokers = plan.names.brokers();
    let account = json!({
        "metadata": plan.metadata(&brokers, Some(Component::Broker)),
        "automountServiceAccountToken": true,
    });
    let binding = json!({
        "metadata": plan.metadata(&brokers, Some(Component::Broker)),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": BROKER_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": brokers, "namespace": plan.names.namespace}],
    });
    vec![
        Desired::new("", "v1", "ServiceAccount", account),
        Desired::new("rbac.authorization.k8s.io", "v1", "RoleBinding", binding),
    ]
}

/// The Secret with the first access key of a Broker: 20 characters and 40, as Amazon's have them, from these 36
/// random bytes. It has no owner: a Broker that is made again finds its key again, as it finds its data.
pub fn root_access_key(names: &Names, labels: Value, random: &[u8; 36]) -> Value {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let id: String = "MILL".chars().chain(random[..16].iter().map(letter)).collect();
    // 20 bytes are 160 bits, in hexadecimal 40 characters.
    let secret = hex::encode(&random[16..]);
    let profile =
        format!("[{}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n", names.namespace);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.root_access_key(),
            "namespace": names.namespace,
            "labels": labels,
        },
        "type": "Opaque",
        "stringData": {"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret, "credentials": profile},
    })
}
