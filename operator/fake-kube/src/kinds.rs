//! The resources that the fake serves.

use std::sync::LazyLock;

use millrace_crds::definitions;

/// One resource of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version in that group, such as `v1`.
    pub version: String,
    /// The resource's name in paths, such as `pods`.
    pub plural: String,
    /// What objects carry as `kind`.
    pub kind: String,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether it has a `/status` subresource.
    pub status: bool,
    /// Whether `metadata.generation` counts changes of it.
    pub generation: bool,
    /// Whether a CustomResourceDefinition of Millrace defines it.
    pub custom: bool,
}

impl Kind {
    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `plural.group`, as messages of the API name it; the bare plural in the core group.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// Group, version, plural, kind, then letters: n = namespaced, s = has a status, g = counts generations.
const BUILT_IN: [(&str, &str, &str, &str, &str); 23] = [
    ("", "v1", "namespaces", "Namespace", "s"),
    ("", "v1", "nodes", "Node", "s"),
    ("", "v1", "pods", "Pod", "nsg"),
    ("", "v1", "services", "Service", "ns"),
    ("", "v1", "configmaps", "ConfigMap", "n"),
    ("", "v1", "secrets", "Secret", "n"),
    ("", "v1", "serviceaccounts", "ServiceAccount", "n"),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", "ns"),
    ("", "v1", "persistentvolumes", "PersistentVolume", "s"),
    ("", "v1", "events", "Event", "n"),
    ("events.k8s.io", "v1", "events", "Event", "n"),
    ("apps", "v1", "statefulsets", "StatefulSet", "nsg"),
    ("apps", "v1", "deployments", "Deployment", "nsg"),
    ("apps", "v1", "controllerrevisions", "ControllerRevision", "n"),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "nsg"),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "ng"),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", "n"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", "n"),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", ""),
    ("coordination.k8s.io", "v1", "leases", "Lease", "n"),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "ng"),
    ("storage.k8s.io", "v1", "storageclasses", "StorageClass", ""),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", "sg"),
];

/// The built-in resources and Millrace's own.
pub(crate) fn known() -> Vec<Kind> {
    // To define ours takes longer than many a test.
    static KNOWN: LazyLock<Vec<Kind>> = LazyLock::new(define);
    KNOWN.clone()
}

fn define() -> Vec<Kind> {
    let built_in = BUILT_IN.into_iter().map(|(group, version, plural, kind, letters)| Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        kind: kind.to_owned(),
        namespaced: letters.contains('n'),
        status: letters.contains('s'),
        generation: letters.contains('g'),
        custom: false,
    });
    let ours = definitions().into_iter().map(|definition| Kind {
        group: definition.spec.group,
        version: millrace_crds::VERSION.to_owned(),
        plural: definition.spec.names.plural,
        kind: definition.spec.names.kind,
        namespaced: true,
        status: true,
        generation: true,
        custom: true,
    });
    built_in.chain(ours).collect()
}
