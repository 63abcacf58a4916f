//! The chart, rendered by Helm over several sets of values.

mod monitoring;
mod objects;
mod people;
mod pods;
mod rights;
mod values;

/// Sets of values that together take every branch of the templates.
const VALUES: [&[&str]; 4] = [
    &[],
    &["watchNamespaces={shop,sensors}", "replicas=2"],
    &[
        "watchNamespaces={millrace-system}",
        "rbac.storageClasses=false",
        "rbac.aggregate=false",
        "crds.install=false",
    ],
    &[
        "metrics.enabled=true",
        "serviceMonitor.enabled=true",
        "serviceMonitor.labels.release=prometheus",
        "prometheusRule.enabled=true",
        "prometheusRule.labels.release=prometheus",
        "dashboard.enabled=true",
        "replicas=3",
        "image.pullSecrets={registry}",
        "priorityClassName=system-cluster-critical",
        "nodeSelector.disk=fast",
        "podAnnotations.team=streams",
        "podLabels.team=streams",
        "serviceAccount.annotations.team=streams",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=monitoring",
        "brokerImage=registry.example/millrace:1",
    ],
];
