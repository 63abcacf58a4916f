//! What members of requests and answers are made of: texts and blobs that borrow from the body wherever its form
//! allows it, and times.

use std::borrow::Cow;
use std::fmt;

use base64_simd::STANDARD;
use minicbor_serde::tag::Optional;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::error::ApiError;

/// CBOR's tag of a time that is a number.
const EPOCH_TAG: u64 = 1;

/// A text that lies in the body as it is, unless it had escapes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text, if it is there.
pub(super) fn as_str<'a>(text: &'a Option<Text<'_>>) -> Option<&'a str> {
    text.as_ref().map(Text::as_str)
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        match deserializer.is_human_readable() {
            true => deserializer.deserialize_str(TextVisitor),
            // Only so are texts in pieces put together.
            false => deserializer.deserialize_any(TextVisitor),
        }
    }
}

/// Bytes: base64 in JSON, a byte string in CBOR.
#[derive(Clone, Debug)]
pub(super) enum Blob<'a> {
    Base64(Text<'a>),
    Bytes(Cow<'a, [u8]>),
}

impl Blob<'_> {
    /// How long it is in the body: no less than its bytes.
    pub(super) fn written_len(&self) -> usize {
        match self {
            Blob::Base64(text) => text.as_str().len(),
            Blob::Bytes(bytes) => bytes.len(),
        }
    }

    /// Appends its bytes.
    pub(super) fn decode_to(&self, buffer: &mut Vec<u8>) -> Result<(), ApiError> {
        match self {
            Blob::Base64(text) => STANDARD.decode_append(text.as_str(), buffer).map_err(|_| {
                ApiError::serialization(
                    "The data of a record can not be converted to a Blob: it is not base64.",
                )
            }),
            Blob::Bytes(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Blob<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Blob<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Blob<'de>, E> {
                Ok(Blob::Bytes(Cow::Borrowed(bytes)))
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Blob<'de>, E> {
                Ok(Blob::Bytes(Cow::Owned(bytes)))
            }
        }
        match deserializer.is_human_readable() {
            true => Text::deserialize(deserializer).map(Blob::Base64),
            false => deserializer.deserialize_any(BytesVisitor),
        }
    }
}

/// A time: seconds since 1970 with a fraction in JSON, whole milliseconds under [`EPOCH_TAG`] in CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp {
    /// In Unix milliseconds.
    pub(super) ms: i64,
}

impl Timestamp {
    /// Whether it is another time than `ms`, as far as clients that send whole seconds can say.
    pub(super) fn is_another_second_than(self, ms: i64) -> bool {
        self.ms.abs_diff(ms) >= 1_000
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let ms = Optional::<EPOCH_TAG, i64>::deserialize(deserializer)?.into_value();
            return Ok(Timestamp { ms });
        }
        let seconds = f64::deserialize(deserializer)?;
        // Times beyond what a clock can show are cut off at the ends of i64 by the conversion.
        Ok(Timestamp { ms: (seconds * 1_000.0).round() as i64 })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_f64(self.ms as f64 / 1_000.0),
            false => Optional::<EPOCH_TAG, i64>::tagged(self.ms).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::format::Format;

    #[derive(Debug, serde::Deserialize)]
    struct Input<'a> {
        #[serde(borrow)]
        name: Option<Text<'a>>,
        at: Option<Timestamp>,
    }

    #[test]
    fn texts_are_borrowed_unless_they_have_escapes() {
        let input: Input<'_> =
            Format::Json.read(br#"{"name":"plain","at":1459799926.48,"other":[]}"#).unwrap();
        assert!(matches!(input.name, Some(Text(Cow::Borrowed("plain")))));
        assert_eq!(input.at, Some(Timestamp { ms: 1_459_799_926_480 }));
        let input: Input<'_> = Format::Json.read(br#"{"name":"a\/b","at":null}"#).unwrap();
        assert_eq!(as_str(&input.name), Some("a/b"));
        assert_eq!(input.at, None);
    }

    #[test]
    fn what_is_not_json_of_the_right_types_is_a_serialization_error() {
        for bad in [
            "",
            "hello",
            "[]",
            "[\"a\",1]",
            "{\"name\":1}",
            "{\"at\":\"x\"}",
            "{\"name\":\"a\"",
            "{} x",
            "{\"at\":1e999}",
        ] {
            let error = Format::Json.read::<Input<'_>>(bad.as_bytes()).unwrap_err();
            assert_eq!((error.name, error.status.as_u16()), ("SerializationException", 400), "{bad}");
        }
    }
}
