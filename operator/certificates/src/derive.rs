//! From the seed to keys and serial numbers: HKDF with SHA-256 (RFC 5869).

use hkdf::Hkdf;
use sha2::Sha256;

use crate::Seed;

/// Separates these keys from whatever else may be derived from the seed one day.
const SALT: &[u8] = b"millrace mutual TLS, version 1";
/// Where a key in PKCS #8 has its 32 bytes: what goes before says "a private key of Ed25519" (RFC 8410).
const PKCS8_OF_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Bytes that follow from the seed and this context. Each part goes in behind its length: otherwise
/// `("ab", "c")` and `("a", "bc")`, two Brokers of two namespaces, would get the same bytes.
pub(crate) fn bytes<const N: usize>(seed: &Seed, context: &[&[u8]]) -> [u8; N] {
    let mut info = Vec::new();
    for part in context {
        info.extend_from_slice(&(part.len() as u64).to_be_bytes());
        info.extend_from_slice(part);
    }
    let mut derived = [0; N];
    let hkdf = Hkdf::<Sha256>::new(Some(SALT), seed.bytes());
    hkdf.expand(&info, &mut derived).expect("HKDF gives up to 8,160 bytes");
    derived
}

/// An Ed25519 key in PKCS #8, version 1. Any 32 bytes are a key.
pub(crate) fn key(seed: &Seed, context: &[&[u8]]) -> Vec<u8> {
    let key: [u8; 32] = bytes(seed, context);
    [&PKCS8_OF_ED25519[..], &key].concat()
}

/// A serial number: positive, and of one length.
pub(crate) fn serial(seed: &Seed, context: &[&[u8]]) -> [u8; 16] {
    let mut serial: [u8; 16] = bytes(seed, context);
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_context_do_not_run_into_each_other() {
        let seed = Seed::new([1; 32]);
        let derived: [[u8; 32]; 4] = [
            bytes(&seed, &[b"ab", b"c"]),
            bytes(&seed, &[b"a", b"bc"]),
            bytes(&seed, &[b"abc"]),
            bytes(&seed, &[b"abc", b""]),
        ];
        for (n, one) in derived.iter().enumerate() {
            assert!(derived[n + 1..].iter().all(|other| one != other), "{n}");
        }
    }

    #[test]
    fn what_is_derived_stays_as_it_is_across_releases() {
        let derived: [u8; 8] = bytes(&Seed::new([1; 32]), &[b"ca", b"default", b"main"]);
        assert_eq!(hex::encode(derived), "7fdd3f4a6ae560e4");
    }

    #[test]
    fn serial_numbers_are_positive() {
        for n in 0..100_u8 {
            let serial = serial(&Seed::new([n; 32]), &[]);
            assert!((0x40..0x80).contains(&serial[0]));
        }
    }
}
