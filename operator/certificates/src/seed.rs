//! The secret that everything follows from.

use std::fmt;

/// How long a seed is, in bytes.
const SEED_BYTES: usize = 32;

/// 32 random bytes. Whoever has them can issue any certificate of any Broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; SEED_BYTES]);

/// A seed of the wrong length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a seed has {SEED_BYTES} bytes, not {found}: restore the Secret that holds it from a backup")]
pub struct SeedError {
    /// How many bytes there were.
    pub found: usize,
}

impl Seed {
    /// A seed of these bytes, which have to be random.
    pub fn new(bytes: [u8; SEED_BYTES]) -> Seed {
        Seed(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Seed {
    type Error = SeedError;

    fn try_from(bytes: &[u8]) -> Result<Seed, SeedError> {
        bytes.try_into().map(Seed).map_err(|_| SeedError { found: bytes.len() })
    }
}

/// Says nothing of the bytes: what is debugged ends up in logs.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_does_not_show_its_bytes_and_has_a_fixed_length() {
        let bytes = [77; SEED_BYTES];
        assert_eq!(format!("{:?}", Seed::new(bytes)), "Seed(…)");
        assert_eq!(Seed::try_from(&bytes[..]), Ok(Seed::new(bytes)));
        assert_eq!(Seed::try_from(&bytes[1..]), Err(SeedError { found: 31 }));
    }
}
