//! Checking a request against the constraints of Kinesis' model, all of them before anything is answered.
//!
//! The constraints are those of the API's service model (`kinesis/2013-12-02`), the texts those that the
//! service answers with.

use std::fmt::Display;

use millrace_core::RecordSize;

use super::error::ApiError;

/// The service names no more violations than this in one answer.
const MAX_VIOLATIONS: usize = 10;
/// Longer values are cut where they are quoted.
const MAX_QUOTED_CHARS: usize = 512;

/// The pattern that a text follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    Any,
    /// Names of streams and shards.
    Name,
    /// 128 bits in decimal: 39 digits at most.
    HashKey,
    /// 129 digits at most.
    SequenceNumber,
    StreamArn,
    /// ARNs of what a stream has to do with: itself, its consumers, and what is none of ours.
    ResourceArn,
    ConsumerArn,
}

impl Pattern {
    fn text(self) -> &'static str {
        match self {
            Pattern::Any => ".*",
            Pattern::Name => "[a-zA-Z0-9_.-]+",
            Pattern::HashKey => r"0|([1-9]\d{0,38})",
            Pattern::SequenceNumber => r"0|([1-9]\d{0,128})",
            Pattern::StreamArn => r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+",
            Pattern::ResourceArn => r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+",
            Pattern::ConsumerArn => {
                r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+"
            }
        }
    }

    fn fits(self, text: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Name => is_name(text),
            Pattern::HashKey => decimal(text, 39),
            Pattern::SequenceNumber => decimal(text, 129),
            Pattern::StreamArn => {
                arn_resource(text).and_then(|rest| rest.strip_prefix("stream/")).is_some_and(is_path)
            }
            Pattern::ResourceArn => {
                let kinds = ["stream/", "channel/", "queue/"];
                arn_resource(text).is_some_and(|rest| {
                    kinds.iter().any(|kind| rest.split_once(kind).is_some_and(|(_, path)| is_path(path)))
                })
            }
            Pattern::ConsumerArn => arn_resource(text).and_then(consumer_of).is_some(),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_path(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

/// Stream, name and seconds of registration in `stream/NAME/consumer/NAME:SECONDS`, what a consumer's ARN ends in.
pub(super) fn consumer_of(resource: &str) -> Option<(&str, &str, i64)> {
    let (stream, consumer) = resource.strip_prefix("stream/")?.split_once("/consumer/")?;
    let (name, seconds) = consumer.split_once(':')?;
    let digits = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
    (is_name(stream) && is_name(name) && digits).then_some((stream, name, seconds.parse().ok()?))
}

fn decimal(text: &str, max_digits: usize) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits && text.len() <= max_digits && (text == "0" || !text.starts_with('0'))
}

/// What stands behind the account in an ARN of Kinesis.
fn arn_resource(text: &str) -> Option<&str> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    let (arn, partition, service, _region) = (next()?, next()?, next()?, next()?);
    let (account, resource) = (next()?, next()?);
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (arn == "arn" && partition.starts_with("aws") && service == "kinesis" && digits).then_some(resource)
}

/// What the model asks of a text member. Lengths are in characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextRule {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) pattern: Pattern,
}

const fn rule(min: usize, max: usize, pattern: Pattern) -> TextRule {
    TextRule { min, max, pattern }
}

pub(super) const STREAM_NAME: TextRule = rule(1, 128, Pattern::Name);
pub(super) const SHARD_ID: TextRule = rule(1, 128, Pattern::Name);
pub(super) const STREAM_ARN: TextRule = rule(1, 2_048, Pattern::StreamArn);
pub(super) const RESOURCE_ARN: TextRule = rule(1, 2_048, Pattern::ResourceArn);
pub(super) const CONSUMER_ARN: TextRule = rule(1, 2_048, Pattern::ConsumerArn);
pub(super) const CONSUMER_NAME: TextRule = rule(1, 128, Pattern::Name);
pub(super) const KEY_ID: TextRule = rule(1, 2_048, Pattern::Any);
pub(super) const PARTITION_KEY: TextRule = rule(1, 256, Pattern::Any);
pub(super) const HASH_KEY: TextRule = rule(0, usize::MAX, Pattern::HashKey);
pub(super) const SEQUENCE_NUMBER: TextRule = rule(0, usize::MAX, Pattern::SequenceNumber);
pub(super) const SHARD_ITERATOR: TextRule = rule(1, 512, Pattern::Any);
pub(super) const NEXT_TOKEN: TextRule = rule(1, 1_048_576, Pattern::Any);

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<String>);

impl Checks {
    /// Notes a violation. `value` as the service would quote it, or `null`.
    pub(super) fn violated(&mut self, at: &str, value: Option<&dyn Display>, constraint: impl Display) {
        if self.0.len() >= MAX_VIOLATIONS {
            return;
        }
        let value = match value {
            None => "null".to_owned(),
            Some(value) => {
                let value = value.to_string();
                match value.char_indices().nth(MAX_QUOTED_CHARS) {
                    Some((end, _)) => format!("'{}...'", &value[..end]),
                    None => format!("'{value}'"),
                }
            }
        };
        self.0.push(format!("Value {value} at '{at}' failed to satisfy constraint: {constraint}"));
    }

    /// The member has to be there.
    pub(super) fn required<T>(&mut self, at: &str, value: Option<T>) {
        if value.is_none() {
            self.violated(at, None, "Member must not be null");
        }
    }

    /// The text has to follow its rule, if it is there.
    pub(super) fn text(&mut self, at: &str, value: Option<&str>, rule: TextRule) {
        let Some(value) = value else { return };
        if !rule.pattern.fits(value) {
            let pattern = rule.pattern.text();
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            self.violated(at, Some(&value), constraint);
        }
        // Counting is for texts that may be too long: none has more characters than bytes.
        let chars = if value.len() <= rule.max { value.len() } else { value.chars().count() };
        self.length(at, &value, chars, rule.min, rule.max);
    }

    /// The length has to lie within its bounds.
    pub(super) fn length(&mut self, at: &str, value: &dyn Display, length: usize, min: usize, max: usize) {
        if length < min {
            let constraint = format!("Member must have length greater than or equal to {min}");
            self.violated(at, Some(value), constraint);
        }
        if length > max {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.violated(at, Some(value), constraint);
        }
    }

    /// The number has to lie within its bounds, if it is there.
    pub(super) fn number(&mut self, at: &str, value: Option<i64>, min: i64, max: i64) {
        let Some(value) = value else { return };
        if value < min {
            let constraint = format!("Member must have value greater than or equal to {min}");
            self.violated(at, Some(&value), constraint);
        }
        if value > max {
            let constraint = format!("Member must have value less than or equal to {max}");
            self.violated(at, Some(&value), constraint);
        }
    }

    /// The text has to be one of these, if it is there.
    pub(super) fn one_of(&mut self, at: &str, value: Option<&str>, values: &[&str]) {
        if let Some(value) = value
            && !values.contains(&value)
        {
            let constraint = format!("Member must satisfy enum value set: [{}]", values.join(", "));
            self.violated(at, Some(&value), constraint);
        }
    }

    /// What a request names its stream by has to follow its rules.
    pub(super) fn stream(&mut self, name: Option<&str>, arn: Option<&str>) {
        self.text("streamARN", arn, STREAM_ARN);
        self.text("streamName", name, STREAM_NAME);
    }

    /// What a request names a stream or a consumer by has to be there and follow its rules.
    pub(super) fn resource(&mut self, arn: Option<&str>) {
        self.required("resourceARN", arn);
        self.text("resourceARN", arn, RESOURCE_ARN);
    }

    /// The size of a record has to lie within its bounds, if it is there.
    pub(super) fn record_size(&mut self, kib: Option<i64>) {
        let (min, max) = (RecordSize::MIN.kib(), RecordSize::MAX.kib());
        self.number("maxRecordSizeInKiB", kib, i64::from(min), i64::from(max));
    }

    /// Whether anything is wrong so far.
    pub(super) fn failed(&self) -> bool {
        !self.0.is_empty()
    }

    /// Everything that is wrong, in one error.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let errors = if self.0.len() == 1 { "error" } else { "errors" };
        let text = format!("{} validation {errors} detected: {}", self.0.len(), self.0.join("; "));
        Err(ApiError::validation(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_stand_in_one_message() {
        let mut checks = Checks::default();
        checks.required("shardId", None::<&str>);
        checks.text("streamName", Some(""), STREAM_NAME);
        checks.number("limit", Some(10_001), 1, 10_000);
        let error = checks.finish().unwrap_err();
        assert_eq!(error.name, "ValidationException");
        assert_eq!(
            error.message,
            "4 validation errors detected: \
             Value null at 'shardId' failed to satisfy constraint: Member must not be null; \
             Value '' at 'streamName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; \
             Value '' at 'streamName' failed to satisfy constraint: \
             Member must have length greater than or equal to 1; \
             Value '10001' at 'limit' failed to satisfy constraint: \
             Member must have value less than or equal to 10000"
        );
    }

    #[test]
    fn patterns_are_those_of_the_model() {
        assert!(
            Pattern::Name.fits("Orders_v1.raw-2") && !Pattern::Name.fits("a b") && !Pattern::Name.fits("ä")
        );
        assert!(Pattern::HashKey.fits("0") && !Pattern::HashKey.fits("00") && !Pattern::HashKey.fits("-1"));
        assert!(Pattern::HashKey.fits(&"9".repeat(39)) && !Pattern::HashKey.fits(&"9".repeat(40)));
        assert!(Pattern::SequenceNumber.fits(&"9".repeat(129)));
        assert!(Pattern::StreamArn.fits("arn:aws:kinesis:eu-west-1:012345678901:stream/a"));
        assert!(Pattern::StreamArn.fits("arn:aws-cn:kinesis::012345678901:stream/a"));
        let consumer = "arn:aws:kinesis:eu-west-1:012345678901:stream/a/consumer/b:17";
        assert!(Pattern::ConsumerArn.fits(consumer) && Pattern::ResourceArn.fits(consumer));
        assert!(Pattern::ResourceArn.fits("arn:aws:kinesis:eu-west-1:012345678901:queue/a"));
        for bad in
            ["stream/a", "stream/a/consumer/b", "stream/a/consumer/b:", "stream//consumer/b:1", "table/a"]
        {
            assert!(!Pattern::ConsumerArn.fits(&format!("arn:aws:kinesis:r:012345678901:{bad}")), "{bad}");
        }
        assert!(!Pattern::ResourceArn.fits("arn:aws:kinesis:r:012345678901:table/a"));
        for bad in ["arn:aws:kinesis:r:01234567890:stream/a", "arn:aws:sqs:r:012345678901:stream/a", "a", ""]
        {
            assert!(!Pattern::StreamArn.fits(bad), "{bad}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let mut checks = Checks::default();
        checks.text("partitionKey", Some(&"ä".repeat(256)), PARTITION_KEY);
        assert!(checks.finish().is_ok());
        let mut checks = Checks::default();
        checks.text("partitionKey", Some(&"ä".repeat(257)), PARTITION_KEY);
        assert!(checks.finish().is_err());
    }

    #[test]
    fn an_answer_does_not_grow_with_what_is_wrong() {
        let mut checks = Checks::default();
        for _ in 0..1_000 {
            checks.text("streamName", Some(&"a b".repeat(1_000)), STREAM_NAME);
        }
        let message = checks.finish().unwrap_err().message;
        assert!(message.starts_with("10 validation errors detected"));
        assert!(message.len() < 10 * 1_024);
    }
}
