//! Carrying out what a Broker needs: writes only.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use millrace_crds::broker::CertificateStatus;
use serde_json::json;

use super::build::{Component, Plan, root_access_key};
use super::certificates::{Certificates, certificates};
use super::pods::PodFacts;
use super::report::Problem;
use super::resolve::Live;
use super::roll::{self, Next};
use super::{Error, doing};
use crate::apply::{Desired, FIELD_MANAGER, amount, may_take};
use crate::context::Context;
use crate::events::Tale;
use crate::links::LinkPlan;

/// What a round has done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) problem: Option<Problem>,
    pub(super) certificates: Option<CertificateStatus>,
    pub(super) tales: Vec<Tale>,
    pub(super) look_again: bool,
}

/// Carries out one round. A crash between any two steps leaves what was done, which the next round finds:
/// certificates and objects are what they are derived from, however often they are applied; the first access key is
/// created and never written again; a volume that has grown asks for no growth; a pod that was replaced has the
/// newest revision.
pub(super) async fn apply(context: &Context, plan: &Plan<'_>, live: &Live) -> Result<Done, Error> {
    let mut done = Done::default();
    if let Some(problem) = taken_name(plan, live) {
        done.problem = Some(problem);
        return Ok(done);
    }
    let certificates = certificates(plan, context)?;
    let all_ready = !live.pods.is_empty() && live.pods.iter().all(|pod| pod.ready);
    put_secrets(context, plan, &certificates, all_ready, &mut done).await?;
    for wanted in plan.objects() {
        let there = live.objects.get(&(wanted.kind().to_owned(), wanted.name().to_owned()));
        if there.is_some_and(|there| wanted.is_applied(there)) {
            continue;
        }
        match wanted.apply(&context.client).await {
            Ok(_) => {}
            // Trying again would not help. What comes after it may need it, and waits.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 400 | 403 | 422) => {
                done.problem = Some(refused(&wanted, &answer.message));
                break;
            }
            Err(error) => {
                let what = format!("applying {} {}", wanted.kind(), wanted.name());
                return Err(doing(what)(error));
            }
        }
    }
    let log = &plan.broker.spec.log;
    context.links.ensure(
        &plan.names,
        LinkPlan {
            urls: plan.names.nats_urls(log.servers),
            replicas: u8::try_from(log.replicas).unwrap_or(1),
            identity: Arc::new(certificates.operator),
        },
    );
    grow(&context.client, plan, live, &mut done).await?;
    replace(context, plan, live, &mut done).await?;
    Ok(done)
}

/// What is said of an object that the API server does not take.
fn refused(wanted: &Desired, why: &str) -> Problem {
    let (kind, name) = (wanted.kind(), wanted.name());
    Problem {
        reason: "ObjectRefused",
        message: format!(
            "{kind} {name} is refused: {}. Correct what it names in this Broker's spec, or let the cluster allow it.",
            why.trim_end_matches('.')
        ),
    }
}

/// An object under one of our names that is somebody else's.
fn taken_name(plan: &Plan<'_>, live: &Live) -> Option<Problem> {
    let uid = plan.broker.metadata.uid.as_deref().unwrap_or_default();
    let taken = live.objects.iter().find(|(_, there)| !may_take(there, uid, &plan.names.broker));
    taken.map(|((kind, name), _)| Problem {
        reason: "NameTaken",
        message: format!(
            "{kind} {name} exists and is not this Broker's: remove it, or give the Broker another name."
        ),
    })
}

/// Secrets are written and never read. What was put there stands in the status; when pods do not come up, or a new
/// one comes, it may be for want of a Secret, and they are put there again, which changes nothing if they are there.
async fn put_secrets(
    context: &Context,
    plan: &Plan<'_>,
    certificates: &Certificates,
    all_ready: bool,
    done: &mut Done,
) -> Result<(), Error> {
    let before = plan.broker.status.as_ref().and_then(|status| status.certificates.as_ref());
    let is_new = before != Some(&certificates.status);
    if is_new || !all_ready {
        for secret in &certificates.secrets {
            secret
                .apply(&context.client)
                .await
                .map_err(doing(format!("applying Secret {}", secret.name())))?;
        }
    }
    if is_new && before.is_some_and(|before| before.digest != certificates.status.digest) {
        let note =
            format!("Certificates are replaced; the new ones end at {}.", certificates.status.expire_at.0);
        done.tales.push(Tale::normal("CertificatesReplaced", note));
    }
    done.certificates = Some(certificates.status.clone());
    let key = super::key(plan.broker);
    let seen_to = context.keys_made.lock().contains(&key);
    if !(seen_to && all_ready) {
        let mut random = [0; 36];
        for part in random.chunks_mut(8) {
            let bytes = context.clock.random().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        let secret = root_access_key(&plan.names, plan.labels(Some(Component::Broker)), &random);
        let secret: Secret = serde_json::from_value(secret).expect("a Secret has these fields");
        let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &plan.names.namespace);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match secrets.create(&params, &secret).await {
            Ok(_) => done.tales.push(Tale::normal(
                "AccessKeyMade",
                format!("Secret {} holds the first access key.", plan.names.root_access_key()),
            )),
            // It was made before.
            Err(kube::Error::Api(answer)) if answer.code == 409 => {}
            Err(error) => return Err(doing("creating the first access key")(error)),
        }
        context.keys_made.lock().insert(key);
    }
    Ok(())
}

/// Lets volumes grow to what the spec says.
async fn grow(client: &Client, plan: &Plan<'_>, live: &Live, done: &mut Done) -> Result<(), Error> {
    let wanted = plan.broker.spec.log.storage.size.as_str();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &plan.names.namespace);
    for claim in &live.claims {
        let spec = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        let asked = spec.and_then(|resources| resources.requests.as_ref()?.get("storage"));
        let Some(asked) = asked else { continue };
        let is_larger = amount(wanted).zip(amount(&asked.0)).is_some_and(|(wanted, asked)| wanted > asked);
        if !is_larger || super::resolve::is_waiting(claim) {
            continue;
        }
        let name = claim.name_any();
        let patch = json!({"spec": {"resources": {"requests": {"storage": wanted}}}});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match claims.patch(&name, &params, &Patch::Merge(patch)).await {
            Ok(_) => {
                let note = format!("Volume {name} grows from {} to {wanted}.", asked.0);
                done.tales.push(Tale::normal("VolumeGrows", note));
            }
            // The class does not let volumes grow, or the namespace's quota does not.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 403 | 422) => {
                done.problem.get_or_insert(Problem {
                    reason: "VolumeCantGrow",
                    message: format!(
                        "Volume {name} can't grow to {wanted}: {}. Let its storage class allow it \
                         (allowVolumeExpansion: true), or make another Broker.",
                        answer.message
                    ),
                });
                return Ok(());
            }
            Err(error) => return Err(doing(format!("letting volume {name} grow"))(error)),
        }
    }
    Ok(())
}

/// Replaces the next pod that is out of date, if now is the time.
async fn replace(context: &Context, plan: &Plan<'_>, live: &Live, done: &mut Done) -> Result<(), Error> {
    let spec = &plan.broker.spec;
    let pod = match roll::next(live, spec.log.servers, spec.replicas) {
        Next::Wait => return Ok(()),
        Next::ReplaceBroken(pod) => pod,
        Next::ReplaceServing(pod) => {
            done.look_again = true;
            let Some(link) = context.links.get(&plan.names) else { return Ok(()) };
            if let Err(error) = link.commit().await {
                tracing::info!(pod = pod.name, %error, "a pod is not replaced while the log stores nothing");
                return Ok(());
            }
            pod
        }
    };
    delete(&context.client, plan, &pod).await?;
    let note = format!("Pod {} is replaced: it is to run a newer version or configuration.", pod.name);
    done.tales.push(Tale::normal("PodReplaced", note));
    Ok(())
}

/// Removes this pod and no other of its name, which may be the new one already.
async fn delete(client: &Client, plan: &Plan<'_>, pod: &PodFacts) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &plan.names.namespace);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(pod.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    match pods.delete(&pod.name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        Err(error) => Err(doing(format!("replacing pod {}", pod.name))(error)),
    }
}
