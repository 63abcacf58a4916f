//! Versions of nats-server, and which one is too old.

use std::fmt;

/// A version of nats-server: major, minor, patch. Orders by age; a pre-release is older than its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    numbers: (u32, u32, u32),
    released: bool,
}

/// Older ones have known holes.
pub const MIN_VERSION: ServerVersion = ServerVersion { numbers: (2, 15, 2), released: true };

impl ServerVersion {
    /// The version in a text like `2.15.2`, `v2.16.0-RC.1` or `nats-server: v2.15.2`.
    pub fn parse(text: &str) -> Option<ServerVersion> {
        let text = text.trim().trim_start_matches("nats-server:").trim().trim_start_matches('v');
        let (numbers, suffix) = text.split_once(['-', '+', ' ']).map_or((text, ""), |(n, s)| (n, s));
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        let numbers = (parts.next()??, parts.next()??, parts.next()??);
        Some(ServerVersion { numbers, released: suffix.is_empty() })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.numbers;
        let suffix = if self.released { "" } else { " (pre-release)" };
        write!(f, "{major}.{minor}.{patch}{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number_and_a_pre_release_comes_before_its_release() {
        let parse = |text| ServerVersion::parse(text).expect("a version");
        assert_eq!(parse("nats-server: v2.15.2\n"), MIN_VERSION);
        assert!(parse("2.9.25") < MIN_VERSION);
        assert!(parse("2.15.2-RC.1") < MIN_VERSION);
        assert!(parse("v2.16.0-dev") > MIN_VERSION);
        assert!(parse("10.0.0") > MIN_VERSION);
        for bad in ["", "2.15", "nats-server", "a.b.c"] {
            assert_eq!(ServerVersion::parse(bad), None, "{bad:?}");
        }
    }
}
