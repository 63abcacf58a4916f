//! Batched direct gets (ADR-31 of nats-architecture-and-design): history, answered by any replica.

use async_nats::header::{NATS_LAST_SEQUENCE, NATS_SEQUENCE, NATS_SUBJECT, NATS_TIME_STAMP};
use async_nats::{HeaderMap, HeaderName, StatusCode};
use millrace_core::ShardId;
use serde_json::json;
use tokio::time::timeout_at;

use super::JetStream;
use super::api::next_reply;
use crate::{LogError, Message, ReadLimits};

/// No more messages than this in one request.
const MAX_BATCH_MESSAGES: u32 = 4096;
/// No more bytes than this in one request, but for the last message.
const MAX_BATCH_BYTES: u32 = 8 << 20;
/// How many messages may be on their way to us for reads.
pub(super) const MESSAGES_IN_FLIGHT: usize = 1 << 15;
/// What a message may hold beyond the limit that it crosses: a pack.
const SLACK_KIB: u32 = 1024;
/// Marks the end of a batch.
const END_OF_BATCH: u16 = 204;

impl JetStream {
    /// Messages from `from` on, of one subject or all. What is lost on the way, or does not come in time, ends
    /// the answer early: it is always a prefix.
    pub(super) async fn read_batch(
        &self,
        stream: &str,
        subject: Option<&str>,
        from: u64,
        limits: ReadLimits,
    ) -> Result<Vec<Message>, LogError> {
        let messages = limits.messages.min(MAX_BATCH_MESSAGES);
        if messages == 0 {
            return Ok(Vec::new());
        }
        let bytes = limits.bytes.clamp(1, MAX_BATCH_BYTES);
        let mut request = json!({"seq": from.max(1), "batch": messages, "max_bytes": bytes});
        if let Some(subject) = subject {
            request["next_by_subj"] = subject.into();
        }
        let deadline = self.deadline();
        let kib =
            (bytes.div_ceil(1024) + SLACK_KIB).min(self.inner.settings.read_bytes_in_flight / 1024).max(1);
        let busy = || LogError::Unavailable("too many reads at once".into());
        let acquire = async {
            let kib = self.inner.read_kib.acquire_many(kib).await;
            (kib, self.inner.read_messages.acquire_many(messages).await)
        };
        let _permits = timeout_at(deadline, acquire).await.map_err(|_| busy())?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let mut token = self.send(subject, None, request.to_string().into(), deadline).await?;
        let mut batch = Batch::default();
        loop {
            // The deadline starts anew with each message: a large batch on a slow line is no failure.
            let reply = match next_reply(&mut token, self.deadline()).await {
                Ok(reply) => reply,
                Err(_) if !batch.messages.is_empty() => return Ok(batch.messages),
                Err(error) => return Err(error.into()),
            };
            match batch.take(reply) {
                Step::More => {}
                Step::End => return Ok(batch.messages),
                Step::Broken(_) if !batch.messages.is_empty() => return Ok(batch.messages),
                Step::Broken(reason) => return Err(LogError::Unavailable(reason)),
                Step::NoResponders => return Err(self.why_no_responders(stream).await),
            }
        }
    }

    /// The sequence of a subject's first message stored at this time or later.
    pub(super) async fn seek(
        &self,
        stream: &str,
        subject: &str,
        time_ms: i64,
    ) -> Result<Option<u64>, LogError> {
        // The server counts nanoseconds in 64 bits, and later times come out as earlier ones.
        let time_ms = time_ms.clamp(0, i64::MAX / 1_000_000);
        let time = jiff::Timestamp::from_millisecond(time_ms).expect("a time before the year 2263");
        let request = json!({"start_time": time.to_string(), "next_by_subj": subject}).to_string();
        let deadline = self.deadline();
        let api = format!("$JS.API.DIRECT.GET.{stream}");
        let mut token = self.send(api, None, request.into(), deadline).await?;
        let reply = next_reply(&mut token, deadline).await?;
        match reply.status {
            Some(StatusCode::NOT_FOUND) => Ok(None),
            Some(StatusCode::NO_RESPONDERS) => Err(self.why_no_responders(stream).await),
            Some(status) => Err(LogError::Unavailable(format!("status {status} to a seek"))),
            None => {
                let headers = reply.headers.as_ref();
                let sequence = headers.and_then(|headers| number(headers, NATS_SEQUENCE));
                sequence
                    .map(Some)
                    .ok_or_else(|| LogError::Unavailable("a message without its sequence".into()))
            }
        }
    }
}

/// A batch on its way: what has come in order so far.
#[derive(Debug, Default)]
struct Batch {
    messages: Vec<Message>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    More,
    End,
    /// Something is missing or can't be read: what came before is good.
    Broken(String),
    NoResponders,
}

impl Batch {
    fn take(&mut self, reply: async_nats::Message) -> Step {
        // Each message and the end name the sequence of the one sent before it.
        let previous = self.messages.last().map_or(0, |message| message.sequence);
        let headers = reply.headers.unwrap_or_default();
        let follows = number(&headers, NATS_LAST_SEQUENCE) == Some(previous);
        let gap = || Step::Broken(format!("a message after sequence {previous} was lost on the way"));
        match reply.status.map(|status| status.as_u16()) {
            None if !follows => gap(),
            None => match stored(&headers, reply.payload) {
                Some(message) => {
                    self.messages.push(message);
                    Step::More
                }
                None => Step::Broken("a message without its sequence, subject or time".into()),
            },
            Some(END_OF_BATCH) if follows => Step::End,
            Some(END_OF_BATCH) => gap(),
            Some(404) => Step::End,
            Some(503) => Step::NoResponders,
            Some(status) => {
                let why = reply.description.unwrap_or_default();
                Step::Broken(format!("status {status} to a read: {why}"))
            }
        }
    }
}

fn stored(headers: &HeaderMap, payload: bytes::Bytes) -> Option<Message> {
    let shard = headers.get(NATS_SUBJECT)?.as_str().rsplit('.').next()?.parse().ok().map(ShardId)?;
    let sequence = number(headers, NATS_SEQUENCE)?;
    let stored_ms = parse_time_ms(headers.get(NATS_TIME_STAMP)?.as_str())?;
    Some(Message { shard, sequence, stored_ms, payload })
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}

/// RFC 3339 with nanoseconds, rounded down to Unix milliseconds.
pub(super) fn parse_time_ms(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use async_nats::header::IntoHeaderName;

    use super::*;

    fn reply(status: Option<u16>, pairs: &[(&'static str, u64)]) -> async_nats::Message {
        let mut headers = HeaderMap::new();
        let mut insert = |name: &'static str, value: String| headers.insert(name.into_header_name(), value);
        for (name, value) in pairs {
            insert(name, value.to_string());
        }
        insert("Nats-Subject", "mr.x.0.7".into());
        insert("Nats-Time-Stamp", "2026-01-02T03:04:05.006999Z".into());
        async_nats::Message {
            subject: "inbox".into(),
            reply: None,
            payload: "pack".into(),
            headers: Some(headers),
            status: status.map(|status| StatusCode::from_u16(status).expect("a status")),
            description: None,
            length: 0,
        }
    }

    fn message(sequence: u64, previous: u64) -> async_nats::Message {
        reply(None, &[("Nats-Sequence", sequence), ("Nats-Last-Sequence", previous)])
    }

    #[test]
    fn a_batch_ends_where_the_server_says_so() {
        let mut batch = Batch::default();
        assert_eq!(batch.take(message(5, 0)), Step::More);
        assert_eq!(batch.take(message(9, 5)), Step::More);
        assert_eq!(batch.take(reply(Some(204), &[("Nats-Last-Sequence", 9)])), Step::End);
        let sequences: Vec<u64> = batch.messages.iter().map(|message| message.sequence).collect();
        assert_eq!(sequences, [5, 9]);
        assert_eq!(batch.messages[0].shard, ShardId(7));
        assert_eq!(batch.messages[0].stored_ms, 1_767_323_045_006);
    }

    #[test]
    fn a_lost_message_ends_the_batch_before_it() {
        let mut batch = Batch::default();
        assert_eq!(batch.take(message(5, 0)), Step::More);
        assert!(matches!(batch.take(message(9, 7)), Step::Broken(_)));
        assert_eq!(batch.messages.len(), 1);
        assert!(matches!(Batch::default().take(message(9, 5)), Step::Broken(_)), "the first was lost");
        let end = reply(Some(204), &[("Nats-Last-Sequence", 9)]);
        assert!(matches!(Batch::default().take(end), Step::Broken(_)), "all were lost");
    }

    #[test]
    fn nothing_found_is_an_empty_batch_and_nobody_there_is_told() {
        assert_eq!(Batch::default().take(reply(Some(404), &[])), Step::End);
        assert_eq!(Batch::default().take(reply(Some(503), &[])), Step::NoResponders);
        assert!(matches!(Batch::default().take(reply(Some(408), &[])), Step::Broken(_)));
    }
}
