//! Credentials in the query: what is taken, and what is refused by which error.

use http::HeaderValue;
use http::request::Parts;
use millrace_server::sigv4::{AuthError, MAX_SKEW_MS};

use crate::draft::{Draft, NOW_MS, Place, known, refusal, verify};

/// The head with another query.
fn with_query(head: &Parts, change: impl FnOnce(&str) -> String) -> Parts {
    let mut other = head.clone();
    let query = change(head.uri.query().unwrap());
    other.uri = format!("{}?{query}", head.uri.path()).parse().unwrap();
    other
}

fn incomplete(head: &Parts) -> String {
    match refusal(head, b"{}") {
        AuthError::Incomplete(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn credentials_in_header_and_query_together_are_refused() {
    let (presigned, body) = Draft::presigned().sign();
    let (signed, _) = Draft::plain().sign();
    let mut both = presigned.clone();
    both.headers.insert("authorization", signed.headers["authorization"].clone());
    let text = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
    let error = refusal(&both, &body);
    assert_eq!((error.name(), error.to_string().as_str()), ("InvalidSignatureException", text));
    for query in ["X-Amz-Algorithm=AWS4-HMAC-SHA256", "x%2Damz-credential", "X-Amz-Signature="] {
        let mut both = signed.clone();
        both.uri = format!("/?{query}").parse().unwrap();
        assert_eq!(refusal(&both, &body).name(), "InvalidSignatureException", "{query}");
    }
    let token = Draft { token: Some("token".into()), ..Draft::presigned() };
    let (presigned, body) = token.sign();
    for name in ["x-amz-date", "x-amz-security-token"] {
        let mut both = presigned.clone();
        both.headers.insert(name, HeaderValue::from_static("20150830T123600Z"));
        let error = refusal(&both, &body);
        assert_eq!(error.name(), "InvalidSignatureException");
        assert!(error.to_string().starts_with("Found both 'X-Amz-"), "{error}");
    }
}

#[test]
fn every_parameter_of_a_presigned_request_is_needed_once() {
    let token = Draft { token: Some("token".into()), ..Draft::presigned() };
    let (head, _) = token.sign();
    for parameter in head.uri.query().unwrap().split('&') {
        let name = parameter.split('=').next().unwrap();
        let twice = with_query(&head, |query| format!("{query}&{parameter}"));
        let text = format!("AWS query-string parameters have '{name}' more than once.");
        assert_eq!(incomplete(&twice), text);
        let in_disguise = parameter.replacen("X-Amz", "x%2damz", 1);
        let twice = with_query(&head, |query| format!("{query}&{in_disguise}"));
        assert_eq!(incomplete(&twice), text);
        let without = with_query(&head, |query| query.replace(parameter, ""));
        match name {
            // It is not a part of the credentials, but it is signed.
            "X-Amz-Security-Token" => assert_eq!(refusal(&without, b"{}"), AuthError::Mismatch),
            name => assert!(incomplete(&without).contains(&format!("must include '{name}'"))),
        }
    }
    // Others may come as often as they like.
    let twice = Draft { path_and_query: "/?a=1&a=1&b&a=0".into(), ..Draft::presigned() };
    let (head, body) = twice.sign();
    assert!(verify(&known(), &head, &body).is_ok());
}

#[test]
fn malformed_parameters_of_a_presigned_request_are_refused() {
    let (head, _) = Draft::presigned().sign();
    for (from, to) in [
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AKIDEXAMPLE", ""),
        ("AKIDEXAMPLE", "a%ffb"),
        ("%2Fkinesis", ""),
        ("X-Amz-Date=2015", "X-Amz-Date=+2015"),
        ("X-Amz-Expires=900", "X-Amz-Expires=0"),
        ("X-Amz-Expires=900", "X-Amz-Expires=-1"),
        ("X-Amz-Expires=900", "X-Amz-Expires=%2B9"),
        ("X-Amz-Expires=900", "X-Amz-Expires=604801"),
        ("SignedHeaders=content-type%3Bhost", "SignedHeaders=host%3Bcontent-type"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ] {
        let other = with_query(&head, |query| query.replacen(from, to, 1));
        assert_ne!(other.uri, head.uri, "{from}");
        incomplete(&other);
    }
    let other_service = known().begin(&head, "sqs", NOW_MS).err().unwrap();
    assert_eq!(other_service.name(), "InvalidSignatureException");
}

#[test]
fn a_presigned_request_is_good_as_long_as_it_says_and_at_most_a_quarter_of_an_hour() {
    let at = |signed_ms: i64, expires_s: u64| {
        Draft { signed_ms, place: Place::Query(expires_s), ..Draft::presigned() }.sign()
    };
    for (signed_ms, expires_s, begin) in [
        (NOW_MS - 61_000, 60, "Signature expired: "),
        (NOW_MS - MAX_SKEW_MS - 1_000, 604_800, "Signature expired: "),
        (NOW_MS + MAX_SKEW_MS + 1_000, 604_800, "Signature not yet current: "),
    ] {
        let (head, body) = at(signed_ms, expires_s);
        let error = refusal(&head, &body);
        assert_eq!(error.name(), "InvalidSignatureException");
        assert!(error.to_string().starts_with(begin), "{error}");
    }
    for (signed_ms, expires_s) in
        [(NOW_MS - 60_000, 60), (NOW_MS - MAX_SKEW_MS, 604_800), (NOW_MS + MAX_SKEW_MS, 1)]
    {
        let (head, body) = at(signed_ms, expires_s);
        assert!(verify(&known(), &head, &body).is_ok(), "{signed_ms} for {expires_s} s");
    }
}

#[test]
fn the_body_of_a_presigned_request_is_signed_too() {
    for query in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", &"0".repeat(64)] {
        let path_and_query = format!("/?X-Amz-Content-Sha256={query}");
        let (head, body) = Draft { path_and_query, ..Draft::presigned() }.sign();
        assert_eq!(refusal(&head, &body).name(), "InvalidSignatureException", "{query}");
    }
    let (head, _) = Draft::presigned().sign();
    assert_eq!(refusal(&head, b"{ }"), AuthError::Mismatch);
}

#[test]
fn what_aws_leaves_unsigned_in_a_presigned_request_may_be_there() {
    let mut draft = Draft::presigned();
    draft.headers.push(("x-amz-user-agent".into(), "aws-sdk-js/3".into()));
    draft.headers.push(("user-agent".into(), "browser".into()));
    let (head, body) = draft.sign();
    assert!(!head.uri.query().unwrap().contains("user-agent"));
    assert!(verify(&known(), &head, &body).is_ok());
}
