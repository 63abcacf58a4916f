//! One Broker's certificate authority, and what it issues.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

use crate::{Epoch, Seed, derive};

/// The last second of the year 9999, which is as far as a certificate can go.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The Broker's nats-servers.
    Log,
    /// Its brokers.
    Broker,
    /// The operator, as a client of its nats-servers.
    Operator,
}

impl Role {
    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Log => "log",
            Role::Broker => "broker",
            Role::Operator => "operator",
        }
    }
}

/// Under which names a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names; `*.` at the beginning stands for any one label.
    pub dns: Vec<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
}

/// A certificate with its key, and the authority's certificate; each in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// The authority's certificate.
    pub ca: String,
}

/// Leaves the key out: what is debugged ends up in logs.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("cert", &self.cert).field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// A certificate that can't be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate can be issued for the DNS name {name:?}: {reason}")]
pub struct IssueError {
    /// The name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One Broker's certificate authority.
pub struct Authority {
    seed: Seed,
    namespace: String,
    broker: String,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Authority { namespace, broker, .. } = self;
        f.debug_struct("Authority")
            .field("namespace", namespace)
            .field("broker", broker)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority of this Broker. The same seed and names always give the same one.
    pub fn of(seed: &Seed, namespace: &str, broker: &str) -> Authority {
        let context = |what: &'static str| [what.as_bytes(), namespace.as_bytes(), broker.as_bytes()];
        let key = key_pair(derive::key(seed, &context("authority key")));
        let serial = derive::serial(seed, &context("authority serial"));
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2124, 1, 1);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        // Names of Kubernetes may be longer than a common name: a part of the serial number tells
        // authorities apart, their keys keep them apart.
        params.distinguished_name = common_name(&format!("millrace authority {}", hex::encode(&serial[..8])));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&key).expect("an Ed25519 key signs anything").pem();
        Authority {
            seed: seed.clone(),
            namespace: namespace.to_owned(),
            broker: broker.to_owned(),
            issuer: Issuer::new(params, key),
            ca,
        }
    }

    /// The authority's certificate in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The certificate of a role in an epoch, good for servers and clients. The same input always gives the
    /// same bytes.
    ///
    /// # Errors
    /// When a DNS name has characters outside of ASCII.
    pub fn issue(&self, role: Role, names: &Names, epoch: Epoch) -> Result<Pem, IssueError> {
        let (start, period) = (epoch.start_s.to_be_bytes(), epoch.period_s.to_be_bytes());
        let mut context: Vec<&[u8]> = vec![
            b"key",
            self.namespace.as_bytes(),
            self.broker.as_bytes(),
            role.as_str().as_bytes(),
            &start,
            &period,
        ];
        let key = key_pair(derive::key(&self.seed, &context));
        // Two certificates of one authority must not share a serial number, so the names count as well.
        context[0] = b"serial";
        let ips: Vec<String> = names.ips.iter().map(IpAddr::to_string).collect();
        context.extend(names.dns.iter().map(String::as_bytes));
        context.push(b"addresses");
        context.extend(ips.iter().map(String::as_bytes));
        let serial = derive::serial(&self.seed, &context);
        let at = |s: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(s.min(LAST_SECOND));
        let mut params = CertificateParams::default();
        params.not_before = at(epoch.not_before());
        params.not_after = at(epoch.not_after());
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.subject_alt_names = alternative_names(names)?;
        params.distinguished_name = common_name(&format!("millrace {}", role.as_str()));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer).expect("an Ed25519 key signs anything").pem();
        Ok(Pem { cert, key: key.serialize_pem(), ca: self.ca.clone() })
    }
}

fn key_pair(pkcs8: Vec<u8>) -> KeyPair {
    KeyPair::try_from(pkcs8).expect("any 32 bytes are an Ed25519 key")
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn alternative_names(names: &Names) -> Result<Vec<SanType>, IssueError> {
    let dns = names.dns.iter().map(|name| {
        let failed = |error: rcgen::Error| IssueError { name: name.clone(), reason: error.to_string() };
        name.as_str().try_into().map(SanType::DnsName).map_err(failed)
    });
    dns.chain(names.ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)))).collect()
}

#[cfg(test)]
mod tests;
