//! One bit changed after signing.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::draft::{Draft, fingerprint, known, verify};

/// A signed request as the bytes that a bit can be changed in.
#[derive(Clone)]
struct Wire {
    parts: Vec<Vec<u8>>,
}

const METHOD: usize = 0;
const TARGET: usize = 1;
const BODY: usize = 2;
const HEADERS: usize = 3;

impl Wire {
    fn of(head: &Parts, body: &[u8]) -> Wire {
        let mut parts =
            vec![head.method.as_str().as_bytes().to_vec(), head.uri.to_string().into_bytes(), body.to_vec()];
        for (name, value) in &head.headers {
            parts.extend([name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()]);
        }
        Wire { parts }
    }

    /// The request again; `None` when it is none any more.
    fn read(&self) -> Option<(Parts, &[u8])> {
        let mut request = http::Request::new(());
        *request.method_mut() = Method::from_bytes(&self.parts[METHOD]).ok()?;
        *request.uri_mut() = self.parts[TARGET].as_slice().try_into().ok()?;
        // What no request line can hold.
        request.uri().path().starts_with('/').then_some(())?;
        for header in self.parts[HEADERS..].chunks_exact(2) {
            let name = HeaderName::from_bytes(&header[0]).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(&header[1]).ok()?);
        }
        Some((request.into_parts().0, &self.parts[BODY]))
    }
}

/// How many of these flips make another request; each of those has to be refused. `seed` tells which draft it was.
fn refused(seed: u64, flips: impl Fn(&Wire) -> Vec<(usize, usize)>) -> usize {
    let verifier = known();
    let (head, body) = Draft::random(seed).sign();
    let (wire, before) = (Wire::of(&head, &body), fingerprint(&head));
    assert!(before.is_some() && verify(&verifier, &head, &body).is_ok(), "seed {seed}");
    let mut refused = 0;
    for (part, bit) in flips(&wire) {
        let mut changed = wire.clone();
        changed.parts[part][bit / 8] ^= 1 << (bit % 8);
        let Some((other, other_body)) = changed.read() else { continue };
        if part != BODY && fingerprint(&other) == before {
            continue;
        }
        refused += 1;
        let outcome = verify(&verifier, &other, other_body);
        assert!(outcome.is_err(), "seed {seed}, part {part}, bit {bit}: {other:?}");
    }
    refused
}

#[test]
fn any_bit_of_a_signed_request_that_is_changed_makes_it_refused() {
    let every = |wire: &Wire| {
        let parts = wire.parts.iter().enumerate();
        parts.flat_map(|(part, bytes)| (0..bytes.len() * 8).map(move |bit| (part, bit))).collect()
    };
    let flips: usize = (0..8).map(|seed| refused(seed, every)).sum();
    assert!(flips > 20_000, "only {flips} changes were tried");
}

#[test]
fn bits_changed_here_and_there_in_many_signed_requests_make_them_refused() {
    let flips: usize = (0..4_000)
        .map(|seed| {
            let sampled = |wire: &Wire| {
                let rng = &mut StdRng::seed_from_u64(seed);
                let full: Vec<usize> = (0..wire.parts.len()).filter(|n| !wire.parts[*n].is_empty()).collect();
                let mut flip = || {
                    let part = full[rng.random_range(0..full.len())];
                    (part, rng.random_range(0..wire.parts[part].len() * 8))
                };
                (0..8).map(|_| flip()).collect()
            };
            refused(seed, sampled)
        })
        .sum();
    assert!(flips > 20_000, "only {flips} changes were tried");
}
