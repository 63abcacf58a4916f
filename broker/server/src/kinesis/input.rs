//! Reading request bodies: JSON into values that borrow from the body wherever JSON allows it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::error::ApiError;

/// A text that lies in the body as it is, unless it had escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A time: a number of seconds since 1970, with a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp {
    /// In Unix milliseconds.
    pub(super) ms: i64,
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Times beyond what a clock can show are cut off at the ends of i64 by the conversion.
        Ok(Timestamp { ms: (seconds * 1_000.0).round() as i64 })
    }
}

/// Reads a body. Members that are not known are passed over, `null` is the same as an absent member.
///
/// # Errors
/// `SerializationException`, when the body is not JSON or a member has another type than it should.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    // serde would read a struct from a list of its members too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::serialization("The body has to be a JSON object."));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::serialization(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Input<'a> {
        #[serde(borrow)]
        name: Option<Text<'a>>,
        at: Option<Timestamp>,
    }

    #[test]
    fn texts_are_borrowed_unless_they_have_escapes() {
        let input: Input<'_> = parse(br#"{"name":"plain","at":1459799926.48,"other":[]}"#).unwrap();
        assert!(matches!(input.name, Some(Text(Cow::Borrowed("plain")))));
        assert_eq!(input.at, Some(Timestamp { ms: 1_459_799_926_480 }));
        let input: Input<'_> = parse(br#"{"name":"a\/b","at":null}"#).unwrap();
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
            let error = parse::<Input<'_>>(bad.as_bytes()).unwrap_err();
            assert_eq!((error.name, error.status.as_u16()), ("SerializationException", 400), "{bad}");
        }
    }
}
