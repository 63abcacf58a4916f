//! Requests as their callers make them, and AWS' signature on them.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as SignerCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use http::Request;
use http::request::Parts;
use millrace_server::sigv4::{AccessKey, AuthError, Credentials, Identity, MAX_SKEW_MS, Verifier};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const NOW_MS: i64 = 1_440_938_160_000;

/// Where the credentials stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    /// A presigned request, good for so many seconds.
    Query(u64),
}

/// A request before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) method: &'static str,
    pub(crate) path_and_query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) region: &'static str,
    pub(crate) token: Option<String>,
    /// Whether the hash of the body stands in a header too.
    pub(crate) hash_header: bool,
    pub(crate) place: Place,
    pub(crate) signed_ms: i64,
}

impl Draft {
    pub(crate) fn plain() -> Draft {
        Draft {
            method: "POST",
            path_and_query: "/".into(),
            headers: vec![
                ("host".into(), "127.0.0.1:4566".into()),
                ("content-type".into(), "application/x-amz-json-1.1".into()),
                ("x-amz-target".into(), "Kinesis_20131202.ListStreams".into()),
            ],
            body: b"{}".to_vec(),
            region: "us-east-1",
            token: None,
            hash_header: true,
            place: Place::Header,
            signed_ms: NOW_MS,
        }
    }

    pub(crate) fn presigned() -> Draft {
        Draft { hash_header: false, place: Place::Query(900), ..Draft::plain() }
    }

    /// Any request that a client may send, within what it takes of signed times.
    pub(crate) fn random(seed: u64) -> Draft {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut draft = Draft::plain();
        draft.method = ["POST", "GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"].choose(rng).unwrap();
        for _ in 0..rng.random_range(0..5) {
            let odd = ["", "", "%20", "%2F", "%25", "%c3%a4", "!", "(", "$", ":", "@", "+", "*", "~"];
            let segment = match rng.random_range(0..8) {
                0 => ".".to_owned(),
                1 => "..".to_owned(),
                2 => String::new(),
                _ => format!("{}{}", text(rng, "abcXYZ019-._~", 8), odd.choose(rng).unwrap()),
            };
            draft.path_and_query += &format!("{segment}/");
        }
        draft.path_and_query += &text(rng, "abc.", 3);
        let mut start = '?';
        for _ in 0..rng.random_range(0..5) {
            // Names come more than once; some have no value, and some are nothing at all.
            let name = ["q", "Q", "", "q%20", "x-amz-", "%C3%A4"].choose(rng).unwrap();
            let odd = ["", "%20", "%2f", "%3D", "%C3%A4", "+", "=", ":", "/", "?", "%", "%4", "!*'()"];
            let (value, odd) = (text(rng, "abc019-._~", 8), odd.choose(rng).unwrap());
            let equals = if rng.random_bool(0.9) { "=" } else { "" };
            draft.path_and_query += &format!("{start}{name}{}{equals}{value}{odd}", text(rng, "ab", 2));
            start = '&';
        }
        for _ in 0..rng.random_range(0..5) {
            let name = ["x-amz-meta", "x-other", "accept", "content-length", "range"].choose(rng).unwrap();
            let value = text(rng, "abc XYZ   019;,=\"/\\%+", 24);
            draft.headers.push(((*name).into(), value));
        }
        draft.body = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
        draft.region = ["us-east-1", "eu-central-1", "local"].choose(rng).unwrap();
        draft.token = rng.random_bool(0.3).then(|| format!("token{}", text(rng, "abc/+=019", 40)));
        draft.hash_header = rng.random_bool(0.5);
        let expires_s = rng.random_range(1..=604_800);
        draft.place = if rng.random_bool(0.5) { Place::Header } else { Place::Query(expires_s) };
        let good_for_ms = match draft.place {
            Place::Header => MAX_SKEW_MS,
            Place::Query(expires_s) => MAX_SKEW_MS.min(expires_s as i64 * 1_000),
        };
        draft.signed_ms = NOW_MS + rng.random_range(-good_for_ms / 1_000..=MAX_SKEW_MS / 1_000) * 1_000;
        draft
    }

    /// The request with AWS' signature on it.
    pub(crate) fn sign(&self) -> (Parts, Vec<u8>) {
        let mut settings = SigningSettings::default();
        let mut headers = self.headers.clone();
        match self.place {
            Place::Header if self.hash_header => {
                settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            }
            Place::Header => {}
            Place::Query(expires_s) => {
                settings.signature_location = SignatureLocation::QueryParams;
                settings.expires_in = Some(Duration::from_secs(expires_s));
                if self.hash_header {
                    headers.push(("x-amz-content-sha256".into(), hex::encode(Sha256::digest(&self.body))));
                }
            }
        }
        let mut signed = Request::builder().method(self.method).uri(self.path_and_query.as_str());
        for (name, value) in &headers {
            signed = signed.header(name, value);
        }
        let mut signed = signed.body(()).unwrap();
        let instructions = self.instructions(&headers, settings);
        instructions.apply_to_request_http1x(&mut signed);
        (signed.into_parts().0, self.body.clone())
    }

    fn instructions(
        &self,
        headers: &[(String, String)],
        settings: SigningSettings,
    ) -> aws_sigv4::http_request::SigningInstructions {
        let identity = SignerCredentials::new(KEY_ID, SECRET, self.token.clone(), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("kinesis")
            .time(UNIX_EPOCH + Duration::from_millis(self.signed_ms as u64))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("http://127.0.0.1:4566{}", self.path_and_query);
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(&self.body);
        let request = SignableRequest::new(self.method, uri, headers, body).unwrap();
        sign(request, &params).unwrap().into_parts().0
    }
}

fn text(rng: &mut StdRng, letters: &str, most: usize) -> String {
    let letters: Vec<char> = letters.chars().collect();
    (0..rng.random_range(0..=most)).map(|_| *letters.choose(rng).unwrap()).collect()
}

/// What AWS' signer makes of a whole request, its credentials taken for headers and parameters like any others: two
/// requests have one fingerprint if normalisation makes them the same. `None` for what the signer can't read.
pub(crate) fn fingerprint(head: &Parts) -> Option<String> {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some((format!("of-{name}"), value.to_str().ok()?.to_owned()))
    };
    let headers: Option<Vec<(String, String)>> = head.headers.iter().map(header).collect();
    let headers = headers?;
    let identity = SignerCredentials::new(KEY_ID, SECRET, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("any")
        .name("any")
        .time(UNIX_EPOCH)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = format!("http://127.0.0.1:4566{}", head.uri);
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new(head.method.as_str(), uri, headers, SignableBody::Bytes(b"")).ok()?;
    Some(sign(request, &params).ok()?.signature().to_owned())
}

pub(crate) fn known() -> Verifier {
    let key = AccessKey { secret: SECRET.into(), namespace: "team-a".into() };
    Verifier::new(Credentials::Known(HashMap::from([(KEY_ID.to_owned(), key)])))
}

pub(crate) fn verify(verifier: &Verifier, head: &Parts, body: &[u8]) -> Result<Identity, AuthError> {
    verifier.begin(head, "kinesis", NOW_MS)?.finish(head, body)
}

pub(crate) fn refusal(head: &Parts, body: &[u8]) -> AuthError {
    verify(&known(), head, body).unwrap_err()
}
