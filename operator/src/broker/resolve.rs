//! What is there of a Broker: reads only.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DynamicObject, ListParams};
use kube::{Client, ResourceExt};

use super::build::{Component, Plan};
use super::names::Names;
use super::pods::PodFacts;
use crate::apply::INSTANCE;
use crate::links::Links;

/// What is there of a Broker.
#[derive(Default)]
pub struct Live {
    /// The objects that were applied before, by kind and name.
    pub objects: BTreeMap<(String, String), DynamicObject>,
    /// The log servers' StatefulSet.
    pub log: Option<StatefulSet>,
    /// The brokers' StatefulSet.
    pub brokers: Option<StatefulSet>,
    /// The pods of both.
    pub pods: Vec<PodFacts>,
    /// The volumes of log servers.
    pub claims: Vec<PersistentVolumeClaim>,
    /// The cluster's storage classes, looked at when a claim waits for one.
    pub storage_classes: Option<Vec<StorageClass>>,
}

impl Live {
    /// Reads everything. The size that claims ask for has to be known before objects are built: see
    /// [`Live::claimed_size`].
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn read(client: &Client, names: &Names) -> Result<Live, kube::Error> {
        let ours = ListParams::default()
            .labels(&format!("app.kubernetes.io/name=millrace,{INSTANCE}={}", names.broker));
        let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &names.namespace);
        let pods: Api<Pod> = Api::namespaced(client.clone(), &names.namespace);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &names.namespace);
        let mut live = Live {
            log: sets.get_opt(&names.log()).await?,
            brokers: sets.get_opt(&names.brokers()).await?,
            pods: pods.list(&ours).await?.iter().filter_map(PodFacts::of).collect(),
            claims: claims.list(&ours).await?.items,
            ..Live::default()
        };
        live.pods.sort_by_key(|pod| (pod.component, pod.ordinal));
        live.claims.sort_by_key(ResourceExt::name_any);
        if live.claims.iter().any(is_waiting) {
            let classes: Api<StorageClass> = Api::all(client.clone());
            live.storage_classes = Some(classes.list(&ListParams::default()).await?.items);
        }
        Ok(live)
    }

    /// Asks the keepers of log servers that run and are not ready why.
    pub async fn ask(&mut self, links: &dyn Links) {
        let silent = |pod: &&mut PodFacts| {
            pod.component == Component::Log && !pod.ready && !pod.ending && pod.trouble.is_none()
        };
        for pod in self.pods.iter_mut().filter(silent) {
            if let Some(address) = pod.address {
                pod.said = links.why_not_ready(address).await;
            }
        }
    }

    /// Reads what stands under the names of the objects that are wanted.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn read_objects(&mut self, client: &Client, plan: &Plan<'_>) -> Result<(), kube::Error> {
        for wanted in plan.objects() {
            if let Some(object) = wanted.live(client).await? {
                self.objects.insert((wanted.kind().to_owned(), wanted.name().to_owned()), object);
            }
        }
        Ok(())
    }

    /// The size that the log StatefulSet's claims ask for.
    pub fn claimed_size(&self) -> Option<String> {
        let spec = self.log.as_ref()?.spec.as_ref()?;
        let claim = spec.volume_claim_templates.as_ref()?.first()?.spec.as_ref()?;
        let size = claim.resources.as_ref()?.requests.as_ref()?.get("storage")?;
        Some(size.0.clone())
    }

    /// The pods of a component.
    pub fn pods_of(&self, component: Component) -> impl Iterator<Item = &PodFacts> {
        self.pods.iter().filter(move |pod| pod.component == component)
    }

    /// The revision that pods of a component should have, once Kubernetes has seen the StatefulSet as it is now.
    pub fn revision(&self, component: Component) -> Option<&str> {
        let set = match component {
            Component::Log => self.log.as_ref(),
            Component::Broker => self.brokers.as_ref(),
        }?;
        let status = set.status.as_ref()?;
        if status.observed_generation < set.metadata.generation {
            return None;
        }
        status.update_revision.as_deref()
    }
}

/// Whether a claim has no volume.
pub fn is_waiting(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending")
}
