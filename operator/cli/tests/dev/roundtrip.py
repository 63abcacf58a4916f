"""Makes a stream, writes while it splits and merges, and reads along the lineage."""

import boto3

kinesis = boto3.client("kinesis")
kinesis.create_stream(StreamName="orders", ShardCount=2, StreamModeDetails={"StreamMode": "PROVISIONED"})
kinesis.get_waiter("stream_exists").wait(StreamName="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def shards():
    return kinesis.list_shards(StreamName="orders")["Shards"]


def open_shards():
    return [shard for shard in shards() if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]


def put(start, count):
    """One record of a key in a request; what a shard's limit refuses is sent again before the key's next."""
    for first in range(start, start + count, 20):
        records = [{"PartitionKey": f"key-{n % 20}", "Data": str(n).encode()} for n in range(first, first + 20)]
        while records:
            answer = kinesis.put_records(StreamName="orders", Records=records)
            results = list(zip(records, answer["Records"]))
            records = [record for record, result in results if "ErrorCode" in result]
            codes = {result.get("ErrorCode") for _, result in results}
            assert codes <= {None, "ProvisionedThroughputExceededException"}, answer


def await_open(count):
    """A describe is a wait of its own: the stream is UPDATING until its reshards are done."""
    for _ in range(1000):
        summary = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]
        if summary["StreamStatus"] == "ACTIVE" and summary["OpenShardCount"] == count:
            return
    raise SystemExit(f"the stream does not come to {count} open shards: {summary}")


put(0, 500)
parent = open_shards()[0]
middle = int(parent["HashKeyRange"]["EndingHashKey"]) // 2
kinesis.split_shard(StreamName="orders", ShardToSplit=parent["ShardId"], NewStartingHashKey=str(middle))
put(500, 500)
await_open(3)
put(1000, 500)
left, right = open_shards()[-2:]
kinesis.merge_shards(
    StreamName="orders", ShardToMerge=left["ShardId"], AdjacentShardToMerge=right["ShardId"]
)
put(1500, 500)
await_open(2)
put(2000, 500)

listed = {shard["ShardId"]: shard for shard in shards()}
last, seen, read = {}, set(), 0
for shard_id, shard in sorted(listed.items()):
    for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
        assert parent is None or parent in seen, f"{shard_id} is listed before {parent}"
    seen.add(shard_id)
    iterator = kinesis.get_shard_iterator(
        StreamName="orders", ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    before = 0
    while iterator:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=300)
        for record in answer["Records"]:
            assert int(record["SequenceNumber"]) > before
            before, number = int(record["SequenceNumber"]), int(record["Data"])
            key = record["PartitionKey"]
            assert number == last.get(key, int(key[4:]) - 20) + 20, (key, number, last.get(key))
            last[key] = number
            read += 1
        done = not answer["Records"] and answer["MillisBehindLatest"] == 0
        iterator = None if done else answer.get("NextShardIterator")
    if "EndingSequenceNumber" in shard["SequenceNumberRange"]:
        assert "NextShardIterator" not in answer and answer["ChildShards"], answer
assert read == 2500, read
kinesis.delete_stream(StreamName="orders")
kinesis.get_waiter("stream_not_exists").wait(
    StreamName="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
)
print("all is well")
