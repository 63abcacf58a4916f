//! Answers: a body, and the headers that each one has.

use base64_simd::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::format::Format;
use crate::http::{Body, full};

/// What stream events travel as.
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// An answer that is there as a whole.
pub(super) fn whole(status: StatusCode, format: Format, bytes: Bytes) -> Response<Body> {
    let crc = crc32fast::hash(&bytes);
    let mut answer = with_ids(full(bytes), format.content_type());
    *answer.status_mut() = status;
    answer.headers_mut().insert("x-amz-crc32", HeaderValue::from(crc));
    answer
}

/// An answer that goes on: each of its events has checksums of its own.
pub(super) fn events(body: Body) -> Response<Body> {
    with_ids(body, HeaderValue::from_static(EVENT_STREAM))
}

fn with_ids(body: Body, content_type: HeaderValue) -> Response<Body> {
    let value = |text: String| HeaderValue::from_str(&text).expect("ids are ASCII");
    let random: [u8; 64] = rand::random();
    let (request_id, extended_id) = random.split_at(16);
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert("x-amzn-requestid", value(uuid(request_id)));
    headers.insert("x-amz-id-2", value(STANDARD.encode_to_string(extended_id)));
    answer
}

/// 16 random bytes as a UUID of version 4.
fn uuid(random: &[u8]) -> String {
    let digits = hex::encode(random);
    format!(
        "{}-{}-4{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..32]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_kinesis_headers() {
        let answer = whole(StatusCode::OK, Format::Json, Bytes::from_static(b"123456789"));
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        let groups: Vec<usize> = header("x-amzn-requestid").split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(header("x-amz-crc32"), "3421780262");
        assert_eq!(header("content-type"), "application/x-amz-json-1.1");
        assert_eq!(STANDARD.decode_to_vec(header("x-amz-id-2")).unwrap().len(), 48);
    }
}
