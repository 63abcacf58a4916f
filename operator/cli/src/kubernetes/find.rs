//! From a stream's name to the brokers that serve it and the key they take.

use anyhow::{Context, anyhow, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use millrace_crds::admission::nearest;
use millrace_crds::{Broker, Stream, condition};

use super::refusal::{Asked, explain, is_absent};
use super::{Cluster, Forward};

/// A Stream on a cluster, the way to its brokers, and the access key that they take.
pub struct Workplace {
    /// The Stream.
    pub stream: Stream,
    /// The name of its Broker.
    pub broker: String,
    /// Connections to the Broker's pods.
    pub forward: Forward,
    /// The access key's id.
    pub key_id: String,
    /// The access key's secret.
    pub key_secret: String,
}

/// Finds the Stream called `name`, and what is needed to speak to its brokers.
///
/// # Errors
/// When anything on that way is missing, not ready, or hidden from this user; with what to do about it.
pub async fn find(cluster: &Cluster, name: &str) -> anyhow::Result<Workplace> {
    let namespace = cluster.namespace.as_str();
    let asked =
        Asked { verb: "list", resource: "streams.millrace.dev", name: None, namespace: Some(namespace) };
    let streams =
        Api::<Stream>::namespaced(cluster.api.clone(), namespace).list(&ListParams::default()).await;
    let streams = streams.map_err(|error| explain(asked, &error))?.items;
    let stream = named(&streams, name).ok_or_else(|| no_stream(&streams, name, namespace))?.clone();
    let broker = stream.spec.broker_ref.name.clone();
    let forward = Forward::new(cluster.api.clone(), namespace, &broker);
    if !forward.has_ready_pod().await? {
        return Err(no_pod(cluster, &stream, &broker).await);
    }
    let (key_id, key_secret) = access_key(cluster, &broker).await?;
    Ok(Workplace { stream, broker, forward, key_id, key_secret })
}

/// The Stream whose object has this name, or else the oldest one whose clients call it so: a younger one of the
/// same name has no data.
pub fn named<'a>(streams: &'a [Stream], name: &str) -> Option<&'a Stream> {
    let object = streams.iter().find(|stream| stream.metadata.name.as_deref() == Some(name));
    let called = || {
        let called = streams.iter().filter(|stream| stream.stream_name() == name);
        called.min_by_key(|stream| stream.creation_timestamp().map(|time| time.0))
    };
    object.or_else(called)
}

/// Says that there is no such Stream, and which there are.
pub fn no_stream(streams: &[Stream], name: &str, namespace: &str) -> anyhow::Error {
    if streams.is_empty() {
        return anyhow!(
            "there is no Stream {name} in namespace {namespace}, nor any other: apply one, or name another \
             namespace with -n"
        );
    }
    let mut names: Vec<&str> = streams.iter().map(Stream::stream_name).collect();
    names.sort_unstable();
    let meant = nearest(name, names.iter().copied());
    let hint = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
    let more = if names.len() > 20 { ", …" } else { "" };
    names.truncate(20);
    anyhow!("there is no Stream {name} in namespace {namespace}; {hint}there are: {}{more}", names.join(", "))
}

/// Why no pod serves a Stream, as far as the Broker says it.
async fn no_pod(cluster: &Cluster, stream: &Stream, broker: &str) -> anyhow::Error {
    let namespace = cluster.namespace.as_str();
    let name = stream.name_any();
    match Api::<Broker>::namespaced(cluster.api.clone(), namespace).get(broker).await {
        Err(error) if is_absent(&error) => anyhow!(
            "Stream {name} names Broker {broker}, and there is no Broker of this name in namespace {namespace}: \
             apply one, `kubectl get brokers -n {namespace}` lists those there are"
        ),
        Err(error) => explain(
            Asked {
                verb: "get",
                resource: "brokers.millrace.dev",
                name: Some(broker),
                namespace: Some(namespace),
            },
            &error,
        )
        .context(format!("no broker pod of Broker {broker} is ready, and it can't be asked why")),
        Ok(found) => anyhow!(
            "no broker pod of Broker {broker} in namespace {namespace} is ready{}; look at `kubectl millrace \
             status broker/{broker} -n {namespace}`",
            said_of(&found)
        ),
    }
}

fn said_of(broker: &Broker) -> String {
    let conditions = broker.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match condition::find(conditions, condition::Kind::Ready) {
        Some(ready) => format!(": {} ({})", ready.message.trim_end_matches('.'), ready.reason),
        None => ": no operator has said anything of it yet".to_owned(),
    }
}

/// Reads the Broker's first access key, with the user's own rights.
async fn access_key(cluster: &Cluster, broker: &str) -> anyhow::Result<(String, String)> {
    let name = format!("{broker}-root-access-key");
    let namespace = cluster.namespace.as_str();
    let asked = Asked { verb: "get", resource: "secrets", name: Some(&name), namespace: Some(namespace) };
    let secret = match Api::<Secret>::namespaced(cluster.api.clone(), namespace).get(&name).await {
        Ok(secret) => secret,
        Err(error) if is_absent(&error) => bail!(
            "Broker {broker} has no access key: there is no Secret {name} in namespace {namespace}; the operator \
             makes it when it sets the Broker up"
        ),
        Err(error) => return Err(explain(asked, &error)),
    };
    let field = |field: &str| {
        let value = secret.data.as_ref().and_then(|data| data.get(field));
        let text = value.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        text.with_context(|| format!("Secret {name} in namespace {namespace} has no {field}"))
    };
    Ok((field("AWS_ACCESS_KEY_ID")?, field("AWS_SECRET_ACCESS_KEY")?))
}

#[cfg(test)]
mod tests {
    use super::super::recorded::{Answers, cluster};
    use super::*;
    use serde_json::{Value, json};

    fn stream(name: &str, called: Option<&str>, made: &str) -> Value {
        json!({
            "apiVersion": "millrace.dev/v1alpha1", "kind": "Stream",
            "metadata": { "name": name, "namespace": "demo", "creationTimestamp": made },
            "spec": { "streamName": called },
        })
    }

    fn streams() -> Vec<Stream> {
        let objects = [
            stream("orders", None, "2026-03-01T12:00:00Z"),
            stream("young", Some("Raw.v1"), "2026-03-03T12:00:00Z"),
            stream("old", Some("Raw.v1"), "2026-03-02T12:00:00Z"),
        ];
        objects.into_iter().map(|object| serde_json::from_value(object).unwrap()).collect()
    }

    #[test]
    fn a_stream_is_found_by_its_object_and_by_what_clients_call_it() {
        let found = |name| named(&streams(), name).map(ResourceExt::name_any);
        assert_eq!(found("orders").as_deref(), Some("orders"));
        assert_eq!(found("Raw.v1").as_deref(), Some("old"), "the younger one has no data");
        assert_eq!(found("young").as_deref(), Some("young"));
        assert_eq!(found("other"), None);
    }

    #[test]
    fn a_name_that_is_missing_is_told_with_the_nearest() {
        let said = no_stream(&streams(), "oders", "demo").to_string();
        assert_eq!(
            said,
            "there is no Stream oders in namespace demo; did you mean orders? there are: Raw.v1, Raw.v1, orders"
        );
        assert!(no_stream(&[], "x", "demo").to_string().contains("nor any other"));
    }

    fn answers() -> Answers {
        Answers::default().list(
            "/apis/millrace.dev/v1alpha1/namespaces/demo/streams",
            &[stream("orders", None, "2026-03-01T12:00:00Z")],
        )
    }

    const PODS: &str = "/api/v1/namespaces/demo/pods";
    const SECRET: &str = "/api/v1/namespaces/demo/secrets/default-root-access-key";
    const BROKER: &str = "/apis/millrace.dev/v1alpha1/namespaces/demo/brokers/default";

    fn ready_pod() -> Value {
        json!({
            "metadata": { "name": "default-broker-0" },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        })
    }

    async fn said(answers: Answers) -> String {
        match find(&cluster(answers), "orders").await {
            Ok(_) => "found".to_owned(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[tokio::test]
    async fn the_key_is_read_from_the_brokers_secret() {
        let secret = json!({
            "metadata": { "name": "default-root-access-key" },
            "data": { "AWS_ACCESS_KEY_ID": "SUQ=", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0" },
        });
        let answers = answers().list(PODS, &[ready_pod()]).object(SECRET, secret);
        let found = find(&cluster(answers), "orders").await.unwrap();
        assert_eq!(
            (found.key_id.as_str(), found.key_secret.as_str(), found.broker.as_str()),
            ("ID", "secret", "default")
        );
    }

    #[tokio::test]
    async fn a_secret_that_may_not_be_read_is_named_with_the_right_to_ask_for() {
        let said = said(answers().list(PODS, &[ready_pod()]).refuse(SECRET, 403)).await;
        assert!(
            said.starts_with("you may not get secrets/default-root-access-key in namespace demo: ask"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn without_a_secret_it_is_said_who_makes_it() {
        let said = said(answers().list(PODS, &[ready_pod()])).await;
        assert!(said.contains("there is no Secret default-root-access-key in namespace demo"), "{said}");
    }

    #[tokio::test]
    async fn without_a_ready_pod_the_broker_is_asked_why() {
        let missing = said(answers().list(PODS, &[])).await;
        assert!(
            missing.contains("there is no Broker of this name in namespace demo: apply one"),
            "{missing}"
        );
        let broker = json!({
            "metadata": { "name": "default", "namespace": "demo" }, "spec": {},
            "status": { "conditions": [{
                "type": "Ready", "status": "False", "reason": "ImagePull", "lastTransitionTime": "2026-03-01T12:00:00Z",
                "message": "The image can't be pulled.",
            }] },
        });
        let unready = said(answers().list(PODS, &[]).object(BROKER, broker)).await;
        assert!(unready.contains("is ready: The image can't be pulled (ImagePull); look at"), "{unready}");
    }
}
