//! The signature verifier against AWS' own signer (the crate `aws-sigv4`): what it signs is taken, and what was
//! changed after signing is not.

mod draft;
mod flips;
mod presigned;

use std::collections::HashMap;

use http::{HeaderValue, Request};
use millrace_server::sigv4::{AccessKey, AuthError, Credentials, MAX_SKEW_MS, Verifier};

use draft::{Draft, KEY_ID, NOW_MS, known, refusal, verify};

#[test]
fn what_aws_signs_is_taken() {
    let verifier = known();
    for seed in 0..10_000 {
        let draft = Draft::random(seed);
        let (head, body) = draft.sign();
        let identity =
            verify(&verifier, &head, &body).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{head:?}"));
        assert_eq!(identity.region, draft.region, "seed {seed}");
        assert_eq!((&*identity.namespace, identity.access_key_id.as_str()), ("team-a", KEY_ID));
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
