//! `SubscribeToShard`: a shard's records as they come, in events over one answer of up to five minutes.
//!
//! An answer is made event by event, when its client has taken the one before. One who has read everything waits for
//! the shard's owner to have news; every few seconds of silence it gets an event without records, so that it knows
//! that it is still served, and where to go on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use millrace_core::{Limits, Position, SequenceNumber};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::account::Resource;
use super::check::{self, Checks};
use super::describe::has_data;
use super::error::ApiError;
use super::format::Format;
use super::input::{Text, Timestamp, as_str};
use super::iterator::{Place, Start, TYPES, place};
use super::quota::Bucket;
use super::subscriptions::{Seat, Sitting};
use super::{Account, Call, event};
use crate::broker::{Broker, ReadBatch, Stream};
use crate::http::{Body, BoxError};

/// How long a subscription lasts, in milliseconds.
const LASTS_MS: i64 = 300_000;
/// After how long without records an event without any is sent. Kinesis' own client gives a subscription up after
/// 35 s of silence.
const SILENT_FOR: Duration = Duration::from_secs(5);
/// The most records and data of one event.
const EVENT_RECORDS: usize = 10_000;
const EVENT_BYTES: usize = 1 << 20;
/// What one consumer gets of one shard in a second, in bytes (Kinesis API, `RegisterStreamConsumer`).
const BYTES_PER_S: f64 = (2 << 20) as f64;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SubscribeInput<'a> {
    #[serde(borrow, rename = "ConsumerARN")]
    consumer_arn: Option<Text<'a>>,
    dry_run: Option<bool>,
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    starting_position: Option<PositionInput<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PositionInput<'a> {
    #[serde(borrow)]
    sequence_number: Option<Text<'a>>,
    timestamp: Option<Timestamp>,
    #[serde(borrow, rename = "Type")]
    kind: Option<Text<'a>>,
}

impl SubscribeInput<'_> {
    fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        checks.required("consumerARN", self.consumer_arn.as_ref());
        checks.text("consumerARN", as_str(&self.consumer_arn), check::CONSUMER_ARN);
        checks.required("shardId", self.shard_id.as_ref());
        checks.text("shardId", as_str(&self.shard_id), check::SHARD_ID);
        checks.required("startingPosition", self.starting_position.as_ref());
        if let Some(position) = &self.starting_position {
            let sequence = as_str(&position.sequence_number);
            checks.text("startingPosition.sequenceNumber", sequence, check::SEQUENCE_NUMBER);
            checks.required("startingPosition.type", position.kind.as_ref());
            checks.one_of("startingPosition.type", as_str(&position.kind), &TYPES);
        }
        checks.finish()
    }

    fn start(&self, now_ms: i64) -> Result<Start<'_>, ApiError> {
        let Some(position) = &self.starting_position else { return Ok(Start::TrimHorizon) };
        let kind = as_str(&position.kind).unwrap_or_default();
        Start::of(kind, as_str(&position.sequence_number), position.timestamp, now_ms)
    }
}

pub(super) async fn subscribe_to_shard(call: &Call<'_>, body: &[u8]) -> Result<Body, ApiError> {
    let input: SubscribeInput<'_> = call.format.read(body)?;
    input.check()?;
    let start = input.start(call.now_ms)?;
    let arn = as_str(&input.consumer_arn).unwrap_or_default();
    let Resource::Consumer { stream, name, at_s } = call.resource_of_arn(arn)? else {
        return Err(ApiError::invalid_argument(format!("{arn} is not a consumer's ARN.")));
    };
    let stream = call.stream_with_data(Some(stream), None)?;
    let kept = call.attributes(&stream).await?;
    let consumer = call.registered(&kept, name, Some(at_s))?;
    let shard = call.shard(&stream, as_str(&input.shard_id).unwrap_or_default())?;
    let place = place(call, "SubscribeToShard", &stream, shard, start).await?;
    call.check_dry_run(&stream, input.dry_run)?;
    let seat = Seat {
        data: stream.entry.data.clone(),
        shard,
        consumer: consumer.name.clone(),
        registered_ms: consumer.created_ms,
    };
    let sitting = call.kinesis.subscriptions.take(seat.clone(), call.now_ms).ok_or_else(|| {
        ApiError::in_use(format!(
            "Another active subscription exists for consumer {arn} and shard {shard}, which began less than 5 seconds \
             ago."
        ))
    })?;
    let limited = stream.entry.config.limits == Limits::Kinesis;
    let subscription = Subscription {
        broker: call.kinesis.broker.clone(),
        account: call.account,
        format: call.format,
        seat,
        sitting,
        stop: call.kinesis.stop.clone(),
        place,
        ends_ms: call.now_ms.saturating_add(LASTS_MS),
        pace: limited.then(|| Bucket::new(BYTES_PER_S, call.now_ms)),
        stage: Stage::Opened,
        told: Instant::now(),
    };
    let frames = futures::stream::unfold(subscription, async |mut subscription| {
        let bytes = subscription.next().await?;
        Some((Ok::<_, BoxError>(Frame::data(bytes)), subscription))
    });
    Ok(StreamBody::new(frames).boxed_unsync())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is sent.
    Opened,
    /// The next event is sent whatever it holds.
    First,
    /// There may be more to read.
    Reading,
    /// Everything was read.
    Waiting,
    /// The last event is sent.
    Done,
}

/// One client's subscription.
struct Subscription {
    broker: Arc<Broker>,
    account: Account,
    format: Format,
    seat: Seat,
    sitting: Sitting,
    /// Cancelled when the process is about to end.
    stop: CancellationToken,
    place: Place,
    ends_ms: i64,
    /// What may still be sent; `None` without a limit.
    pace: Option<Bucket>,
    stage: Stage,
    /// When the last event was sent.
    told: Instant,
}

impl Subscription {
    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.stage == Stage::Opened {
            self.stage = Stage::First;
            return event::opened(self.format).ok();
        }
        if self.stage == Stage::Done {
            return None;
        }
        match self.next_event().await {
            Ok(event) => event,
            Err(error) => {
                self.stage = Stage::Done;
                event::failed(self.format, &error).ok()
            }
        }
    }

    async fn next_event(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            self.rest().await;
            if self.sitting.over.is_cancelled() {
                return Err(ApiError::in_use(
                    "Another subscription of this consumer has taken over the shard.",
                ));
            }
            if self.stop.is_cancelled() || self.broker.now_ms() >= self.ends_ms {
                return Ok(None);
            }
            let stream = self.stream()?;
            let batch = self.read(&stream).await?;
            let silent = batch.records.is_empty() && self.told.elapsed() < SILENT_FOR;
            let tells = self.stage == Stage::First || !silent || batch.next.is_none();
            self.stage = match &batch {
                ReadBatch { next: None, .. } => Stage::Done,
                ReadBatch { millis_behind: 0, .. } => Stage::Waiting,
                _ => Stage::Reading,
            };
            if tells {
                self.told = Instant::now();
                let place = batch.next.map(|next| continuation(self.place.epoch, next));
                return event::records_event(self.format, &batch, place, stream.is_encrypted()).map(Some);
            }
        }
    }

    /// Waits for what there is to wait for: news, or that more may be sent. Not beyond the time of the next event.
    async fn rest(&self) {
        let now_ms = self.broker.now_ms();
        let paced_ms = self.pace.map_or(0, |mut pace| pace.debt_ms(now_ms));
        let silent = SILENT_FOR.saturating_sub(self.told.elapsed());
        let left = Duration::from_millis(u64::try_from(self.ends_ms - now_ms).unwrap_or(0));
        let Seat { data, shard, .. } = &self.seat;
        let due = async {
            if paced_ms > 0 {
                sleep(Duration::from_millis(paced_ms).min(left)).await;
            } else if self.stage == Stage::Waiting {
                // Without news the next event has no records.
                let _ =
                    timeout(silent.min(left), self.broker.await_news(data, *shard, self.place.next)).await;
            }
        };
        tokio::select! {
            () = due => {}
            () = self.sitting.over.cancelled() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// The stream as it is now, if its consumer is still registered.
    fn stream(&self) -> Result<Arc<Stream>, ApiError> {
        let Seat { data, consumer, registered_ms, .. } = &self.seat;
        let stream = self.broker.stream_of(data).filter(|stream| has_data(stream)).ok_or_else(|| {
            ApiError::not_found(format!(
                "The subscription's stream under account {} not found.",
                self.account
            ))
        })?;
        let registered =
            stream.attributes.consumer(consumer).is_some_and(|found| found.created_ms == *registered_ms);
        match registered {
            true => Ok(stream),
            false => {
                Err(ApiError::not_found(format!("Consumer {consumer}, account {} not found.", self.account)))
            }
        }
    }

    /// Reads on from where it stands.
    async fn read(&mut self, stream: &Stream) -> Result<ReadBatch, ApiError> {
        let (shard, Place { next, not_before_ms, .. }) = (self.seat.shard, self.place);
        let read = self.broker.read(stream, shard, next, not_before_ms, EVENT_RECORDS, EVENT_BYTES);
        let batch = read.await.map_err(|error| ApiError::of_read(&error, stream, &self.account))?;
        if let Some(next) = batch.next {
            self.place.next = next;
        }
        if !batch.records.is_empty() {
            // Arrival times never decrease in a shard: once one record has passed, all do.
            self.place.not_before_ms = None;
        }
        if let Some(pace) = &mut self.pace {
            let sizes =
                batch.records.iter().map(|(_, record)| record.data.len() + record.partition_key.len());
            pace.take(sizes.sum::<usize>() as f64);
        }
        Ok(batch)
    }
}

/// The number that a reader goes on with, at it or after it, who has read everything before `next`. Between two packs
/// that is the last number there could be before `next`, which no record has; within a pack it is that of the last
/// record read, which comes again to those who go on *at* it.
fn continuation(epoch: u64, next: Position) -> SequenceNumber {
    let position = match (next.pack, next.index) {
        (pack, 1..) => Position { pack, index: next.index - 1 },
        (1.., 0) => Position { pack: next.pack - 1, index: Position::LAST_INDEX },
        (0, 0) => Position::START,
    };
    SequenceNumber { epoch, position }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_on_at_or_after_its_number_and_misses_nothing() {
        let next = Position::at_pack(7);
        let number = continuation(3, next);
        assert!(number < SequenceNumber { epoch: 3, position: next });
        let before = Position { pack: 6, index: 900_000 };
        assert!(number > SequenceNumber { epoch: 3, position: before });
        assert!(number.position.next() < next);
        let within = Position { pack: 7, index: 5 };
        assert_eq!(continuation(3, within).position.next(), within);
        assert_eq!(continuation(3, Position::START), SequenceNumber::start_of(3));
        assert_eq!(number.to_string().parse(), Ok(number));
    }
}
