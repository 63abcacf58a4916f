//! Which of a Broker's pods to speak to. Pure.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use millrace_operator::broker::names::HTTPS_PORT_NAME;

/// Whether a pod serves: its probe says so, and nobody has asked it to go.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// The ready pod that follows `last` in the order of names, round and round: so that after one has failed
/// another is tried, although the cluster may take a while to see that it is gone.
pub(super) fn next(pods: &[Pod], last: Option<&str>) -> Option<String> {
    let mut ready: Vec<String> = pods.iter().filter(|pod| is_ready(pod)).map(ResourceExt::name_any).collect();
    ready.sort();
    let after = ready.iter().find(|name| last.is_some_and(|last| name.as_str() > last));
    after.or(ready.first()).cloned()
}

/// Whether the pod of this name serves the APIs over TLS: its port is called so.
pub(super) fn speaks_tls(pods: &[Pod], name: &str) -> bool {
    let pod = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name));
    let containers = pod.and_then(|pod| pod.spec.as_ref()).map(|spec| &spec.containers);
    let ports = containers.into_iter().flatten().flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(|port| port.name.as_deref()).any(|name| name == HTTPS_PORT_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, ready: &str, deleted: bool) -> Pod {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": name },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap();
        if deleted {
            pod.metadata.deletion_timestamp =
                Some(serde_json::from_value(json!("2026-03-01T12:00:00Z")).unwrap());
        }
        pod
    }

    #[test]
    fn only_pods_that_serve_and_stay_are_chosen() {
        let pods = [pod("b-0", "False", false), pod("b-1", "True", true), pod("b-2", "True", false)];
        assert_eq!(next(&pods, None).as_deref(), Some("b-2"));
        assert_eq!(next(&pods[..2], None), None);
        assert_eq!(next(&[Pod::default()], None), None);
    }

    #[test]
    fn a_pod_that_speaks_tls_is_told_by_the_name_of_its_port() {
        let with_port = |name: &str, port: &str| -> Pod {
            let ports = json!([{ "name": port, "containerPort": 4566 }]);
            serde_json::from_value(json!({
                "metadata": { "name": name },
                "spec": { "containers": [{ "name": "broker", "ports": ports }] },
            }))
            .unwrap()
        };
        let pods = [with_port("b-0", "api"), with_port("b-1", "https-api"), Pod::default()];
        assert_eq!(["b-0", "b-1", "b-2"].map(|name| speaks_tls(&pods, name)), [false, true, false]);
    }

    #[test]
    fn each_connection_goes_to_the_next_pod_and_a_single_one_is_taken_again() {
        let pods = [pod("b-2", "True", false), pod("b-0", "True", false), pod("b-1", "True", false)];
        assert_eq!(next(&pods, None).as_deref(), Some("b-0"));
        assert_eq!(next(&pods, Some("b-0")).as_deref(), Some("b-1"));
        assert_eq!(next(&pods, Some("b-2")).as_deref(), Some("b-0"));
        assert_eq!(next(&pods, Some("b-9")).as_deref(), Some("b-0"), "one that is gone by now");
        assert_eq!(next(&pods[..1], Some("b-2")).as_deref(), Some("b-2"));
    }
}
