//! The certificates of a Broker: derived anew each time, and put into Secrets when they are due.

use base64_simd::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use millrace_certificates::{Authority, Epoch, IssueError, Names, Pem, Role};
use millrace_crds::broker::CertificateStatus;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::build::{Component, Plan};
use crate::apply::Desired;
use crate::context::Context;

/// The name that brokers have for each other, whatever their addresses are.
const BROKERS: &str = "brokers.millrace.internal";
/// The operator's name, as a client of log servers.
const OPERATOR: &str = "operator.millrace.internal";

/// The certificates of a Broker at one time.
pub struct Certificates {
    /// The Secrets that hold them.
    pub secrets: Vec<Desired>,
    /// The operator's own.
    pub operator: Pem,
    /// What is said of them.
    pub status: CertificateStatus,
}

/// Derives them. The same seed, Broker and time give the same bytes, so that nothing needs to be read back.
///
/// # Errors
/// When a name can't stand in a certificate.
pub fn certificates(plan: &Plan<'_>, context: &Context) -> Result<Certificates, IssueError> {
    let names = &plan.names;
    let now_s = u64::try_from(context.clock.now_ms() / 1_000).unwrap_or(0);
    let epoch = Epoch::at(now_s, context.settings.rotate_certificates_every);
    let authority = Authority::of(&context.seed, &names.namespace, &names.broker);
    let of_log = Names { dns: names.log_dns_names(&context.settings), ips: vec![[127, 0, 0, 1].into()] };
    let log = authority.issue(Role::Log, &of_log, epoch)?;
    let broker = authority.issue(Role::Broker, &name(BROKERS), epoch)?;
    let operator = authority.issue(Role::Operator, &name(OPERATOR), epoch)?;
    let secret = |name: String, component, pem: &Pem| {
        let object = json!({
            "metadata": plan.metadata(&name, Some(component)),
            "type": "kubernetes.io/tls",
            "data": data(pem),
        });
        Desired::new("", "v1", "Secret", object)
    };
    let secrets = vec![
        secret(names.log_tls(), Component::Log, &log),
        secret(names.broker_tls(), Component::Broker, &broker),
    ];
    let mut digest = Sha256::new();
    for pem in [&log, &broker] {
        digest.update(&pem.cert);
        digest.update(&pem.ca);
    }
    let mut digest = hex::encode(digest.finalize());
    digest.truncate(16);
    let at = |second: u64| {
        let second = i64::try_from(second).unwrap_or(i64::MAX);
        Time(Timestamp::from_second(second).unwrap_or(Timestamp::MAX))
    };
    let status =
        CertificateStatus { digest, renew_at: at(epoch.next_rotation()), expire_at: at(epoch.not_after()) };
    Ok(Certificates { secrets, operator, status })
}

fn name(dns: &str) -> Names {
    Names { dns: vec![dns.to_owned()], ips: Vec::new() }
}

fn data(pem: &Pem) -> Value {
    let encode = |text: &String| STANDARD.encode_to_string(text.as_bytes());
    json!({"tls.crt": encode(&pem.cert), "tls.key": encode(&pem.key), "ca.crt": encode(&pem.ca)})
}
