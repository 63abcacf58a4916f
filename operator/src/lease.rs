//! Leader election: of several operators one reconciles, and holds a Lease while it does.
//!
//! The Lease is written on the condition of its resource version, so that of two who find it free one gets it. Whoever
//! holds it renews it; whoever waits judges by its own clock how long it has not been renewed, since clocks of hosts
//! differ. A holder that can't renew ends itself well before the others may take over. Source of the scheme:
//! client-go's leaderelection.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep, timeout};

/// After this time without being renewed a Lease is free.
const FREE_AFTER: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long ends: others can't have it as yet.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// How often a holder renews, and how often others look.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// A Lease that this process holds, or wants to.
pub struct Leadership {
    leases: Api<Lease>,
    name: String,
    identity: String,
}

/// The Lease was lost, or could not be renewed.
#[derive(Debug, thiserror::Error)]
#[error("the Lease {0} is held no longer: another operator leads, or the API server did not answer in time")]
pub struct Lost(String);

/// What a Lease looked like when it was first seen so.
struct Seen {
    version: Option<String>,
    at: Instant,
}

impl Leadership {
    /// One for the Lease of this name. `identity` names this process alone: two of the same would both lead.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Leadership {
        Leadership { leases: Api::namespaced(client, namespace), name: name.to_owned(), identity }
    }

    /// Waits until this process holds the Lease.
    pub async fn acquire(&self) {
        let mut seen: Option<Seen> = None;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(lease = self.name, %error, "the Lease can't be looked at"),
            }
            sleep(RENEW_EVERY).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Option<Seen>) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return won(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if seen.as_ref().is_none_or(|seen| seen.version != version) {
            *seen = Some(Seen { version, at: Instant::now() });
        }
        let is_renewed = seen.as_ref().is_some_and(|seen| seen.at.elapsed() < FREE_AFTER);
        if !holder.is_empty() && holder != self.identity && is_renewed {
            return Ok(false);
        }
        self.write(lease, &spec).await
    }

    /// Renews the Lease for as long as that succeeds.
    pub async fn hold(&self) -> Lost {
        let mut renewed = Instant::now();
        while renewed.elapsed() < GIVE_UP_AFTER {
            sleep(RENEW_EVERY).await;
            let left = GIVE_UP_AFTER.saturating_sub(renewed.elapsed());
            let began = Instant::now();
            match timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = began,
                Ok(Ok(false)) => break,
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "the Lease can't be renewed"),
                Err(_) => break,
            }
        }
        Lost(self.name.clone())
    }

    /// Whether it is still ours, and renewed.
    async fn renew(&self) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else { return Ok(false) };
        let spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(false);
        }
        self.write(lease, &spec).await
    }

    /// Lets others have the Lease at once. When this fails they have it later.
    pub async fn release(&self) {
        let release = async {
            let Some(mut lease) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = None;
                self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Ok(Err(error)) = timeout(RENEW_EVERY, release).await {
            tracing::debug!(lease = self.name, %error, "the Lease can't be released");
        }
    }

    async fn write(&self, mut lease: Lease, before: &LeaseSpec) -> Result<bool, kube::Error> {
        lease.spec = Some(self.spec(Some(before)));
        won(self.leases.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let held = before.filter(|before| before.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(FREE_AFTER.as_secs()).ok(),
            acquire_time: held.map_or_else(|| Some(now.clone()), |held| held.acquire_time.clone()),
            renew_time: Some(now),
            lease_transitions: Some(if held.is_some() { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }
}

/// Whether a write on a condition was taken.
fn won(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(answer)) if answer.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
