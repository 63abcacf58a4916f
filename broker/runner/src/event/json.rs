//! Pieces of JSON.

use jiff::Timestamp;

/// Writes a text as a JSON string.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    // Writing to memory can't fail, and a text is always valid.
    let _ = serde_json::to_writer(out, text);
}

/// How long a text is as a JSON string, in bytes.
pub(super) fn string_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

/// Unix milliseconds as Lambda's records have them: RFC 3339 in UTC with three digits, `2019-11-14T00:38:06.021Z`.
pub fn timestamp(unix_ms: i64) -> String {
    let time = Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The id of a request: a UUID of version 4 (RFC 9562) from 128 random bits.
pub fn request_id(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}
