//! Bodies of all operations, in JSON and CBOR, plain: the first byte names the operation, its top bit the form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_fuzz::{Api, CBOR, JSON, check_answer};

const OPERATIONS: [&str; 41] = [
    "AddTagsToStream",
    "CreateStream",
    "CreateQueue",
    "DecreaseStreamRetentionPeriod",
    "DeleteResourcePolicy",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeAccountSettings",
    "DescribeLimits",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetRecords",
    "GetResourcePolicy",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "PutResourcePolicy",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "SubscribeToShard",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateMaxRecordSize",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
];

fuzz_target!(|data: &[u8]| {
    let Some((&first, body)) = data.split_first() else { return };
    let form = if first & 0x80 == 0 { JSON } else { CBOR };
    let operation = OPERATIONS[usize::from(first & 0x7f) % OPERATIONS.len()];
    check_answer(form, operation, Api::start().call(form, operation, body.to_vec()));
});
