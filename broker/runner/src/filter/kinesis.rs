//! Filter criteria of a source that is a stream, as Lambda applies them to records of Kinesis: patterns have the fields
//! of the event's `kinesis` object, with `data` decoded and read as JSON.

use serde_json::Value;

use super::compile::{Compiled, Compiler, PatternError};
use super::tree::{Marks, Node};
use super::value::{Number, Scalar};
use super::{FILTERS, MOST_FILTERS};

/// What patterns may say of a record beside its data.
const METADATA: [&str; 4] =
    ["approximateArrivalTimestamp", "kinesisSchemaVersion", "partitionKey", "sequenceNumber"];

/// A record, as far as patterns look at it.
#[derive(Clone, Copy, Debug)]
pub struct KinesisRecord<'a> {
    /// Its partition key.
    pub partition_key: &'a str,
    /// Its sequence number, in decimal.
    pub sequence_number: &'a str,
    /// When it arrived, in Unix milliseconds.
    pub arrival_ms: i64,
    /// Its payload.
    pub data: &'a [u8],
}

/// Criteria that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CriteriaError {
    /// There are too many filters.
    #[error(
        "{found} filters are too many: a source may have {FILTERS}, or up to {MOST_FILTERS} with a raised quota"
    )]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// One of them is no pattern.
    #[error("filter {}: {error}", .index + 1)]
    Pattern {
        /// Which one, from 0.
        index: usize,
        /// Where in it, and why.
        error: PatternError,
    },
}

/// The filters of a source, one of which a record has to match. Without any, every record matches.
#[derive(Clone, Debug)]
pub struct Criteria {
    compiled: Compiled,
    /// Of each pattern, whether it says anything of the data: then the data has to be JSON.
    needs_data: Vec<bool>,
}

impl Criteria {
    /// Reads the patterns of a source that may have `quota` of them: [`FILTERS`], or up to [`MOST_FILTERS`].
    ///
    /// # Errors
    /// When there are too many, or one is none, with the place in it and what is expected there.
    pub fn parse<P: AsRef<str>>(patterns: &[P], quota: usize) -> Result<Criteria, CriteriaError> {
        if patterns.len() > quota.min(MOST_FILTERS) {
            return Err(CriteriaError::TooMany { found: patterns.len() });
        }
        let mut compiler = Compiler::default();
        let mut needs_data = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            let pattern = pattern.as_ref();
            compiler.add(pattern, check).map_err(|error| CriteriaError::Pattern { index, error })?;
            needs_data.push(serde_json::from_str(pattern).is_ok_and(|value| names_data(&value)));
        }
        Ok(Criteria { compiled: compiler.finish(), needs_data })
    }

    /// Whether a record matches one of the filters. Of data that is not JSON no pattern holds which says anything of
    /// data.
    pub fn matches(&self, record: KinesisRecord<'_>) -> bool {
        let Compiled { root, patterns } = &self.compiled;
        if patterns.is_empty() {
            return true;
        }
        let mut marks = Marks::new();
        root.begin(&mut marks);
        let mut metadata = |name: &str, value: Scalar<'_>| {
            if let Some(field) = root.field(name) {
                field.scalar(value, &mut marks);
            }
        };
        metadata("partitionKey", Scalar::Text(record.partition_key));
        metadata("sequenceNumber", Scalar::Text(record.sequence_number));
        metadata("kinesisSchemaVersion", Scalar::Text("1.0"));
        let arrival_s = record.arrival_ms as f64 / 1_000.0;
        metadata("approximateArrivalTimestamp", Scalar::Number(Number::Float(arrival_s)));
        let data = root.field("data");
        let is_json = data.is_some_and(|data: &Node| data.walk(record.data, &mut marks).is_ok());
        root.end(&mut marks);
        let mut patterns = patterns.iter().zip(&self.needs_data);
        patterns.any(|(all, needs_data)| (is_json || !needs_data) && all.holds(&marks))
    }
}

/// A field that no record has would keep every record from the function.
fn check(field: &str, value: &Value) -> Result<(), String> {
    match (field, value) {
        ("data", Value::Object(_)) => Ok(()),
        ("data", _) => {
            Err("an object of fields is expected: the data of a stream is matched as JSON".to_owned())
        }
        _ if METADATA.contains(&field) => Ok(()),
        ("kinesis", _) => Err("a record has no such field: `data` stands right in the pattern".to_owned()),
        _ => {
            let metadata = METADATA.join(", ");
            Err(format!("a record has no such field: it has data, {metadata}"))
        }
    }
}

/// Whether a pattern says anything of a record's data.
fn names_data(pattern: &Value) -> bool {
    let Value::Object(fields) = pattern else { return false };
    let or = fields.get("$or").and_then(Value::as_array);
    fields.contains_key("data") || or.is_some_and(|any| any.iter().any(names_data))
}
