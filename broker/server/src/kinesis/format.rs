//! The two forms that requests and answers come in: JSON 1.1 and CBOR 1.1.
//!
//! CBOR is what the AWS SDK for Java speaks, and all that stands on it: member names are texts, blobs byte
//! strings, and a time is tag 1 around *milliseconds* (source: `SdkCborGenerator` and `AwsCborProtocolFactory`
//! of aws-sdk-java-v2), where RFC 8949 would have seconds. An answer has the form of its request.

use http::request::Parts;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::error::ApiError;

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";

/// How a request is written, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Cbor,
}

impl Format {
    /// The form that a request's head announces.
    pub(super) fn of(head: &Parts) -> Result<Format, ApiError> {
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
        let found = [Format::Json, Format::Cbor].into_iter();
        let mut found = found.filter(|format| essence.eq_ignore_ascii_case(format.essence()));
        let unknown = || ApiError::unknown_operation(format!("Content-Type has to be {JSON} or {CBOR}."));
        found.next().ok_or_else(unknown)
    }

    pub(super) fn essence(self) -> &'static str {
        match self {
            Format::Json => JSON,
            Format::Cbor => CBOR,
        }
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(self.essence())
    }

    /// Reads a body. Members that are not known are passed over, `null` is the same as an absent member.
    ///
    /// # Errors
    /// `SerializationException`, when the body has another form or a member has another type than it should.
    pub(super) fn read<'a, T: Deserialize<'a>>(self, body: &'a [u8]) -> Result<T, ApiError> {
        match self {
            Format::Json => {
                // serde would read a struct from a list of its members too.
                if body.trim_ascii_start().first() != Some(&b'{') {
                    return Err(ApiError::serialization("The body has to be a JSON object."));
                }
                serde_json::from_slice(body).map_err(|error| ApiError::serialization(error.to_string()))
            }
            Format::Cbor => {
                let mut reader = minicbor_serde::Deserializer::new(body);
                let read = T::deserialize(&mut reader);
                let read = read.map_err(|error| ApiError::serialization(error.to_string()))?;
                match reader.decoder().position() == body.len() {
                    true => Ok(read),
                    false => Err(ApiError::serialization("The body goes on behind its CBOR map.")),
                }
            }
        }
    }

    /// An answer's body.
    pub(super) fn write<T: Serialize>(self, output: &T) -> Result<Vec<u8>, ApiError> {
        let written = match self {
            Format::Json => serde_json::to_vec(output).map_err(|error| error.to_string()),
            Format::Cbor => minicbor_serde::to_vec(output).map_err(|error| error.to_string()),
        };
        written.map_err(|error| {
            tracing::error!(error, "an answer can't be written");
            ApiError::internal()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::input::{Blob, Text, Timestamp, as_str};
    use http::Request;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input<'a> {
        #[serde(borrow)]
        name: Option<Text<'a>>,
        at: Option<Timestamp>,
        #[serde(borrow)]
        data: Option<Blob<'a>>,
        limit: Option<i64>,
    }

    fn bytes(input: &Input<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        input.data.as_ref().unwrap().decode_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_head_announces_json_or_cbor() {
        let of = |kind: &str| {
            let request = Request::post("/").header("content-type", kind).body(()).unwrap();
            Format::of(&request.into_parts().0)
        };
        assert_eq!(of("application/x-amz-json-1.1; charset=utf-8"), Ok(Format::Json));
        assert_eq!(of("Application/X-Amz-Cbor-1.1"), Ok(Format::Cbor));
        for other in ["", "application/json", "application/cbor", "application/x-amz-cbor-1.0"] {
            assert_eq!(of(other).unwrap_err().name, "UnknownOperationException", "{other}");
        }
    }

    #[test]
    fn cbor_is_read_whether_or_not_it_tells_its_lengths() {
        // {"Name": "ab", "At": 1(1459799926480), "Data": h'0102', "Limit": 5, "Other": [1, {}]}
        let mut known = vec![0xa5];
        known.extend_from_slice(b"\x64Name\x62ab\x62At\xc1\x1b\x00\x00\x01\x53\xe2\xdb\x26\xd0");
        known.extend_from_slice(b"\x64Data\x42\x01\x02\x65Limit\x05\x65Other\x82\x01\xa0");
        // The same with every length left open, and both texts and bytes in two pieces.
        let mut open = vec![0xbf];
        open.extend_from_slice(b"\x64Name\x7f\x61a\x61b\xff\x62At\xc1\x1b\x00\x00\x01\x53\xe2\xdb\x26\xd0");
        open.extend_from_slice(
            b"\x64Data\x5f\x41\x01\x41\x02\xff\x65Limit\x05\x65Other\x9f\x01\xbf\xff\xff\xff",
        );
        for body in [known, open] {
            let input: Input<'_> = Format::Cbor.read(&body).unwrap();
            assert_eq!(as_str(&input.name), Some("ab"));
            assert_eq!(input.at, Some(Timestamp { ms: 1_459_799_926_480 }));
            assert_eq!((bytes(&input), input.limit), (vec![1, 2], Some(5)));
        }
        let empty: Input<'_> = Format::Cbor.read(b"\xa2\x64Name\xf6\x62At\xf6").unwrap();
        assert!(empty.name.is_none() && empty.at.is_none() && empty.data.is_none());
    }

    #[test]
    fn what_is_not_cbor_of_the_right_types_is_a_serialization_error() {
        let bad: [&[u8]; 12] = [
            b"",
            b"{}",
            b"\x80",
            b"\xf6",
            b"\xa1\x64Name\x01",
            b"\xa1\x64Name\x41a",
            b"\xa1\x64Name\x62a\xff",
            b"\xa1\x64Data\x61a",
            b"\xa1\x62At\x61x",
            b"\xa1\x62At\xc2\x01",
            b"\xa1\x64Name\x61",
            b"\xa0\xa0",
        ];
        for body in bad {
            let error = Format::Cbor.read::<Input<'_>>(body).unwrap_err();
            assert_eq!((error.name, error.status.as_u16()), ("SerializationException", 400), "{body:?}");
        }
        // Nesting without end costs memory in proportion to the body, and no stack.
        let deep = [b"\xa1\x61x".as_slice(), &[0x81; 100_000]].concat();
        assert_eq!(Format::Cbor.read::<Input<'_>>(&deep).unwrap_err().name, "SerializationException");
    }

    #[test]
    fn times_are_seconds_in_json_and_tagged_milliseconds_in_cbor() {
        let time = Timestamp { ms: 1_459_799_926_480 };
        assert_eq!(Format::Json.write(&time).unwrap(), b"1459799926.48");
        assert_eq!(Format::Cbor.write(&time).unwrap(), b"\xc1\x1b\x00\x00\x01\x53\xe2\xdb\x26\xd0");
    }
}
