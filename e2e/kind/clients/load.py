"""Puts a stream under load, and says what became of each record.

usage: load.py write NAME RATE FILE | check NAME FILE
`write` keeps RATE records a second coming until its standard input ends, tries each until it is acknowledged, and
appends one JSON line for each attempt to FILE: when it began and ended, the record, its place, what went wrong.
`check` reads the whole stream, parents before children, and prints what it found as JSON.
boto3's own retries are off: a record that is sent again has another body, so that each acknowledgement is one record.
"""

import collections
import json
import sys
import threading
import time
import uuid

import boto3
from botocore.config import Config

THREADS = 4
KEYS = 400
# Nothing goes on for ever, also when nobody ends it.
LONGEST_S = 1800
config = Config(
    retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10, max_pool_connections=THREADS
)
kinesis = boto3.client("kinesis", config=config)


def write(name, rate, path):
    rate, lock, run_id = int(rate), threading.Lock(), uuid.uuid4().hex[:8]
    ended = threading.Event()
    give_up = time.time() + LONGEST_S
    with open(path, "w") as file:

        def run(thread):
            keys = range(thread, KEYS, THREADS)
            counters = dict.fromkeys(keys, 0)
            waiting = collections.deque()
            per_call = max(1, rate // THREADS // 5)
            turn = 0
            while time.time() < give_up and (waiting or not ended.is_set()):
                began = time.time()
                # One record of a key is under way at a time: its order is the order of its acknowledgements.
                busy = {key for key, _, _ in waiting}
                while not ended.is_set() and len(waiting) < per_call:
                    key = keys[turn % len(keys)]
                    turn += 1
                    if key in busy:
                        break
                    busy.add(key)
                    waiting.append((key, counters[key], 0))
                    counters[key] += 1
                batch = [waiting.popleft() for _ in range(len(waiting))]
                if not batch:
                    break
                entries = [
                    {"PartitionKey": f"key-{key}", "Data": json.dumps([run_id, key, number, attempt])}
                    for key, number, attempt in batch
                ]
                try:
                    answers = kinesis.put_records(StreamName=name, Records=entries)["Records"]
                except Exception as error:
                    answers = [{"ErrorCode": type(error).__name__}] * len(batch)
                done, lines = time.time(), []
                for (key, number, attempt), answer in zip(batch, answers):
                    if "ErrorCode" in answer:
                        waiting.append((key, number, attempt + 1))
                    body, place = [run_id, key, number, attempt], [answer.get("ShardId"), answer.get("SequenceNumber")]
                    lines.append(json.dumps([began, done, *body, *place, answer.get("ErrorCode")]))
                with lock:
                    file.write("\n".join(lines) + "\n")
                    file.flush()
                time.sleep(max(0.0, began + 0.2 - time.time()))

        threads = [threading.Thread(target=run, args=(thread,)) for thread in range(THREADS)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        ended.set()
        for thread in threads:
            thread.join()
    return {"written": path}


def patiently(call, **arguments):
    """A read may be tried again as often as it takes."""
    give_up = time.time() + 60
    while True:
        try:
            return call(**arguments)
        except Exception:
            if time.time() > give_up:
                raise
            time.sleep(0.5)


def shards_of(name):
    answer = patiently(kinesis.list_shards, StreamName=name)
    shards = answer["Shards"]
    while "NextToken" in answer:
        answer = patiently(kinesis.list_shards, NextToken=answer["NextToken"])
        shards += answer["Shards"]
    return {shard["ShardId"]: shard for shard in shards}


def read(name, shard):
    iterator = patiently(
        kinesis.get_shard_iterator, StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    while iterator:
        answer = patiently(kinesis.get_records, ShardIterator=iterator)
        yield from answer["Records"]
        iterator = answer.get("NextShardIterator")
        if iterator and not answer["Records"] and answer["MillisBehindLatest"] == 0:
            return
        time.sleep(0.21)


def check(name, path):
    acknowledged, attempts = {}, set()
    for line in open(path):
        _, _, *body, shard, sequence, _ = json.loads(line)
        attempts.add(tuple(body))
        if sequence:
            acknowledged[tuple(body)] = (shard, sequence)
    shards, done, places = shards_of(name), set(), collections.Counter()
    last, faults, found = {}, collections.Counter(), 0
    while len(done) < len(shards):
        for shard, about in shards.items():
            parents = {about.get("ParentShardId"), about.get("AdjacentParentShardId")} & shards.keys()
            if shard in done or not parents <= done:
                continue
            for record in read(name, shard):
                found += 1
                body = tuple(json.loads(record["Data"]))
                places[body] += 1
                if body not in attempts:
                    faults["never sent"] += 1
                if body in acknowledged and acknowledged[body] != (shard, record["SequenceNumber"]):
                    faults["elsewhere than acknowledged"] += 1
                *key, number, _ = body
                key = tuple(key)
                if number < last.get(key, -1):
                    faults["out of order"] += 1
                last[key] = max(number, last.get(key, -1))
            done.add(shard)
    faults["lost"] = sum(1 for body in acknowledged if body not in places)
    faults["twice"] = sum(1 for body, count in places.items() if count > 1)
    return {
        "acknowledged": len(acknowledged),
        "attempts": len(attempts),
        "read": found,
        "shards": len(shards),
        "open": sum(1 for about in shards.values() if "EndingSequenceNumber" not in about["SequenceNumberRange"]),
        "faults": {name: count for name, count in faults.items() if count},
    }


print(json.dumps({"write": write, "check": check}[sys.argv[1]](*sys.argv[2:])))
