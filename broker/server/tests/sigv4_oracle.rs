//! The signature verifier against AWS' own signer (the crate `aws-sigv4`): what it signs is taken, and what was
//! changed after signing is not.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as SignerCredentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use millrace_server::sigv4::{AccessKey, AuthError, Credentials, Identity, MAX_SKEW_MS, Verifier};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW_MS: i64 = 1_440_938_160_000;

/// A request as its caller makes it.
#[derive(Clone, Debug)]
struct Draft {
    method: &'static str,
    path_and_query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    region: &'static str,
    token: Option<String>,
    hash_header: bool,
    signed_ms: i64,
}

impl Draft {
    fn plain() -> Draft {
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
            signed_ms: NOW_MS,
        }
    }

    fn random(rng: &mut StdRng) -> Draft {
        let pick = |rng: &mut StdRng, letters: &str, most: usize| -> String {
            let letters: Vec<char> = letters.chars().collect();
            let length = rng.random_range(0..=most);
            (0..length).map(|_| *letters.choose(rng).unwrap()).collect()
        };
        let mut draft = Draft::plain();
        draft.method = ["POST", "GET", "PUT"].choose(rng).unwrap();
        let segments = rng.random_range(0..4);
        for _ in 0..segments {
            let segment = pick(rng, "abcXYZ019-._~", 8);
            let encoded = ["", "%20", "%2F", "%25", "!", "(", "$", ":", "@"].choose(rng).unwrap();
            draft.path_and_query += &format!("{segment}{encoded}/");
        }
        let parameters = rng.random_range(0..4);
        for index in 0..parameters {
            let (name, value) = (pick(rng, "abcXYZ019-._~", 5), pick(rng, "abc019-._~", 8));
            let encoded = ["", "%20", "%2f", "%3D", "%C3%A4"].choose(rng).unwrap();
            let start = if index == 0 { '?' } else { '&' };
            draft.path_and_query += &format!("{start}q{name}={value}{encoded}");
        }
        for index in 0..rng.random_range(0..4) {
            let prefix = ["x-amz-meta", "x-other", "accept"].choose(rng).unwrap();
            let value = format!("a{}", pick(rng, "abc XYZ   019;,=\"/", 24));
            draft.headers.push((format!("{prefix}-{index}"), value));
        }
        draft.body = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
        draft.region = ["us-east-1", "eu-central-1", "local"].choose(rng).unwrap();
        draft.token = rng.random_bool(0.3).then(|| format!("token{}", pick(rng, "abc/+=019", 40)));
        draft.hash_header = rng.random_bool(0.5);
        draft.signed_ms = NOW_MS + rng.random_range(-MAX_SKEW_MS / 1_000..MAX_SKEW_MS / 1_000) * 1_000;
        draft
    }

    /// The request with AWS' signature on it.
    fn sign(&self) -> (Parts, Vec<u8>) {
        let identity = SignerCredentials::new(KEY_ID, SECRET, self.token.clone(), None, "test").into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = match self.hash_header {
            true => PayloadChecksumKind::XAmzSha256,
            false => PayloadChecksumKind::NoHeader,
        };
        let time = UNIX_EPOCH + Duration::from_millis(self.signed_ms as u64);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("kinesis")
            .time(time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("http://127.0.0.1:4566{}", self.path_and_query);
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request =
            SignableRequest::new(self.method, uri, headers, SignableBody::Bytes(&self.body)).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let mut signed = Request::builder().method(self.method).uri(self.path_and_query.as_str());
        for (name, value) in &self.headers {
            signed = signed.header(name, value);
        }
        let mut signed = signed.body(()).unwrap();
        instructions.apply_to_request_http1x(&mut signed);
        (signed.into_parts().0, self.body.clone())
    }
}

fn known() -> Verifier {
    let key = AccessKey { secret: SECRET.into(), namespace: "team-a".into() };
    Verifier::new(Credentials::Known(HashMap::from([(KEY_ID.to_owned(), key)])))
}

fn verify(verifier: &Verifier, head: &Parts, body: &[u8]) -> Result<Identity, AuthError> {
    verifier.begin(head, "kinesis", NOW_MS)?.finish(head, body)
}

fn refusal(head: &Parts, body: &[u8]) -> AuthError {
    verify(&known(), head, body).unwrap_err()
}

#[test]
fn what_aws_signs_is_taken() {
    let verifier = known();
    for seed in 0..10_000 {
        let draft = Draft::random(&mut StdRng::seed_from_u64(seed));
        let (head, body) = draft.sign();
        let identity =
            verify(&verifier, &head, &body).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{head:?}"));
        assert_eq!(identity.region, draft.region, "seed {seed}");
        assert_eq!((&*identity.namespace, identity.access_key_id.as_str()), ("team-a", KEY_ID));
    }
}

/// What of a request may differ without being another request: spaces in values, dots and slashes in paths, and
/// the digits of what is percent-encoded.
fn normal(head: &Parts) -> String {
    let mut headers: Vec<String> = head
        .headers
        .iter()
        .map(|(name, value)| {
            let words: Vec<String> = value
                .as_bytes()
                .split(|b| *b == b' ')
                .filter(|word| !word.is_empty())
                .map(hex::encode)
                .collect();
            format!("{name}:{}", words.join(" "))
        })
        .collect();
    headers.sort();
    format!("{} {} {headers:?}", head.method, head.uri)
}

#[test]
fn a_flipped_bit_in_a_header_is_refused() {
    let verifier = known();
    let mut flips = 0;
    for seed in 0..12 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (head, body) = Draft { path_and_query: "/".into(), ..Draft::random(rng) }.sign();
        let names: Vec<HeaderName> = head.headers.keys().cloned().collect();
        for name in names {
            let value = head.headers[&name].as_bytes().to_vec();
            for bit in 0..value.len() * 8 {
                let mut changed = value.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
                let mut other = head.clone();
                other.headers.insert(&name, changed);
                if normal(&other) == normal(&head) {
                    continue;
                }
                flips += 1;
                let outcome = verify(&verifier, &other, &body);
                assert!(outcome.is_err(), "seed {seed}, header {name}, bit {bit}: {other:?}");
            }
        }
    }
    assert!(flips > 20_000, "only {flips} changes were tried");
}

#[test]
fn a_flipped_bit_in_the_body_is_refused() {
    let verifier = known();
    for seed in 0..50 {
        let (head, body) = Draft::random(&mut StdRng::seed_from_u64(seed)).sign();
        for bit in 0..body.len() * 8 {
            let mut changed = body.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&verifier, &head, &changed).is_err(), "seed {seed}, bit {bit}");
        }
        assert!(verify(&verifier, &head, &[body.as_slice(), b" "].concat()).is_err());
    }
}

#[test]
fn another_method_path_or_query_is_refused() {
    let mut draft = Draft::plain();
    draft.path_and_query = "/a/b?x=1&y=2".into();
    let (head, body) = draft.sign();
    let with_uri = |uri: &str| {
        let mut other = head.clone();
        other.uri = uri.parse().unwrap();
        other
    };
    // The order of parameters and empty segments are normalised.
    assert!(verify(&known(), &with_uri("/a//b?y=2&x=1"), &body).is_ok());
    for uri in ["/a/c?x=1&y=2", "/a/b?x=1", "/a/b?x=1&y=3", "/a/b/?x=1&y=2", "/A/b?x=1&y=2", "/a%2Fb?x=1&y=2"]
    {
        assert_eq!(refusal(&with_uri(uri), &body), AuthError::Mismatch, "{uri}");
    }
    let mut get = head.clone();
    get.method = http::Method::GET;
    assert_eq!(refusal(&get, &body), AuthError::Mismatch);
}

#[test]
fn duplicated_and_additional_headers_are_refused() {
    let draft = Draft { token: Some("token".into()), ..Draft::plain() };
    let (head, body) = draft.sign();
    assert!(verify(&known(), &head, &body).is_ok());
    for (name, value) in &head.headers {
        let mut other = head.clone();
        other.headers.append(name, value.clone());
        assert!(verify(&known(), &other, &body).is_err(), "{name} twice");
    }
    let mut other = head.clone();
    other.headers.insert("x-amz-unsigned", HeaderValue::from_static("1"));
    let text = "The header 'x-amz-unsigned' is there but not signed.";
    assert_eq!(refusal(&other, &body).to_string(), text);
    // What is not signed and means nothing to AWS may come and go: proxies add it.
    other.headers.remove("x-amz-unsigned");
    other.headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
    assert!(verify(&known(), &other, &body).is_ok());
}

#[test]
fn credentials_in_the_query_are_refused_alone_and_beside_a_header() {
    let (mut head, body) = Draft::plain().sign();
    head.uri = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256".parse().unwrap();
    let text = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
    let error = refusal(&head, &body);
    assert_eq!((error.name(), error.to_string().as_str()), ("InvalidSignatureException", text));
    head.headers.remove("authorization");
    assert_eq!(refusal(&head, &body).name(), "IncompleteSignatureException");
    head.uri = "/".parse().unwrap();
    assert_eq!(refusal(&head, &body), AuthError::Missing);
}

#[test]
fn unknown_keys_wrong_secrets_and_wrong_scopes_have_names_of_their_own() {
    let (head, body) = Draft::plain().sign();
    let verifier = Verifier::new(Credentials::Known(HashMap::new()));
    assert_eq!(verify(&verifier, &head, &body).unwrap_err().name(), "UnrecognizedClientException");
    let key = AccessKey { secret: "another".into(), namespace: "team-a".into() };
    verifier.replace(Credentials::Known(HashMap::from([(KEY_ID.to_owned(), key)])));
    assert_eq!(verify(&verifier, &head, &body).unwrap_err(), AuthError::Mismatch);
    let other_service = known().begin(&head, "sqs", NOW_MS).err().unwrap();
    assert_eq!(
        other_service.to_string(),
        "Credential should be scoped to correct service: 'sqs'. ".trim_end()
    );
    let unsigned = |name: &'static str| {
        let mut other = head.clone();
        other.headers.remove(name);
        refusal(&other, &body).name()
    };
    assert_eq!(unsigned("authorization"), "MissingAuthenticationTokenException");
    assert_eq!(unsigned("x-amz-date"), "IncompleteSignatureException");
    assert_eq!(unsigned("x-amz-target"), "InvalidSignatureException");
}

#[test]
fn requests_from_another_time_are_refused() {
    for (skew_ms, begin) in
        [(-MAX_SKEW_MS - 1_000, "Signature expired: "), (MAX_SKEW_MS + 1_000, "Signature not yet current: ")]
    {
        let (head, body) = Draft { signed_ms: NOW_MS + skew_ms, ..Draft::plain() }.sign();
        let error = refusal(&head, &body);
        assert_eq!(error.name(), "InvalidSignatureException");
        assert!(error.to_string().starts_with(begin), "{error}");
    }
}

#[test]
fn unsigned_payloads_are_refused() {
    for hash in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", &"0".repeat(64), &"A".repeat(64)] {
        let mut draft = Draft { hash_header: false, ..Draft::plain() };
        draft.headers.push(("x-amz-content-sha256".into(), hash.into()));
        let (head, body) = draft.sign();
        assert_eq!(refusal(&head, &body).name(), "InvalidSignatureException", "{hash}");
    }
}

#[test]
fn the_host_of_http_2_is_its_authority() {
    let (mut head, body) = Draft::plain().sign();
    head.headers.remove("host");
    assert!(verify(&known(), &head, &body).is_err());
    head.uri = "http://127.0.0.1:4566/".parse().unwrap();
    assert!(verify(&known(), &head, &body).is_ok());
    head.uri = "http://127.0.0.1:4567/".parse().unwrap();
    assert_eq!(refusal(&head, &body), AuthError::Mismatch);
    head.headers.insert("host", HeaderValue::from_static("127.0.0.1:4566"));
    assert_eq!(refusal(&head, &body).name(), "InvalidSignatureException");
}

/// As the SDK for JavaScript 3.1143.0 signed it with the access key "any" and the secret "any".
#[test]
fn the_authority_may_be_signed_under_its_own_name() {
    const SIGNED_MS: i64 = 1_795_862_705_000;
    let signed = [
        ("amz-sdk-invocation-id", "9b37ae20-3480-4e96-86fa-cf03b01be45c"),
        ("amz-sdk-request", "attempt=1; max=1"),
        ("content-length", "2"),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-content-sha256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        ("x-amz-date", "20261128T104505Z"),
        ("x-amz-target", "Kinesis_20131202.ListStreams"),
        ("x-amz-user-agent", "aws-sdk-js/3.1142.0"),
    ];
    let authorization = "AWS4-HMAC-SHA256 Credential=any/20261128/us-east-1/kinesis/aws4_request, \
        SignedHeaders=:authority;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;\
        x-amz-content-sha256;x-amz-date;x-amz-target;x-amz-user-agent, \
        Signature=bfaeca01020fdbce3b005bc6bbc6dedc8bf44fd4d69609e6e2568ae4b6da532d";
    let key = AccessKey { secret: "any".into(), namespace: "team-a".into() };
    let verifier = Verifier::new(Credentials::Known(HashMap::from([("any".to_owned(), key)])));
    let verify_at = |uri: &str| {
        let request = Request::builder().method("POST").uri(uri).header("authorization", authorization);
        let request = signed.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (head, ()) = request.body(()).unwrap().into_parts();
        verifier.begin(&head, "kinesis", SIGNED_MS)?.finish(&head, b"{}")
    };
    assert!(verify_at("http://127.0.0.1:4999/").is_ok());
    assert_eq!(verify_at("http://127.0.0.1:4998/").unwrap_err(), AuthError::Mismatch);
    assert_eq!(verify_at("/").unwrap_err().name(), "IncompleteSignatureException");
}

#[test]
fn when_anybody_is_taken_a_request_still_has_to_be_signed_in_form_and_time() {
    let verifier = Verifier::new(Credentials::Any);
    let (head, body) = Draft { hash_header: false, ..Draft::plain() }.sign();
    let identity = verify(&verifier, &head, b"another body").unwrap();
    assert_eq!((&*identity.namespace, identity.region.as_str()), ("default", "us-east-1"));
    let changed = |name: &'static str, value: Option<&'static str>| {
        let mut other = head.clone();
        other.headers.remove(name);
        if let Some(value) = value {
            other.headers.insert(name, HeaderValue::from_static(value));
        }
        verify(&verifier, &other, &body).unwrap_err().name()
    };
    assert_eq!(changed("authorization", None), "MissingAuthenticationTokenException");
    assert_eq!(changed("authorization", Some("AWS4-HMAC-SHA256 x")), "IncompleteSignatureException");
    assert_eq!(changed("x-amz-date", None), "IncompleteSignatureException");
    assert_eq!(changed("x-amz-date", Some("20150829T123600Z")), "InvalidSignatureException");
    let (old, body) = Draft { signed_ms: NOW_MS - 2 * MAX_SKEW_MS, ..Draft::plain() }.sign();
    assert_eq!(verify(&verifier, &old, &body).unwrap_err().name(), "InvalidSignatureException");
}
