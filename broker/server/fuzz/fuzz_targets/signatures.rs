//! Requests with credentials in headers and query. As they come they are refused, however near they come; and what
//! AWS' own signer makes of them is taken. Lines: method and target, headers, then the body behind an empty one.

#![no_main]

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as SignerCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use millrace_fuzz::NOW_MS;
use millrace_server::sigv4::{AccessKey, Credentials, Verifier};

fuzz_target!(|data: &[u8]| {
    let Some((head, body)) = read(data) else { return };
    let key = AccessKey { secret: "secret".into(), namespace: "team-a".into() };
    let known = Verifier::new(Credentials::Known(HashMap::from([("key".to_owned(), key)])));
    let verify =
        |verifier: &Verifier, head: &Parts| verifier.begin(head, "kinesis", NOW_MS)?.finish(head, body);
    assert!(verify(&known, &head).is_err(), "nobody has signed this");
    // As far as a request can be followed without its signature.
    let _ = verify(&Verifier::new(Credentials::Any), &head);
    for presigned in [false, true] {
        if let Some(signed) = signed(&head, body, presigned) {
            let taken = verify(&known, &signed);
            assert!(taken.is_ok(), "{taken:?}: {signed:?}");
        }
    }
});

fn read(data: &[u8]) -> Option<(Parts, &[u8])> {
    let mut rest = data;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    };
    let first = line()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
    *request.uri_mut() = Uri::try_from(&first[space + 1..]).ok()?;
    request.uri().path().starts_with('/').then_some(())?;
    while let Some(header) = line().filter(|line| !line.is_empty()) {
        let colon = header.iter().position(|byte| *byte == b':')?;
        let value = HeaderValue::from_bytes(&header[colon + 1..]).ok()?;
        request.headers_mut().try_append(HeaderName::from_bytes(&header[..colon]).ok()?, value).ok()?;
    }
    Some((request.into_parts().0, rest))
}

/// The request without its credentials and with AWS' in place of them; `None` for what its signer does not sign, and
/// for what no client would ask it to.
fn signed(head: &Parts, body: &[u8], presigned: bool) -> Option<Parts> {
    const ITS_OWN: [&str; 4] =
        ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
    const ONCE: [&str; 3] = ["host", "content-type", "x-amz-target"];
    let mut head = head.clone();
    for name in ITS_OWN {
        head.headers.remove(name);
    }
    let query = head.uri.query().unwrap_or_default();
    // Names of its own, whatever way they are written, and what is not text when decoded, which it can't sign.
    let odd =
        head.uri.authority().is_some() || query.contains('%') || query.to_ascii_lowercase().contains("x-amz");
    let repeated = ONCE.iter().any(|name| head.headers.get_all(*name).iter().nth(1).is_some());
    if odd || repeated {
        return None;
    }
    let headers: Option<Vec<(&str, &str)>> =
        head.headers.iter().map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let mut settings = SigningSettings::default();
    if presigned {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(60));
    }
    let identity = SignerCredentials::new("key", "secret", None, None, "fuzz").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("kinesis")
        .time(UNIX_EPOCH + Duration::from_millis(NOW_MS as u64))
        .settings(settings)
        .build()
        .ok()?
        .into();
    let uri = format!("http://h{}", head.uri);
    let request =
        SignableRequest::new(head.method.as_str(), uri, headers?.into_iter(), SignableBody::Bytes(body))
            .ok()?;
    let instructions = sign(request, &params).ok()?.into_parts().0;
    let mut request = Request::from_parts(head, ());
    instructions.apply_to_request_http1x(&mut request);
    if !request.headers().contains_key("host") {
        request.headers_mut().insert("host", HeaderValue::from_static("h"));
    }
    Some(request.into_parts().0)
}
