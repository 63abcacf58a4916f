"""Puts records that aws-kinesis-agg has packed, as the Kinesis Producer Library does, and takes them apart again.

usage: aggregated.py STREAM
"""

import base64
import sys

import boto3
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import iter_deaggregate_records

stream = sys.argv[1]
kinesis = boto3.client("kinesis")
kinesis.create_stream(StreamName=stream, ShardCount=1)
kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 120})

users = [(f"schlüssel-{n % 7}", bytes((n * 31 + i) % 256 for i in range(n * 5 % 997))) for n in range(1000)]
aggregator = RecordAggregator(max_size=50_000)
packed = [record for key, data in users if (record := aggregator.add_user_record(key, data))]
packed = [record.get_contents() for record in [*packed, aggregator.clear_and_get()]]
for key, _, data in packed:
    kinesis.put_record(StreamName=stream, PartitionKey=key, Data=data)

shard = kinesis.list_shards(StreamName=stream)["Shards"][0]["ShardId"]
iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
records = []
while len(records) < len(packed):
    answer = kinesis.get_records(ShardIterator=iterator)
    records += answer["Records"]
    iterator = answer["NextShardIterator"]
assert [record["Data"] for record in records] == [data for _, _, data in packed]
assert [record["PartitionKey"] for record in records] == [key for key, _, _ in packed]
print(f"read: {len(packed)} aggregated records, byte for byte")

taken = [user["kinesis"] for user in iter_deaggregate_records(records, data_format="Boto3")]
assert [(user["partitionKey"], base64.b64decode(user["data"])) for user in taken] == users
print(f"deaggregated: {len(taken)} records")
kinesis.delete_stream(StreamName=stream)
