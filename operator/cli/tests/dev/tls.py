"""Writes and reads over TLS, and is not served where the authority is not trusted."""

import sys

import boto3
import botocore.exceptions

kinesis = boto3.client("kinesis", verify=sys.argv[1])
kinesis.create_stream(StreamName="orders", ShardCount=1)
kinesis.get_waiter("stream_exists").wait(StreamName="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
kinesis.put_record(StreamName="orders", PartitionKey="k", Data=b"one coffee")
shard = kinesis.list_shards(StreamName="orders")["Shards"][0]["ShardId"]
start = kinesis.get_shard_iterator(StreamName="orders", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
records = kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]
assert [record["Data"] for record in records] == [b"one coffee"], records

try:
    boto3.client("kinesis").list_streams()
except botocore.exceptions.SSLError:
    print("all is well")
