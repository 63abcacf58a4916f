//! Records as text.

use std::io::Write;

use base64_simd::STANDARD as BASE64;
use millrace_core::ShardId;
use serde_json::json;

use crate::client::ApiRecord;

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Time, key and data, for people.
    Lines,
    /// A JSON object a line, for programs.
    Json,
}

/// Prints records to standard output, and hands them on at once.
pub(super) fn print(style: Style, shard: ShardId, records: &[ApiRecord]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for record in records {
        match style {
            Style::Lines => writeln!(out, "{}", line(record))?,
            Style::Json => writeln!(out, "{}", object(shard, record))?,
        }
    }
    out.flush()
}

fn line(record: &ApiRecord) -> String {
    let key = plain(&record.partition_key);
    let bytes = BASE64.decode_to_vec(&record.data).unwrap_or_default();
    match std::str::from_utf8(&bytes) {
        Ok(text) => format!("{:.3}  {key}  {}", record.arrived, plain(text)),
        Err(_) => format!("{:.3}  {key}  base64:{}", record.arrived, record.data),
    }
}

fn object(shard: ShardId, record: &ApiRecord) -> String {
    json!({
        "shard": shard.to_string(),
        "sequenceNumber": record.sequence_number,
        "time": format!("{:.3}", record.arrived),
        "partitionKey": record.partition_key,
        "data": record.data,
    })
    .to_string()
}

/// A text without control characters: those of a record must not move a terminal's cursor, or end its line.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && letter != '\t' {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(data: &[u8]) -> ApiRecord {
        ApiRecord {
            sequence_number: "7".into(),
            partition_key: "user-1".into(),
            data: BASE64.encode_to_string(data),
            arrived: "2026-03-01T12:00:00.5Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_record_is_a_line_of_time_key_and_data() {
        assert_eq!(line(&record("grüß dich".as_bytes())), "2026-03-01T12:00:00.500Z  user-1  grüß dich");
    }

    #[test]
    fn control_characters_are_told_and_not_sent_to_the_terminal() {
        assert!(line(&record(b"a\x1b[2Jb\nc")).ends_with("a\\u{1b}[2Jb\\nc"));
    }

    #[test]
    fn what_is_no_text_is_printed_in_base_64() {
        assert!(line(&record(&[0xff, 0x00])).ends_with("user-1  base64:/wA="));
    }

    #[test]
    fn programs_get_everything_as_json() {
        let said: serde_json::Value = serde_json::from_str(&object(ShardId(2), &record(b"x"))).unwrap();
        assert_eq!((&said["shard"], &said["data"]), (&json!("shardId-000000000002"), &json!("eA==")));
    }
}
