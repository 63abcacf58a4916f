"""Uses a stream as any program would, through boto3 alone.

usage: stream.py put NAME COUNT | read NAME | create NAME SHARDS | scale NAME SHARDS | keep NAME HOURS | delete NAME | describe NAME
Prints JSON. The endpoint and the access key come from the environment.
"""

import json
import sys

import boto3
from botocore.config import Config

kinesis = boto3.client("kinesis", config=Config(retries={"max_attempts": 5, "mode": "standard"}))


def put(name, count):
    entries = [{"PartitionKey": f"key-{i % 50}", "Data": f"record-{i}"} for i in range(int(count))]
    places = []
    while entries:
        batch = entries[:500]
        answers = kinesis.put_records(StreamName=name, Records=batch)["Records"]
        refused = [entry for entry, answer in zip(batch, answers) if "ErrorCode" in answer]
        places += [answer["ShardId"] for answer in answers if "ShardId" in answer]
        entries = refused + entries[500:]
    return {"stored": len(places), "shards": sorted(set(places))}


def read(name):
    found = []
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = kinesis.get_records(ShardIterator=iterator)
            found += [record["Data"].decode() for record in answer["Records"]]
            iterator = answer.get("NextShardIterator")
            if not answer["Records"] and answer["MillisBehindLatest"] == 0:
                break
    return sorted(found)


def wait(name):
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return describe(name)


def describe(name):
    try:
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    except kinesis.exceptions.ResourceNotFoundException:
        return {"status": "ABSENT"}
    return {
        "status": summary["StreamStatus"],
        "shards": summary["OpenShardCount"],
        "hours": summary["RetentionPeriodHours"],
    }


def create(name, shards):
    kinesis.create_stream(StreamName=name, ShardCount=int(shards))
    return wait(name)


def scale(name, shards):
    kinesis.update_shard_count(StreamName=name, TargetShardCount=int(shards), ScalingType="UNIFORM_SCALING")
    return wait(name)


def keep(name, hours):
    kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=int(hours))
    return wait(name)


def delete(name):
    kinesis.delete_stream(StreamName=name)
    kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return describe(name)


verbs = {
    "put": put, "read": read, "create": create, "scale": scale, "keep": keep, "delete": delete, "describe": describe
}
print(json.dumps(verbs[sys.argv[1]](*sys.argv[2:])))
