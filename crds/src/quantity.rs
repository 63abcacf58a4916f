//! Amounts of bytes, as Kubernetes writes quantities: `10Gi`, `500M`, `1048576`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest text that is taken for an amount.
const MAX_CHARS: usize = 20;

/// The forms that [`ByteQuantity::bytes`] reads, for the API server.
pub(crate) const PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

/// [`PATTERN`] for people.
pub(crate) const FORM: &str =
    "is no amount of bytes: write a whole number with a unit, such as 512Mi, 10Gi or 2T";

/// An amount of bytes as a user wrote it.
///
/// A part of Kubernetes' quantities (`resource.Quantity` of its API machinery): whole or decimal numbers
/// with a decimal (`k M G T P`) or binary (`Ki Mi Gi Ti Pi`) suffix. Exponents, signs and thousandths are
/// refused: nobody means a thousandth of a byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ByteQuantity(String);

/// A text that is no amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} {FORM}")]
pub struct InvalidQuantity(String);

impl ByteQuantity {
    /// The amount that `text` writes.
    pub fn new(text: impl Into<String>) -> ByteQuantity {
        ByteQuantity(text.into())
    }

    /// This many bytes, in the largest unit of which they are a whole number.
    pub fn of_bytes(bytes: u64) -> ByteQuantity {
        const UNITS: [(u64, &str); 5] =
            [(1 << 50, "Pi"), (1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
        let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
        let (unit, suffix) = unit.unwrap_or((1, ""));
        ByteQuantity(format!("{}{suffix}", bytes / unit))
    }

    /// The amount as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount in bytes.
    ///
    /// # Errors
    /// When the text has another form, is no whole number of bytes, or is above 2^63 - 1.
    pub fn bytes(&self) -> Result<u64, InvalidQuantity> {
        parse(&self.0).ok_or_else(|| InvalidQuantity(self.0.clone()))
    }
}

impl fmt::Display for ByteQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let unit: u128 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.len() > MAX_CHARS || !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = whole.parse::<u128>().ok()? * scale + fraction.parse::<u128>().ok()?;
    let bytes = scaled.checked_mul(unit)?;
    if bytes % scale != 0 {
        return None;
    }
    i64::try_from(bytes / scale).ok().and_then(|bytes| u64::try_from(bytes).ok())
}

impl<'de> Deserialize<'de> for ByteQuantity {
    /// Takes a text, or a number of bytes: YAML reads `1048576` as the latter.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Number(bytes) => ByteQuantity(bytes.to_string()),
            Written::Text(text) => ByteQuantity(text),
        })
    }
}

impl JsonSchema for ByteQuantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteQuantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": PATTERN,
            "maxLength": MAX_CHARS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("1Mi", 1 << 20),
            ("1.5Gi", 3 << 29),
            ("2.5k", 2_500),
            ("10Gi", 10 << 30),
            ("3T", 3_000_000_000_000),
            ("1Pi", 1 << 50),
        ] {
            assert_eq!(ByteQuantity::new(text).bytes(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_of_bytes_is_refused() {
        for text in
            ["", "Gi", "-1", "+1", "1.", ".5Gi", "1.2.3", "1e3", "10GB", "10 Gi", "0.5", "9999999Pi", "500m"]
        {
            let error = ByteQuantity::new(text).bytes().expect_err(text);
            assert!(error.to_string().contains("such as 512Mi"), "{error}");
        }
    }

    #[test]
    fn a_plain_number_counts_bytes() {
        let quantity: ByteQuantity = serde_json::from_str("1048576").expect("a number is taken");
        assert_eq!(quantity, ByteQuantity::new("1048576"));
    }
}
