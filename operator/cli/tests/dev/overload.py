"""Writes more than one shard takes until the stream has split, and none of it is refused any more."""

import boto3

kinesis = boto3.client("kinesis")
throttled = shards = number = 0
while shards < 3 or refused:
    records = [{"PartitionKey": f"key-{number + i}", "Data": b"x" * 100} for i in range(100)]
    number += 100
    refused = [r for r in kinesis.put_records(StreamName="orders", Records=records)["Records"] if "ErrorCode" in r]
    assert all(r["ErrorCode"] == "ProvisionedThroughputExceededException" for r in refused), refused
    throttled += len(refused)
    listed = kinesis.list_shards(StreamName="orders")["Shards"]
    shards = sum("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in listed)
    assert number < 1_000_000, "the stream does not split"
assert throttled > 0, "nothing was ever throttled"
print("all is well")
