//! The canonical form of a request: what its signature covers.

use std::borrow::Cow;

use http::HeaderMap;
use http::request::Parts;

use super::authorization::Authorization;
use super::error::AuthError;
use super::presigned::{self, Presigned};

/// Of the headers that a signature has to cover, those that AWS' signer leaves out of presigned requests. They mean
/// nothing here.
const MAY_BE_UNSIGNED: [&str; 2] = ["x-amz-user-agent", "x-amz-checksum-mode"];
/// Headers on which the meaning of a request or its signature rests. A second one is never taken.
const SINGLE: [&str; 6] =
    ["host", "content-type", "x-amz-date", "x-amz-target", "x-amz-content-sha256", "x-amz-security-token"];

/// The names of the host among the signed headers. Over HTTP/2 the SDK for JavaScript signs the pseudo-header.
const HOST: [&str; 2] = ["host", ":authority"];

/// Whether the signature covers what it has to: the host, every `x-amz-` header there is, and no header that is
/// not there.
pub(super) fn check_signed_headers(head: &Parts, signed: &[String]) -> Result<(), AuthError> {
    let is_signed = |name: &str| signed.binary_search_by(|signed| signed.as_str().cmp(name)).is_ok();
    if !HOST.into_iter().any(is_signed) {
        return Err(AuthError::invalid(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ));
    }
    for name in head.headers.keys() {
        let name = name.as_str();
        if name.starts_with("x-amz-") && !is_signed(name) && !MAY_BE_UNSIGNED.contains(&name) {
            return Err(AuthError::invalid(format!("The header '{name}' is there but not signed.")));
        }
    }
    for name in SINGLE {
        if head.headers.get_all(name).iter().nth(1).is_some() {
            return Err(AuthError::incomplete(format!("The request has more than one '{name}' header.")));
        }
    }
    let is_there = |name: &str| HOST.contains(&name) || head.headers.contains_key(name);
    match signed.iter().find(|name| !is_there(name.as_str())) {
        Some(name) => Err(AuthError::invalid(format!("The signed header '{name}' is not there."))),
        None => host(head).map(|_| ()),
    }
}

/// `X-Amz-Content-Sha256`, if it is given: a hash, since bodies are always signed here.
pub(super) fn given_payload_hash(
    head: &Parts,
    presigned: Option<&Presigned>,
) -> Result<Option<String>, AuthError> {
    let header = head.headers.get("x-amz-content-sha256").map(|value| value.to_str().unwrap_or_default());
    let Some(hash) = header.or(presigned.and_then(|presigned| presigned.payload_hash.as_deref())) else {
        return Ok(None);
    };
    let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    match hash.len() == 64 && hash.as_bytes().iter().all(hex) {
        true => Ok(Some(hash.to_owned())),
        false => Err(AuthError::invalid(
            "X-Amz-Content-Sha256 has to be the SHA-256 of the body in hex: unsigned and chunked payloads are \
             not taken here.",
        )),
    }
}

/// The canonical request.
pub(super) fn request(
    head: &Parts,
    authorization: &Authorization,
    body_hash: &str,
) -> Result<Vec<u8>, AuthError> {
    let signed = &authorization.signed_headers;
    let presigned = authorization.presigned.is_some();
    let mut out = Vec::with_capacity(1_024);
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(path(head.uri.path()).as_bytes());
    out.push(b'\n');
    out.extend_from_slice(query(head.uri.query().unwrap_or(""), presigned).as_bytes());
    out.push(b'\n');
    for name in signed {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        if HOST.contains(&name.as_str()) {
            push_value(&mut out, host(head)?);
        } else {
            push_values(&mut out, &head.headers, name);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed.join(";").as_bytes());
    out.push(b'\n');
    out.extend_from_slice(body_hash.as_bytes());
    Ok(out)
}

/// The host that the caller named: `Host`, or `:authority` in HTTP/2.
fn host(head: &Parts) -> Result<&[u8], AuthError> {
    let header = head.headers.get("host").map(|value| value.as_bytes());
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (header, authority) {
        (Some(header), Some(authority)) if header != authority => {
            Err(AuthError::invalid("'Host' and ':authority' differ."))
        }
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(AuthError::incomplete("The request names no host.")),
    }
}

/// All values of a header, divided by commas.
fn push_values(out: &mut Vec<u8>, headers: &HeaderMap, name: &str) {
    for (index, value) in headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_value(out, value.as_bytes());
    }
}

/// A value without spaces around it and with single ones within.
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let from = value.iter().position(|b| *b != b' ').unwrap_or(value.len());
    let to = value.iter().rposition(|b| *b != b' ').map_or(from, |last| last + 1);
    let mut last = 0;
    for &byte in &value[from..to] {
        if byte != b' ' || last != b' ' {
            out.push(byte);
        }
        last = byte;
    }
}

/// The path without `.`, `..` and empty segments, its every byte encoded once more (all services but S3).
fn path(path: &str) -> Cow<'_, str> {
    if path == "/" || path.is_empty() {
        return Cow::Borrowed("/");
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len() + 16);
    for segment in &segments {
        out.push('/');
        encode(segment.as_bytes(), &mut out);
    }
    let ends_in_slash = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if segments.is_empty() || ends_in_slash {
        out.push('/');
    }
    Cow::Owned(out)
}

/// The parameters, each name and value decoded and encoded again, in the order of their names and values. The
/// signature, where it is one of them, can't cover itself.
fn query(query: &str, presigned: bool) -> String {
    let encoded = |bytes: &[u8]| {
        let mut out = String::with_capacity(bytes.len());
        encode(bytes, &mut out);
        out
    };
    let mut parameters: Vec<(String, String)> = parameters(query)
        .filter(|(name, _)| !presigned || name != presigned::SIGNATURE.as_bytes())
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    parameters.sort();
    let joined: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    joined.join("&")
}

/// The names and values of a query, decoded.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decode(name), decode(value))
    })
}

/// As forms are decoded, and as AWS' signer reads a query: `+` is a space, and a `%` without two digits itself.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| hex_byte(digits[0], digits[1]));
        match (bytes[at], digits) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    decoded
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Percent-encodes all but letters, digits and `-._~`, in upper case.
fn encode(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_encoded_once_more() {
        for (given, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("/a//b/", "/a/b/"),
            ("/a%20b", "/a%2520b"),
            ("/*", "/%2A"),
        ] {
            assert_eq!(path(given), canonical, "{given}");
        }
    }

    #[test]
    fn parameters_are_sorted_and_encoded_in_one_way() {
        for (given, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1&a", "a=&a=1&a=2"),
            ("a=%7e%2f+*%2B", "a=~%2F%20%2A%2B"),
            ("a=b=c&", "a=b%3Dc"),
            ("a=%zz%4", "a=%25zz%254"),
            ("X-Amz-Signature=1&a", "X-Amz-Signature=1&a="),
        ] {
            assert_eq!(query(given, false), canonical, "{given}");
        }
        assert_eq!(query("a=1&X-Amz-Signature=1&X%2DAmz-Signature", true), "a=1");
    }

    #[test]
    fn values_lose_their_superfluous_spaces() {
        let mut out = Vec::new();
        push_value(&mut out, b"  a   b c ");
        assert_eq!(out, b"a b c");
        out.clear();
        push_value(&mut out, b"   ");
        assert_eq!(out, b"");
    }
}
