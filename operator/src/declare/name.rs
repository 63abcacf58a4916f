//! The object's name of a stream that is made by the API.

use sha2::{Digest, Sha256};

/// The longest name that is given: what also fits into a label.
const MAX_CHARS: usize = 63;
const HASH_CHARS: usize = 8;

/// A legal object name for a stream: the stream's own where that is one, else one that resembles it and that no
/// other stream's is likely to be.
pub fn object_name(stream: &str) -> String {
    if is_legal(stream) { stream.to_owned() } else { hashed_name(stream) }
}

/// The name for a stream whose [`object_name`] is taken by another one's object.
pub fn hashed_name(stream: &str) -> String {
    let lower = stream.to_ascii_lowercase();
    let cleaned: String = lower
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' })
        .take(MAX_CHARS - HASH_CHARS - 1)
        .collect();
    let labels: Vec<&str> =
        cleaned.split('.').map(|label| label.trim_matches('-')).filter(|label| !label.is_empty()).collect();
    let stem = if labels.is_empty() { "stream".to_owned() } else { labels.join(".") };
    let hash = hex::encode(Sha256::digest(stream.as_bytes()));
    format!("{stem}-{}", &hash[..HASH_CHARS])
}

/// Whether this is a DNS-1123 subdomain, and short.
fn is_legal(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_label = |label: &str| {
        let edge = |c: Option<u8>| c.is_some_and(|c| inner(c) && c != b'-');
        edge(label.bytes().next()) && edge(label.bytes().last()) && label.bytes().all(inner)
    };
    name.len() <= MAX_CHARS && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_is_legal_stays_and_others_resemble_theirs() {
        assert_eq!(object_name("orders.raw-2"), "orders.raw-2");
        assert_eq!(object_name("Orders_v1.raw"), "orders-v1.raw-6a552a8d");
        assert_eq!(object_name("_"), "stream-d2e2adf7");
        assert_ne!(object_name("ORDERS"), object_name("Orders"));
    }

    proptest! {
        #[test]
        fn every_streams_object_has_a_legal_name(stream in "[a-zA-Z0-9_.-]{1,128}") {
            prop_assert!(is_legal(&object_name(&stream)), "{}", object_name(&stream));
            prop_assert!(is_legal(&hashed_name(&stream)));
        }
    }
}
