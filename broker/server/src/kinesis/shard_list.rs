//! `ListShards`.

use millrace_core::DataId;
use millrace_core::token::{self, Purpose, TokenError};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Call;
use super::check::{self, Checks};
use super::describe::{has_data, status};
use super::error::ApiError;
use super::input::{Text, Timestamp, as_str};
use super::shards::{ShardForm, shard_id};
use crate::broker::{Shard, Stream};

/// The most shards of one answer, and how many there are if the caller does not say (Kinesis API,
/// `ListShards`).
const MAX_SHARDS: usize = 1_000;
/// How long a token to go on with is good, in milliseconds.
const TOKEN_MS: i64 = 300_000;

const FILTERS: [&str; 6] =
    ["AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListShardsInput<'a> {
    #[serde(borrow)]
    exclusive_start_shard_id: Option<Text<'a>>,
    max_results: Option<i64>,
    #[serde(borrow)]
    next_token: Option<Text<'a>>,
    #[serde(borrow)]
    shard_filter: Option<FilterInput<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    stream_creation_timestamp: Option<Timestamp>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterInput<'a> {
    #[serde(borrow, rename = "Type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    timestamp: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListShardsOutput {
    shards: Vec<ShardForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Which shards a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
enum Filter {
    #[n(0)]
    All,
    #[n(1)]
    After(#[n(0)] u64),
    #[n(2)]
    AtTrimHorizon,
    #[n(3)]
    AtLatest,
    #[n(4)]
    At(#[n(0)] i64),
    #[n(5)]
    From(#[n(0)] i64),
}

/// Where a list goes on.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Continuation<'a> {
    #[b(0)]
    data: &'a str,
    #[n(1)]
    after: u64,
    #[n(2)]
    filter: Filter,
}

pub(super) async fn list_shards(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ListShardsInput<'_> = call.format.read(body)?;
    input.check()?;
    let key = call.broker().token_key();
    let (stream, after, filter) = match as_str(&input.next_token) {
        Some(text) => {
            input.check_token_is_alone()?;
            let bytes = token::open(key, Purpose::ListShards, text, call.now_ms).map_err(refused_token)?;
            let token: Continuation<'_> = minicbor::decode(&bytes).map_err(|_| invalid_token())?;
            let data: DataId = token.data.parse().map_err(|_| invalid_token())?;
            let stream = call.broker().stream_of(&data).filter(|s| s.namespace == call.namespace());
            (stream.ok_or_else(invalid_token)?, Some(token.after), token.filter)
        }
        None => {
            let stream = call.stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
            input.check_creation(&stream, call)?;
            let after = as_str(&input.exclusive_start_shard_id).map(|text| {
                let id = shard_id(text).map(|id| id.0);
                id.ok_or_else(|| ApiError::no_such_shard(text, &stream.name, &call.account))
            });
            (stream.clone(), after.transpose()?, input.filter(&stream, call)?)
        }
    };
    if !has_data(&stream) {
        return Err(ApiError::not_active(&stream.name, &call.account, status(&stream)));
    }
    let shards = call.broker().shards(&stream).await;
    let shards = shards.map_err(|error| ApiError::of_read(&error, &stream, &call.account))?;
    let retention_ms =
        i64::try_from(stream.entry.config.retention_s).unwrap_or(i64::MAX).saturating_mul(1_000);
    let mut wanted = filter.apply(shards, call.now_ms.saturating_sub(retention_ms));
    wanted.retain(|shard| after.is_none_or(|after| shard.id().0 > after));
    let most =
        usize::try_from(input.max_results.unwrap_or(i64::MAX)).map_or(MAX_SHARDS, |n| n.min(MAX_SHARDS));
    let more = wanted.len() > most;
    wanted.truncate(most);
    let next_token = wanted.last().filter(|_| more).map(|last| {
        let token = Continuation { data: stream.entry.data.as_str(), after: last.id().0, filter };
        token::seal(key, Purpose::ListShards, call.now_ms + TOKEN_MS, &token)
    });
    call.format.write(&ListShardsOutput { shards: wanted.iter().map(ShardForm::from).collect(), next_token })
}

fn refused_token(error: TokenError) -> ApiError {
    match error {
        TokenError::Invalid => invalid_token(),
        TokenError::Expired { .. } => ApiError::expired_token(),
    }
}

fn invalid_token() -> ApiError {
    ApiError::invalid_argument("The provided NextToken is invalid.")
}

impl ListShardsInput<'_> {
    fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        checks.text("exclusiveStartShardId", as_str(&self.exclusive_start_shard_id), check::SHARD_ID);
        checks.number("maxResults", self.max_results, 1, 10_000);
        checks.text("nextToken", as_str(&self.next_token), check::NEXT_TOKEN);
        if let Some(filter) = &self.shard_filter {
            checks.text("shardFilter.shardId", as_str(&filter.shard_id), check::SHARD_ID);
            checks.required("shardFilter.type", filter.kind.as_ref());
            checks.one_of("shardFilter.type", as_str(&filter.kind), &FILTERS);
        }
        checks.stream(as_str(&self.stream_name), as_str(&self.stream_arn));
        checks.finish()
    }

    /// A token says everything but how many shards.
    fn check_token_is_alone(&self) -> Result<(), ApiError> {
        let others = [
            ("StreamName", self.stream_name.is_some()),
            ("StreamARN", self.stream_arn.is_some()),
            ("ExclusiveStartShardId", self.exclusive_start_shard_id.is_some()),
            ("StreamCreationTimestamp", self.stream_creation_timestamp.is_some()),
            ("ShardFilter", self.shard_filter.is_some()),
        ];
        match others.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(ApiError::invalid_argument(format!("NextToken and {name} cannot be provided together.")))
            }
            None => Ok(()),
        }
    }

    /// The caller may ask for the stream that was made at a time, not for its successor of the same name.
    fn check_creation(&self, stream: &Stream, call: &Call<'_>) -> Result<(), ApiError> {
        match self.stream_creation_timestamp {
            Some(at) if at.is_another_second_than(stream.entry.created_ms) => {
                Err(ApiError::no_stream(&stream.name, &call.account))
            }
            _ => Ok(()),
        }
    }

    fn filter(&self, stream: &Stream, call: &Call<'_>) -> Result<Filter, ApiError> {
        let Some(filter) = &self.shard_filter else { return Ok(Filter::All) };
        let kind = as_str(&filter.kind).unwrap_or_default();
        let needs = |member: &str| {
            ApiError::invalid_argument(format!(
                "ShardFilter of Type {kind} needs {member}, and no other member."
            ))
        };
        let (shard, time) = (as_str(&filter.shard_id), filter.timestamp);
        match kind {
            "AFTER_SHARD_ID" => {
                let text = shard.filter(|_| time.is_none()).ok_or_else(|| needs("ShardId"))?;
                let id = shard_id(text);
                let id = id.ok_or_else(|| ApiError::no_such_shard(text, &stream.name, &call.account))?;
                Ok(Filter::After(id.0))
            }
            "AT_TIMESTAMP" | "FROM_TIMESTAMP" => {
                let time = time.filter(|_| shard.is_none()).ok_or_else(|| needs("Timestamp"))?;
                if time.ms > call.now_ms {
                    return Err(ApiError::invalid_argument(
                        "The Timestamp of a ShardFilter can't lie in the future.",
                    ));
                }
                Ok(if kind == "AT_TIMESTAMP" { Filter::At(time.ms) } else { Filter::From(time.ms) })
            }
            _ if shard.is_some() || time.is_some() => Err(needs("nothing")),
            "AT_LATEST" => Ok(Filter::AtLatest),
            "AT_TRIM_HORIZON" => Ok(Filter::AtTrimHorizon),
            _ => Ok(Filter::All),
        }
    }
}

impl Filter {
    /// The shards that pass. Data older than `horizon_ms` (Unix) is gone; times before it, and before the
    /// stream's first shards, count as the later of the two.
    fn apply(self, mut shards: Vec<Shard>, horizon_ms: i64) -> Vec<Shard> {
        let first_ms = shards.iter().map(Shard::opened_ms).min().unwrap_or(0);
        let horizon_ms = horizon_ms.max(first_ms);
        let open_at = |shard: &Shard, time_ms: i64| {
            shard.opened_ms() <= time_ms && shard.closed_ms().is_none_or(|closed| closed >= time_ms)
        };
        shards.retain(|shard| match self {
            Filter::All => true,
            Filter::After(id) => shard.id().0 > id,
            Filter::AtLatest => shard.closed_ms().is_none(),
            Filter::AtTrimHorizon => open_at(shard, horizon_ms),
            Filter::At(time_ms) => open_at(shard, time_ms.max(horizon_ms)),
            Filter::From(time_ms) => shard.closed_ms().is_none_or(|closed| closed >= time_ms.max(horizon_ms)),
        });
        shards
    }
}

#[cfg(test)]
mod tests {
    use super::super::shards::tests::{closed, open};
    use super::*;
    use crate::kinesis::format::Format;
    use millrace_core::map::Parents;

    fn ids(filter: Filter, horizon_ms: i64) -> Vec<u64> {
        let later = Parents::default();
        // 0 was closed at 1000 and 1 at 2000; 2 was open from 1000, 3 from 2000.
        let shards =
            vec![closed(0, 100, 1_000), closed(1, 100, 2_000), open(2, 1_000, later), open(3, 2_000, later)];
        filter.apply(shards, horizon_ms).iter().map(|shard| shard.id().0).collect()
    }

    #[test]
    fn filters_pick_shards_by_their_lifetimes() {
        assert_eq!(ids(Filter::All, 0), [0, 1, 2, 3]);
        assert_eq!(ids(Filter::After(1), 0), [2, 3]);
        assert_eq!(ids(Filter::AtLatest, 0), [2, 3]);
        assert_eq!(ids(Filter::AtTrimHorizon, 0), [0, 1]);
        assert_eq!(ids(Filter::AtTrimHorizon, 1_500), [1, 2]);
        assert_eq!(ids(Filter::At(0), 0), [0, 1]);
        assert_eq!(ids(Filter::At(1_500), 0), [1, 2]);
        assert_eq!(ids(Filter::At(2_500), 0), [2, 3]);
        assert_eq!(ids(Filter::From(1_500), 0), [1, 2, 3]);
        assert_eq!(ids(Filter::From(0), 2_500), [2, 3]);
    }

    #[test]
    fn a_token_stands_alone() {
        let input: ListShardsInput<'_> =
            Format::Json.read(br#"{"NextToken":"x","ShardFilter":{"Type":"AT_LATEST"}}"#).unwrap();
        let error = input.check_token_is_alone().unwrap_err();
        assert_eq!(error.message, "NextToken and ShardFilter cannot be provided together.");
        let input: ListShardsInput<'_> = Format::Json.read(br#"{"NextToken":"x","MaxResults":5}"#).unwrap();
        assert_eq!(input.check_token_is_alone(), Ok(()));
    }

    #[test]
    fn the_input_follows_the_model() {
        let input: ListShardsInput<'_> =
            Format::Json.read(br#"{"StreamName":"s","MaxResults":0,"ShardFilter":{"Type":"SOME"}}"#).unwrap();
        let message = input.check().unwrap_err().message;
        assert!(message.starts_with("2 validation errors detected: Value '0' at 'maxResults'"), "{message}");
        assert!(
            message.contains("at 'shardFilter.type' failed to satisfy constraint: Member must satisfy enum")
        );
    }
}
