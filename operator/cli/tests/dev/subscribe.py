"""Registers a consumer, subscribes it to a shard, and reads what is put, through a split to the shard's end."""

import boto3

kinesis = boto3.client("kinesis")
kinesis.create_stream(
    StreamName="orders", ShardCount=1, StreamModeDetails={"StreamMode": "PROVISIONED"}, Tags={"team": "a"}
)
kinesis.get_waiter("stream_exists").wait(StreamName="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
arn = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamARN"]
assert kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "a"}]
consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="reader")["Consumer"]["ConsumerARN"]
described = kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]
assert described["ConsumerStatus"] == "ACTIVE", described

shard = kinesis.list_shards(StreamName="orders")["Shards"][0]
events = kinesis.subscribe_to_shard(
    ConsumerARN=consumer, ShardId=shard["ShardId"], StartingPosition={"Type": "TRIM_HORIZON"}
)["EventStream"]
kinesis.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=10240)
# The large one last: it uses up what the shard takes for some seconds.
written = [b"one", b"x" * (9 << 20)]
for data in written:
    kinesis.put_record(StreamName="orders", Data=data, PartitionKey="key")
middle = int(shard["HashKeyRange"]["EndingHashKey"]) // 2
kinesis.split_shard(StreamName="orders", ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))

read = []
for event in events:
    event = event["SubscribeToShardEvent"]
    read += [record["Data"] for record in event["Records"]]
    if event.get("ChildShards"):
        assert "ContinuationSequenceNumber" not in event, event
        break
assert read == written, [len(data) for data in read]
assert len(event["ChildShards"]) == 2, event
try:
    kinesis.delete_stream(StreamName="orders")
    raise SystemExit("a stream with a consumer was deleted")
except kinesis.exceptions.ResourceInUseException:
    pass
kinesis.delete_stream(StreamName="orders", EnforceConsumerDeletion=True)
print("all is well")
