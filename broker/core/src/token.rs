//! Opaque texts that clients carry for us: shard iterators and list tokens.
//!
//! A token is base64url of: version, purpose, expiry (Unix ms, big-endian), CBOR payload, then the first 16
//! bytes of an HMAC-SHA256 over all of that under the cluster's key. A client can read one but neither make
//! nor change one, and the payload names the stream, so that a token of one stream is none of another's.

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use minicbor::{Decode, Encode};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::id::{DataId, ShardId};
use crate::map::cbor;
use crate::sequence::Position;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + 1 + 8;

/// The key that a cluster's tokens are sealed with: 32 random bytes, the same on every broker.
#[derive(Clone)]
pub struct TokenKey(pub [u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// `GetRecords`.
    ShardIterator = 1,
    /// `ListShards` with a next token.
    ListShards = 2,
    /// `ListStreams` with a next token.
    ListStreams = 3,
    /// `ListStreamConsumers` with a next token.
    ListConsumers = 4,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was not made by this cluster, was changed, or is for something else.
    #[error("the token is not one of ours")]
    Invalid,
    /// It was good once.
    #[error("the token has expired")]
    Expired {
        /// When it expired, in Unix milliseconds.
        at_ms: i64,
    },
}

/// Where a reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIterator {
    /// The stream's data.
    pub data: DataId,
    /// The shard.
    pub shard: ShardId,
    /// The first record that the reader has not seen.
    pub next: Position,
    /// Records that arrived before this time (Unix ms) are passed over: `AT_TIMESTAMP`.
    pub not_before_ms: Option<i64>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct IteratorPayload<'a> {
    #[b(0)]
    data: &'a str,
    #[n(1)]
    shard: u64,
    #[n(2)]
    pack: u64,
    #[n(3)]
    index: u32,
    #[n(4)]
    not_before_ms: Option<i64>,
}

impl ShardIterator {
    /// The iterator as a client carries it.
    pub fn seal(&self, key: &TokenKey, expires_ms: i64) -> String {
        let payload = IteratorPayload {
            data: self.data.as_str(),
            shard: self.shard.0,
            pack: self.next.pack,
            index: self.next.index,
            not_before_ms: self.not_before_ms,
        };
        seal(key, Purpose::ShardIterator, expires_ms, &payload)
    }

    /// Reads an iterator that a client brought.
    ///
    /// # Errors
    /// When it is not one of this cluster's, or has expired.
    pub fn open(key: &TokenKey, text: &str, now_ms: i64) -> Result<ShardIterator, TokenError> {
        let bytes = open(key, Purpose::ShardIterator, text, now_ms)?;
        let payload: IteratorPayload<'_> = minicbor::decode(&bytes).map_err(|_| TokenError::Invalid)?;
        Ok(ShardIterator {
            data: payload.data.parse().map_err(|_| TokenError::Invalid)?,
            shard: ShardId(payload.shard),
            next: Position { pack: payload.pack, index: payload.index },
            not_before_ms: payload.not_before_ms,
        })
    }
}

/// Seals any payload for one purpose.
pub fn seal<T: Encode<()>>(key: &TokenKey, purpose: Purpose, expires_ms: i64, payload: &T) -> String {
    let mut bytes = cbor::versioned(VERSION, payload);
    bytes.splice(1..1, std::iter::once(purpose as u8).chain(expires_ms.to_be_bytes()));
    let mac = mac(key, &bytes);
    bytes.extend_from_slice(&mac);
    URL_SAFE_NO_PAD.encode_to_string(&bytes)
}

/// The CBOR payload of a token that [`seal`] made with the same key and purpose.
///
/// # Errors
/// When it is not one of this cluster's, is for another purpose, or has expired.
pub fn open(key: &TokenKey, purpose: Purpose, text: &str, now_ms: i64) -> Result<Vec<u8>, TokenError> {
    let mut bytes = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| TokenError::Invalid)?;
    if bytes.len() < HEAD_BYTES + MAC_BYTES {
        return Err(TokenError::Invalid);
    }
    let given = bytes.split_off(bytes.len() - MAC_BYTES);
    let genuine: bool = mac(key, &bytes).ct_eq(&given).into();
    if !genuine || bytes[0] != VERSION || bytes[1] != purpose as u8 {
        return Err(TokenError::Invalid);
    }
    let mut expiry = [0; 8];
    expiry.copy_from_slice(&bytes[2..HEAD_BYTES]);
    let at_ms = i64::from_be_bytes(expiry);
    if at_ms < now_ms {
        return Err(TokenError::Expired { at_ms });
    }
    Ok(bytes.split_off(HEAD_BYTES))
}

fn mac(key: &TokenKey, bytes: &[u8]) -> [u8; MAC_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    mac.update(bytes);
    let mut short = [0; MAC_BYTES];
    short.copy_from_slice(&mac.finalize().into_bytes()[..MAC_BYTES]);
    short
}
