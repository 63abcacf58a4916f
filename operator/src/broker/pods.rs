//! What a pod's status says, in the words that decisions need.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::build::Component;

/// What a pod's status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What it is part of.
    pub component: Component,
    /// Its number.
    pub ordinal: i32,
    /// The revision of its StatefulSet that it was made of.
    pub revision: String,
    /// Whether it serves.
    pub ready: bool,
    /// Whether it is on its way out.
    pub ending: bool,
    /// Where it is reached, once it is.
    pub address: Option<IpAddr>,
    /// What keeps it from serving, if its status says so.
    pub trouble: Option<Trouble>,
    /// Whether its containers are yet to be made, as while a volume of it can't be mounted.
    pub waits_for_volumes: bool,
    /// What its keeper says of that, if it was asked.
    pub said: Option<String>,
}

/// What keeps a pod from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its image can't be had.
    Image {
        /// Which.
        image: String,
        /// What the kubelet says.
        why: String,
    },
    /// A container ends again and again.
    Crash {
        /// Which.
        container: String,
        /// How it ended.
        why: String,
    },
    /// A container can't be made, as when a Secret is missing.
    Container {
        /// What the kubelet says.
        why: String,
    },
    /// No node takes it.
    Unschedulable {
        /// What the scheduler says.
        why: String,
    },
}

impl PodFacts {
    /// What a pod of ours says; `None` for a pod that is none of a component.
    pub fn of(pod: &Pod) -> Option<PodFacts> {
        let component = match pod.labels().get("app.kubernetes.io/component")?.as_str() {
            "log" => Component::Log,
            "broker" => Component::Broker,
            _ => return None,
        };
        let name = pod.name_any();
        let status = pod.status.as_ref();
        let condition = |type_: &str| {
            let conditions = status.and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().find(|condition| condition.type_ == type_)
        };
        let containers = status.and_then(|status| status.container_statuses.as_ref());
        let is_creating = |container: &ContainerStatus| {
            let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
            waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("ContainerCreating"))
        };
        let unschedulable = condition("PodScheduled").filter(|scheduled| scheduled.status == "False");
        let trouble = containers.into_iter().flatten().find_map(trouble).or_else(|| {
            unschedulable.map(|scheduled| Trouble::Unschedulable {
                why: scheduled.message.clone().unwrap_or_else(|| "no reason is given".to_owned()),
            })
        });
        Some(PodFacts {
            ordinal: name.rsplit_once('-')?.1.parse().ok()?,
            uid: pod.uid().unwrap_or_default(),
            component,
            revision: pod.labels().get("controller-revision-hash").cloned().unwrap_or_default(),
            ready: condition("Ready").is_some_and(|ready| ready.status == "True"),
            ending: pod.metadata.deletion_timestamp.is_some(),
            address: status.and_then(|status| status.pod_ip.as_deref()?.parse().ok()),
            trouble,
            waits_for_volumes: containers.into_iter().flatten().any(is_creating),
            said: None,
            name,
        })
    }
}

/// What keeps a container from serving.
fn trouble(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let why = waiting.message.clone().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            Some(Trouble::Image { image: container.image.clone(), why })
        }
        "CrashLoopBackOff" => {
            let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let why = match last {
                Some(end) => match end.message.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
                    Some(text) => format!("exit code {}: {text}", end.exit_code),
                    None => format!(
                        "exit code {}{}",
                        end.exit_code,
                        end.reason.as_deref().map_or_else(String::new, |reason| format!(", {reason}"))
                    ),
                },
                None => why,
            };
            Some(Trouble::Crash { container: container.name.clone(), why })
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(Trouble::Container { why })
        }
        _ => None,
    }
}
