//! What a pod's status says.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// How often a container may end before that counts as never starting.
const RESTARTS_FORGIVEN: i32 = 3;

/// Whether a pod takes traffic.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// Why a pod will not start, however long one waits: an image or configuration that isn't there, or a container that
/// ends again and again.
pub fn why_not_started(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let name = pod.metadata.name.as_deref().unwrap_or("?");
    containers.into_iter().find_map(|container| {
        let reason = why_container_waits(container)?;
        Some(format!("pod {name} can't start: container {} {reason}", container.name))
    })
}

fn why_container_waits(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let hopeless = match reason {
        "ErrImageNeverPull" | "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => true,
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => true,
        "CrashLoopBackOff" => container.restart_count >= RESTARTS_FORGIVEN,
        _ => false,
    };
    hopeless.then(|| format!("has {reason}: {}", waiting.message.as_deref().unwrap_or("no message")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
    }

    fn waiting(reason: &str, restarts: i32) -> Pod {
        pod(json!({"containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
            "state": {"waiting": {"reason": reason, "message": "because"}},
        }]}))
    }

    #[test]
    fn an_image_that_is_not_there_ends_the_wait() {
        let why = why_not_started(&waiting("ErrImagePull", 0)).unwrap();
        assert_eq!(why, "pod p can't start: container c has ErrImagePull: because");
    }

    #[test]
    fn a_container_may_end_a_few_times_before_it_counts() {
        assert_eq!(why_not_started(&waiting("CrashLoopBackOff", 1)), None);
        assert!(why_not_started(&waiting("CrashLoopBackOff", 3)).is_some());
        assert_eq!(why_not_started(&waiting("ContainerCreating", 0)), None);
    }

    #[test]
    fn a_pod_is_ready_when_it_says_so() {
        assert!(is_ready(&pod(json!({"conditions": [{"type": "Ready", "status": "True"}]}))));
        assert!(!is_ready(&pod(json!({"conditions": [{"type": "Ready", "status": "False"}]}))));
        assert!(!is_ready(&Pod::default()));
    }
}
