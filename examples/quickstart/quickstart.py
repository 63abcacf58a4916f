"""Shards that split under load and merge after it, with an unmodified boto3.

Starts `millrace dev` with orders.yaml, writes at several times a shard's target, stops writing, and reads
everything back along the shards' lineage: every record once, each key's in order. Ends by itself.

usage: quickstart.py MILLRACE [--seconds N] [--rate KIB_PER_S]
"""

import argparse
import collections
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
from botocore.config import Config

HERE = pathlib.Path(__file__).resolve().parent
STREAM = "orders"
KEYS = 200
BATCH = 50
RECORD_BYTES = 1024


def client(endpoint):
    """An ordinary Kinesis client; only the endpoint is ours."""
    return boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="anything",
        aws_secret_access_key="anything",
        config=Config(retries={"max_attempts": 10, "mode": "standard"}),
    )


class Writer(threading.Thread):
    """Writes numbered records of its own keys, one request at a time, at a steady rate, until told to stop."""

    def __init__(self, endpoint, keys, batches_per_s):
        super().__init__(daemon=True)
        self.kinesis = client(endpoint)
        self.keys = keys
        self.pause_s = 1 / batches_per_s
        self.sent = collections.Counter()
        self.bytes = 0
        self.throttled = 0
        self.stopped = threading.Event()
        self.error = None

    def run(self):
        try:
            turn, due = 0, time.monotonic()
            while not self.stopped.is_set():
                # A key has one record in a request, so that its records have an order.
                keys = [self.keys[(turn + i) % len(self.keys)] for i in range(BATCH)]
                turn += BATCH
                self.put([(key, self.sent[key] + 1) for key in keys])
                due = max(due + self.pause_s, time.monotonic() - 1)
                self.stopped.wait(max(0, due - time.monotonic()))
        except Exception as error:  # told to the person at the end
            self.error = error

    def put(self, wanted):
        while wanted:
            records = [
                {"PartitionKey": key, "Data": f"{key} {number} ".encode().ljust(RECORD_BYTES, b".")}
                for key, number in wanted
            ]
            answer = self.kinesis.put_records(StreamName=STREAM, Records=records)
            refused = []
            for (key, number), result in zip(wanted, answer["Records"]):
                if "ErrorCode" in result:
                    refused.append((key, number))
                else:
                    self.sent[key] = number
                    self.bytes += RECORD_BYTES
            self.throttled += len(refused)
            wanted = refused
            if wanted:
                self.stopped.wait(0.1)
                if self.stopped.is_set():
                    # What was refused is not stored: it was never sent.
                    return


def shards(kinesis):
    return kinesis.list_shards(StreamName=STREAM)["Shards"]


def is_open(shard):
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]


def bar(listed):
    """The hash space as a line: a mark where an open shard starts."""
    width = 64
    cells = ["─"] * width
    for shard in filter(is_open, listed):
        start = int(shard["HashKeyRange"]["StartingHashKey"])
        cells[start * width >> 128] = "┃"
    return "".join(cells)


def read_all(kinesis):
    """Reads every shard once, children after their parents, as a consumer library does."""
    listed = {shard["ShardId"]: shard for shard in shards(kinesis)}
    seen, last, count = set(), collections.Counter(), 0
    waiting = sorted(listed)
    while waiting:
        parents = lambda s: [s.get("ParentShardId"), s.get("AdjacentParentShardId")]
        ready = [i for i in waiting if all(p in seen or p not in listed for p in parents(listed[i]))]
        for shard_id in ready:
            iterator = kinesis.get_shard_iterator(
                StreamName=STREAM, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while iterator:
                answer = kinesis.get_records(ShardIterator=iterator)
                for record in answer["Records"]:
                    key, number, _ = record["Data"].decode().split(" ", 2)
                    if int(number) != last[key] + 1:
                        sys.exit(f"{key}: record {number} came after {last[key]}, in {shard_id}")
                    last[key] = int(number)
                    count += 1
                at_tail = answer["MillisBehindLatest"] == 0 and not answer["Records"]
                iterator = None if at_tail else answer.get("NextShardIterator")
            seen.add(shard_id)
            waiting.remove(shard_id)
    return last, count


def echo(lines):
    """What `millrace dev` decides, as it says it."""
    for line in lines:
        print(f"  {line}", end="", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millrace")
    parser.add_argument("--seconds", type=int, default=20, help="how long to write")
    parser.add_argument("--rate", type=int, default=1500, help="how much to write, in KiB/s")
    parser.add_argument("--listen", default="127.0.0.1:4566")
    arguments = parser.parse_args()
    endpoint = f"http://{arguments.listen}"
    dev = subprocess.Popen(
        [arguments.millrace, "dev", "-f", HERE / "orders.yaml", "--ephemeral", "--listen", arguments.listen],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in dev.stdout:
            print(f"  {line}", end="")
            if line.startswith("ready"):
                break
        else:
            sys.exit(dev.wait() or 1)
        threading.Thread(target=echo, args=(dev.stdout,), daemon=True).start()
        urllib.request.urlopen(f"{endpoint}/ready").close()
        run(endpoint, arguments)
    finally:
        dev.send_signal(signal.SIGTERM)
        dev.wait(30)


def run(endpoint, arguments):
    kinesis = client(endpoint)
    keys = [f"order-{number}" for number in range(KEYS)]
    threads = 4
    per_thread = arguments.rate / (BATCH * RECORD_BYTES / 1024) / threads
    writers = [Writer(endpoint, keys[n::threads], per_thread) for n in range(threads)]
    print(
        f"\nwriting {arguments.rate} KiB/s with boto3 for {arguments.seconds} s; "
        "a shard's target is 256 KiB/s, so watch it split:\n"
    )
    print("   time   written  throttled  open  hash space")
    for writer in writers:
        writer.start()
    started, before, most, calm_s = time.monotonic(), (0, 0), 0, 0
    deadline_s = arguments.seconds + 120
    writing = True
    while True:
        time.sleep(1)
        elapsed = time.monotonic() - started
        now = (sum(w.bytes for w in writers), sum(w.throttled for w in writers))
        listed = shards(kinesis)
        count = sum(map(is_open, listed))
        most = max(most, count)
        print(
            f"{elapsed:6.0f} s {(now[0] - before[0]) / 1024:6.0f} KiB/s {now[1] - before[1]:6d}  "
            f"{count:5d}  {bar(listed)}",
            flush=True,
        )
        before = now
        if writing and elapsed >= arguments.seconds:
            for writer in writers:
                writer.stopped.set()
            for writer in writers:
                writer.join()
            writing = False
            print("\nwriting has stopped; idle shards are merged once they have cost more than a reshard:\n")
        if not writing and count == 1:
            break
        if elapsed > deadline_s:
            sys.exit("the shards did not merge back in time: see what `millrace dev` says above")
    for writer in writers:
        if writer.error:
            sys.exit(f"a writer failed: {writer.error}")
    if most < 3:
        sys.exit(f"only {most} shards opened: see what `millrace dev` says above")
    last, read = read_all(kinesis)
    sent = sum((writer.sent for writer in writers), collections.Counter())
    if +last != +sent:
        sys.exit(f"{sum(sent.values())} records were acknowledged, {read} were read back")
    print(
        f"\n1 → {most} → 1 shards, {len(listed)} in all. {read:,} records acknowledged and read back: each once, "
        "each key's in order.\n"
    )
    print(
        "Try next:\n"
        f"  {os.path.relpath(arguments.millrace)} dev -f examples/quickstart/orders.yaml\n"
        f"  {os.path.relpath(arguments.millrace)} put orders --key me hello     (in another terminal)\n"
        f"  {os.path.relpath(arguments.millrace)} tail orders --from horizon\n"
        f"  {os.path.relpath(arguments.millrace)} shards orders\n"
        "  AWS_ENDPOINT_URL=http://127.0.0.1:4566 and your own program, in any language"
    )


if __name__ == "__main__":
    main()
