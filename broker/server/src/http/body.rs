//! Reading a request's body whole, within bounds.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Body;

/// How much of a packed body is unpacked at a time.
const UNPACK_BYTES: usize = 64 << 10;

/// The memory that the bodies of all requests may take together.
///
/// Counted as bytes come in, never waited for: who finds it used up is told to come again, so that callers
/// who send slowly can't lock each other up.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    kib: Arc<Semaphore>,
    whole_kib: usize,
}

impl BodyBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> BodyBudget {
        let whole_kib = (bytes / 1024).min(Semaphore::MAX_PERMITS);
        BodyBudget { kib: Arc::new(Semaphore::new(whole_kib)), whole_kib }
    }

    /// What is taken of it now, in bytes.
    pub fn used_bytes(&self) -> usize {
        (self.whole_kib - self.kib.available_permits().min(self.whole_kib)) * 1024
    }

    /// Brings a body's share to so many bytes. No body gets more than is left to the others then: so a few large
    /// ones that don't end leave room for small ones, however full it is.
    fn take(&self, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), BodyError> {
        let have_kib = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let want_kib = bytes.div_ceil(1024);
        let more_kib = want_kib.saturating_sub(have_kib);
        if more_kib == 0 {
            return Ok(());
        }
        if want_kib + more_kib > self.kib.available_permits() {
            return Err(BodyError::Overloaded);
        }
        let more = u32::try_from(more_kib).map_err(|_| BodyError::Overloaded)?;
        let permit = self.kib.clone().try_acquire_many_owned(more).map_err(|_| BodyError::Overloaded)?;
        match held {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
        Ok(())
    }
}

/// What one body may take.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// The longest body that is read, in bytes.
    pub max_bytes: usize,
    /// From the end of the head to the end of the body.
    pub timeout: Duration,
    /// What all bodies share.
    pub budget: BodyBudget,
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is, or says that it is, longer than allowed.
    #[error("the request's body is longer than {limit_bytes} bytes")]
    TooLarge {
        /// The most that is read.
        limit_bytes: usize,
    },
    /// It did not end in time.
    #[error("the request's body did not arrive in {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// All requests together hold as much as they may.
    #[error("too many requests are being received at once")]
    Overloaded,
    /// The connection broke.
    #[error("the request's body broke off: {0}")]
    Broken(String),
}

/// A body, and its share of the budget for as long as this lives.
#[derive(Debug)]
pub struct HeldBody {
    /// The bytes.
    pub bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes to be sent, with a share of the budget until they are.
///
/// # Errors
/// When too much of the budget is used up.
pub fn hold(bytes: Vec<u8>, budget: &BodyBudget) -> Result<Bytes, BodyError> {
    let mut share = None;
    budget.take(bytes.len(), &mut share)?;
    Ok(Bytes::from_owner(HeldBody { bytes: bytes.into(), _share: share }))
}

/// Reads a body to its end.
///
/// # Errors
/// When a bound is exceeded or the connection breaks. The rest of the body is not read then: see [`drain`].
pub async fn read(body: &mut Body, limits: &BodyLimits) -> Result<HeldBody, BodyError> {
    match tokio::time::timeout(limits.timeout, collect(body, limits)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(BodyError::TooSlow(limits.timeout)),
    }
}

async fn collect(body: &mut Body, limits: &BodyLimits) -> Result<HeldBody, BodyError> {
    let too_large = BodyError::TooLarge { limit_bytes: limits.max_bytes };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.max_bytes {
        return Err(too_large);
    }
    let mut share = None;
    // A body that comes in one piece is taken as it is, without a copy.
    let first = next_data(body).await?.unwrap_or_default();
    if first.len() > limits.max_bytes {
        return Err(too_large);
    }
    limits.budget.take(first.len(), &mut share)?;
    let Some(second) = next_data(body).await? else {
        return Ok(HeldBody { bytes: first, _share: share });
    };
    let mut whole = BytesMut::with_capacity(announced.max(first.len() + second.len()).min(limits.max_bytes));
    whole.extend_from_slice(&first);
    drop(first);
    let mut piece = Some(second);
    while let Some(data) = piece {
        if whole.len() + data.len() > limits.max_bytes {
            return Err(too_large);
        }
        limits.budget.take(whole.len() + data.len(), &mut share)?;
        whole.extend_from_slice(&data);
        piece = next_data(body).await?;
    }
    Ok(HeldBody { bytes: whole.freeze(), _share: share })
}

async fn next_data(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// What a body that was packed with gzip holds (RFC 1952): no more than a body may, and counted as one.
///
/// # Errors
/// When it is no gzip, or exceeds a bound: it is given up at the first byte too many.
pub fn unpack(packed: &HeldBody, limits: &BodyLimits) -> Result<HeldBody, BodyError> {
    let mut packed = MultiGzDecoder::new(&packed.bytes[..]);
    let mut share = None;
    let mut whole = Vec::new();
    loop {
        let before = whole.len();
        // Counted before it is there.
        limits.budget.take(before + UNPACK_BYTES, &mut share)?;
        let piece = packed.by_ref().take(UNPACK_BYTES as u64).read_to_end(&mut whole);
        piece.map_err(|error| BodyError::Broken(format!("it is no gzip: {error}")))?;
        if whole.len() > limits.max_bytes {
            return Err(BodyError::TooLarge { limit_bytes: limits.max_bytes });
        }
        if whole.len() == before {
            return Ok(HeldBody { bytes: whole.into(), _share: share });
        }
    }
}

/// Throws away what is left of a body, up to twice its bound and within its time, so that a caller who is
/// still sending reads the answer instead of a broken connection. Not of one who asked before sending, who has the
/// answer to that now, nor of one who would be sending for longer than that.
pub async fn drain(head: &Parts, body: &mut Body, limits: &BodyLimits) {
    let mut left = limits.max_bytes.saturating_mul(2);
    let asked = head
        .headers
        .get(header::EXPECT)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if asked || body.size_hint().lower() > left as u64 {
        return;
    }
    let all = async {
        while let Ok(Some(data)) = next_data(body).await {
            match left.checked_sub(data.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Whether the end was reached makes no difference: the connection is closed if not.
    let _ = tokio::time::timeout(limits.timeout, all).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    fn limits(max_bytes: usize, budget: usize) -> BodyLimits {
        BodyLimits { max_bytes, timeout: Duration::from_secs(5), budget: BodyBudget::new(budget) }
    }

    fn pieces(pieces: Vec<&'static str>) -> Body {
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_read_whole() {
        let held = read(&mut pieces(vec!["ab", "", "cd", "e"]), &limits(5, 1 << 20)).await.unwrap();
        assert_eq!(held.bytes, "abcde");
        let held = read(&mut pieces(vec![]), &limits(5, 1 << 20)).await.unwrap();
        assert!(held.bytes.is_empty());
    }

    #[tokio::test]
    async fn a_body_beyond_its_bound_is_refused_whether_it_says_so_or_not() {
        let too_large = BodyError::TooLarge { limit_bytes: 4 };
        let unannounced = read(&mut pieces(vec!["ab", "cd", "e"]), &limits(4, 1 << 20)).await;
        assert_eq!(unannounced.unwrap_err(), too_large);
        let announced = read(&mut super::super::full("abcde"), &limits(4, 1 << 20)).await;
        assert_eq!(announced.unwrap_err(), too_large);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, super::super::BoxError>>());
        let outcome = read(&mut silent.boxed_unsync(), &limits(4, 1 << 20)).await;
        assert_eq!(outcome.unwrap_err(), BodyError::TooSlow(Duration::from_secs(5)));
    }

    #[tokio::test]
    async fn bodies_share_a_budget_and_give_it_back() {
        let limits = limits(8192, 16_384);
        let body = async |kib: usize| read(&mut super::super::full(vec![0; kib << 10]), &limits).await;
        let first = body(8).await.unwrap();
        assert_eq!(body(5).await.unwrap_err(), BodyError::Overloaded);
        assert_eq!(limits.budget.used_bytes(), 8 << 10);
        drop(first);
        assert_eq!(limits.budget.used_bytes(), 0);
        assert!(body(5).await.is_ok());
    }

    #[tokio::test]
    async fn many_large_bodies_leave_room_for_small_ones() {
        let limits = limits(1 << 20, 16 << 20);
        let body = async |kib: usize| read(&mut super::super::full(vec![0; kib << 10]), &limits).await;
        let mut large = Vec::new();
        while let Ok(held) = body(1 << 10).await {
            large.push(held);
        }
        assert!(large.len() >= 14, "{}", large.len());
        let mut small = Vec::new();
        for _ in 0..100 {
            small.push(body(4).await.unwrap());
        }
    }

    #[tokio::test]
    async fn what_is_to_be_sent_gives_its_share_back_when_it_is() {
        let budget = BodyBudget::new(1 << 20);
        let sent = hold(vec![7; 100_000], &budget).unwrap();
        let rest = sent.slice(50_000..);
        drop(sent);
        assert_eq!(budget.used_bytes(), 98 << 10);
        drop(rest);
        assert_eq!(budget.used_bytes(), 0);
        assert_eq!(hold(vec![0; 600_000], &budget).unwrap_err(), BodyError::Overloaded);
    }

    fn packed(bytes: &[u8]) -> HeldBody {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, bytes).unwrap();
        HeldBody { bytes: packer.finish().unwrap().into(), _share: None }
    }

    #[test]
    fn a_packed_body_is_unpacked_within_the_bounds_of_any_other() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let limits_of = |max_bytes: usize| limits(max_bytes, 4 << 20);
        let bounds = limits_of(text.len());
        let held = unpack(&packed(&text), &bounds).unwrap();
        assert!(held.bytes == text);
        assert!(bounds.budget.used_bytes() >= text.len());
        drop(held);
        assert_eq!(bounds.budget.used_bytes(), 0);
        assert_eq!(unpack(&packed(b""), &bounds).unwrap().bytes, "");
        let too_large = unpack(&packed(&text), &limits_of(text.len() - 1));
        assert_eq!(too_large.unwrap_err(), BodyError::TooLarge { limit_bytes: text.len() - 1 });
        // What a small body of zeros would become costs no more than its bound.
        let bomb = packed(&vec![0; 64 << 20]);
        assert!(matches!(unpack(&bomb, &limits_of(1 << 20)), Err(BodyError::TooLarge { .. })));
        assert_eq!(unpack(&bomb, &limits(64 << 20, 4 << 20)).unwrap_err(), BodyError::Overloaded);
    }

    #[test]
    fn what_is_no_gzip_is_a_broken_body() {
        let whole = packed(b"text").bytes;
        for bad in [Bytes::from_static(b""), Bytes::from_static(b"{}"), whole.slice(..whole.len() - 1)] {
            let outcome = unpack(&HeldBody { bytes: bad, _share: None }, &limits(1 << 20, 1 << 20));
            assert!(matches!(outcome, Err(BodyError::Broken(_))), "{outcome:?}");
        }
    }
}
