//! `SplitShard`, `MergeShards`, `UpdateShardCount`.

use millrace_core::map::MAX_OPEN_SHARDS;
use millrace_core::plan::{Action, PlanError};
use millrace_core::{CapacityMode, HashKey, Limits, ShardId};
use serde::{Deserialize, Serialize};

use super::check::{self, Checks};
use super::describe::status;
use super::error::ApiError;
use super::input::{Text, as_str};
use super::shards::shard_id;
use super::{Account, Call};
use crate::broker::{ControlError, Stream};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SplitShardInput<'a> {
    #[serde(borrow)]
    new_starting_hash_key: Option<Text<'a>>,
    #[serde(borrow)]
    shard_to_split: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MergeShardsInput<'a> {
    #[serde(borrow)]
    adjacent_shard_to_merge: Option<Text<'a>>,
    #[serde(borrow)]
    shard_to_merge: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateShardCountInput<'a> {
    #[serde(borrow)]
    scaling_type: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    target_shard_count: Option<i64>,
}

pub(super) async fn split_shard(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: SplitShardInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("newStartingHashKey", input.new_starting_hash_key.as_ref());
    checks.text("newStartingHashKey", as_str(&input.new_starting_hash_key), check::HASH_KEY);
    checks.required("shardToSplit", input.shard_to_split.as_ref());
    checks.text("shardToSplit", as_str(&input.shard_to_split), check::SHARD_ID);
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let shard = named_shard(call, &stream, &input.shard_to_split)?;
    let action =
        split(&stream, shard, as_str(&input.new_starting_hash_key).unwrap_or_default(), &call.account)?;
    reshard(call, &stream, action).await
}

pub(super) async fn merge_shards(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: MergeShardsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("adjacentShardToMerge", input.adjacent_shard_to_merge.as_ref());
    checks.text("adjacentShardToMerge", as_str(&input.adjacent_shard_to_merge), check::SHARD_ID);
    checks.required("shardToMerge", input.shard_to_merge.as_ref());
    checks.text("shardToMerge", as_str(&input.shard_to_merge), check::SHARD_ID);
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let shard = named_shard(call, &stream, &input.shard_to_merge)?;
    let adjacent = named_shard(call, &stream, &input.adjacent_shard_to_merge)?;
    reshard(call, &stream, Action::Merge { shard, adjacent }).await
}

/// The shard that a request names, if the stream has or had it.
fn named_shard(call: &Call<'_>, stream: &Stream, text: &Option<Text<'_>>) -> Result<ShardId, ApiError> {
    let text = as_str(text).unwrap_or_default();
    let given_out = stream.map.as_ref().map_or(ShardId(0), |map| map.next_shard);
    let named = shard_id(text).filter(|id| *id < given_out);
    named.ok_or_else(|| ApiError::no_such_shard(text, &stream.name, &call.account))
}

/// The split that is asked for. Kinesis wants the cut a little further inside than a map needs it.
fn split(stream: &Stream, shard: ShardId, cut: &str, account: &Account) -> Result<Action, ApiError> {
    let out_of_range =
        || ApiError::invalid_argument(format!("NewStartingHashKey {cut} is not in the range: [0, 2^128-1]."));
    let at: HashKey = cut.parse().map_err(|_| out_of_range())?;
    let map = stream.map.as_ref();
    let range = map.and_then(|map| map.index_of(shard).map(|index| map.range(index)));
    if let Some(range) = range
        && (at.0.saturating_sub(1) <= range.start.0 || at >= range.end)
    {
        return Err(cut_outside(stream, shard, cut, range.start, range.end, account));
    }
    Ok(Action::Split { shard, cuts: vec![at] })
}

fn cut_outside(
    stream: &Stream,
    shard: ShardId,
    cut: impl std::fmt::Display,
    start: HashKey,
    end: HashKey,
    account: &Account,
) -> ApiError {
    // The service names the last key that a cut may not have, less one.
    let end = HashKey(end.0.saturating_sub(1));
    ApiError::invalid_argument(format!(
        "NewStartingHashKey {cut} used in SplitShard() on shard {shard} in stream {} under account {account} is \
         not both greater than one plus the shard's StartingHashKey {start} and less than the shard's \
         EndingHashKey {end}.",
        stream.name
    ))
}

async fn reshard(call: &Call<'_>, stream: &Stream, action: Action) -> Result<Vec<u8>, ApiError> {
    check_can_scale(stream, &call.account)?;
    let planned = call.broker().reshard(stream, &[action]).await;
    planned.map_err(|error| refused(&error, stream, &call.account))?;
    Ok(Vec::new())
}

/// A stream's shards are changed one step at a time, and by hand only where nobody else does.
fn check_can_scale(stream: &Stream, account: &Account) -> Result<(), ApiError> {
    if status(stream) != "ACTIVE" {
        return Err(ApiError::not_active(&stream.name, account, status(stream)));
    }
    match stream.entry.config.mode {
        CapacityMode::Provisioned => Ok(()),
        CapacityMode::OnDemand => Err(ApiError::validation(format!(
            "Request is invalid. Stream {} under account {account} is in On-Demand mode.",
            stream.name
        ))),
    }
}

/// Why a split or merge was refused, in Kinesis' words.
fn refused(error: &ControlError, stream: &Stream, account: &Account) -> ApiError {
    let ControlError::Plan(plan) = error else {
        return ApiError::of_control(error, &stream.name, account);
    };
    let name = &stream.name;
    match plan {
        PlanError::NotOpen(shard) => ApiError::invalid_argument(format!(
            "Shard {shard} in stream {name} under account {account} has already been merged or split, and thus \
             is not eligible for merging or splitting."
        )),
        PlanError::Resharding(_) => ApiError::not_active(name, account, "UPDATING"),
        PlanError::CutOutside { shard, cut, start, end } => {
            cut_outside(stream, *shard, cut, *start, *end, account)
        }
        PlanError::NotNeighbours(shard, adjacent) => ApiError::invalid_argument(format!(
            "Shards {shard} and {adjacent} in stream {name} under account {account} are not an adjacent pair of \
             shards eligible for merging"
        )),
        PlanError::TooManyShards(_) => ApiError::limit_exceeded(plan.to_string()),
    }
}

pub(super) async fn update_shard_count(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        stream_name: &'a str,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        current_shard_count: usize,
        target_shard_count: u32,
    }
    let input: UpdateShardCountInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("scalingType", input.scaling_type.as_ref());
    checks.one_of("scalingType", as_str(&input.scaling_type), &["UNIFORM_SCALING"]);
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.required("targetShardCount", input.target_shard_count);
    checks.number("targetShardCount", input.target_shard_count, 1, i64::from(i32::MAX));
    checks.finish()?;
    let stream = call.stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    check_can_scale(&stream, &call.account)?;
    let open = stream.map.as_ref().map_or(0, |map| map.open.len());
    let target = target_count(open, input.target_shard_count.unwrap_or_default())?;
    let counted = stream.entry.config.limits == Limits::Kinesis && open != target as usize;
    if counted && !call.kinesis.scalings.admit(&stream.entry.data, call.now_ms) {
        return Err(ApiError::limit_exceeded(format!(
            "UpdateShardCount can be called ten times in 24 hours for one stream: stream {} under account {}.",
            stream.name, call.account
        )));
    }
    call.configure(&stream, |config| {
        config.shards = target;
        config.rescale = true;
    })
    .await?;
    call.format.write(&Output {
        stream_name: &stream.name,
        stream_arn: call.stream_arn(&stream.name),
        current_shard_count: open,
        target_shard_count: target,
    })
}

/// The count that is asked for, if a stream with `open` shards may go there in one step.
fn target_count(open: usize, target: i64) -> Result<u32, ApiError> {
    let counts = format!("Current open shard count: {open}, Target shard count: {target}");
    let target = usize::try_from(target).unwrap_or(usize::MAX);
    if target > MAX_OPEN_SHARDS {
        return Err(ApiError::limit_exceeded(format!(
            "Target shard count or number of open shards cannot be greater than {MAX_OPEN_SHARDS}. {counts}"
        )));
    }
    if target > 2 * open {
        return Err(ApiError::limit_exceeded(format!(
            "UpdateShardCount cannot scale up over double your current open shard count. {counts}"
        )));
    }
    if 2 * target < open {
        return Err(ApiError::limit_exceeded(format!(
            "UpdateShardCount cannot scale down below half your current open shard count. {counts}"
        )));
    }
    u32::try_from(target).map_err(|_| ApiError::internal())
}

#[cfg(test)]
mod tests {
    use super::super::describe::tests::stream;
    use super::*;
    use millrace_core::{ShardMap, StreamState};

    fn account() -> Account {
        Account::of_namespace("default")
    }

    #[test]
    fn a_count_goes_at_most_to_double_and_at_least_to_half() {
        for (open, target) in [(2, 4), (2, 1), (5, 3), (1, 1), (4_000, 8_000)] {
            assert_eq!(target_count(open, target), Ok(target as u32));
        }
        for (open, target) in [(2, 5), (6, 2), (5, 2), (8_000, 8_001), (2, i64::MAX)] {
            assert_eq!(target_count(open, target).unwrap_err().name, "LimitExceededException");
        }
        assert_eq!(
            target_count(2, 6).unwrap_err().message,
            "UpdateShardCount cannot scale up over double your current open shard count. Current open shard \
             count: 2, Target shard count: 6"
        );
    }

    #[test]
    fn a_split_lies_well_inside_its_shard() {
        let stream = stream(StreamState::Active, Some(ShardMap::new(2, 0)));
        let at = |cut: u128| split(&stream, ShardId(1), &cut.to_string(), &account());
        let (start, end) = (1_u128 << 127, u128::MAX);
        assert_eq!(at(start + 2), Ok(Action::Split { shard: ShardId(1), cuts: vec![HashKey(start + 2)] }));
        assert!(at(end - 1).is_ok());
        for cut in [0, start - 1, start, start + 1, end] {
            let error = at(cut).unwrap_err();
            assert_eq!(error.name, "InvalidArgumentException");
            assert!(error.message.contains("is not both greater than one plus the shard's StartingHashKey"));
        }
        let beyond = split(&stream, ShardId(1), "340282366920938463463374607431768211456", &account());
        assert_eq!(beyond.unwrap_err().name, "InvalidArgumentException");
    }

    #[test]
    fn only_an_active_provisioned_stream_is_changed_by_hand() {
        let mut stream = stream(StreamState::Active, Some(ShardMap::new(2, 0)));
        assert_eq!(check_can_scale(&stream, &account()), Ok(()));
        stream.entry.config.rescale = true;
        let error = check_can_scale(&stream, &account()).unwrap_err();
        assert_eq!(error.name, "ResourceInUseException");
        assert!(error.message.ends_with("not ACTIVE, instead in state UPDATING"));
        stream.entry.config.mode = CapacityMode::OnDemand;
        let error = check_can_scale(&stream, &account()).unwrap_err();
        assert_eq!(error.name, "ValidationException");
    }

    #[test]
    fn refused_plans_have_kinesis_names() {
        let stream = stream(StreamState::Active, Some(ShardMap::new(2, 0)));
        let name = |plan| refused(&ControlError::Plan(plan), &stream, &account()).name;
        assert_eq!(name(PlanError::NotOpen(ShardId(0))), "InvalidArgumentException");
        assert_eq!(name(PlanError::NotNeighbours(ShardId(0), ShardId(1))), "InvalidArgumentException");
        assert_eq!(name(PlanError::Resharding(ShardId(0))), "ResourceInUseException");
        assert_eq!(name(PlanError::TooManyShards(9_000)), "LimitExceededException");
    }
}
