// The story that every client tells, in JavaScript: see ../README.md. Usage: node story.js STREAM
"use strict";

const assert = require("node:assert/strict");
const {
  InvalidArgumentException,
  Kinesis,
  ResourceInUseException,
  ResourceNotFoundException,
  waitUntilStreamExists,
  waitUntilStreamNotExists,
} = require("@aws-sdk/client-kinesis");

const RECORDS = 300;
const HOUR = 3600 * 1000;

const StreamName = process.argv[2];
const kinesis = new Kinesis({});
const patience = { client: kinesis, maxWaitTime: 120, minDelay: 1, maxDelay: 1 };

async function tell() {
  await kinesis.createStream({ StreamName, ShardCount: 3 });
  await waitUntilStreamExists(patience, { StreamName });
  await refusals();

  const written = await write();
  const shards = await list();
  const read = new Map();
  for (const shard of shards) {
    const { found } = await readShard(shard);
    read.set(shard.ShardId, found);
    for (const record of found) {
      assert.deepEqual(Buffer.from(record.Data), written.get(record.SequenceNumber));
      assert(Math.abs(Date.now() - record.ApproximateArrivalTimestamp) < HOUR, record.ApproximateArrivalTimestamp);
      written.delete(record.SequenceNumber);
    }
  }
  assert.equal(written.size, 0, "records were not read");
  console.log(`read: ${RECORDS} records, byte for byte`);

  await subscribe(shards[0], read.get(shards[0].ShardId));
  await merge();
  const { last } = await readShard(shards[0]);
  assert.equal(last.NextShardIterator, undefined, "a closed shard goes on");
  console.log(`the end of a closed shard: ${last.ChildShards.length} children`);

  await kinesis.deleteStream({ StreamName, EnforceConsumerDeletion: true });
  await waitUntilStreamNotExists(patience, { StreamName });
  console.log("deleted");
}

async function refusals() {
  const beyond = (1n << 128n).toString();
  const record = { PartitionKey: "key", ExplicitHashKey: beyond, Data: Buffer.from("data") };
  const names = [
    await refused(ResourceInUseException, kinesis.createStream({ StreamName, ShardCount: 1 })),
    await refused(ResourceNotFoundException, kinesis.describeStreamSummary({ StreamName: "nothing" })),
    await refused(InvalidArgumentException, kinesis.putRecord({ StreamName, ...record })),
  ];
  console.log("refused:", ...names);
}

async function refused(type, call) {
  const refusal = await call.then((answer) => assert.fail(answer), (error) => error);
  assert(refusal instanceof type, refusal);
  return refusal.name;
}

// Writes records of every byte and many lengths; their data by sequence number.
async function write() {
  const Records = Array.from({ length: RECORDS }, (_, n) => ({
    PartitionKey: `schlüssel-${n % 7}`,
    Data: Buffer.from(Array.from({ length: (n * 5) % 997 }, (_, i) => (n * 31 + i) % 256)),
  }));
  const answer = await kinesis.putRecords({ StreamName, Records });
  assert.equal(answer.FailedRecordCount, 0);
  return new Map(answer.Records.map((result, n) => [result.SequenceNumber, Records[n].Data]));
}

async function list() {
  const shards = [];
  let pages = 0;
  let next = { StreamName, MaxResults: 1 };
  while (next) {
    const { Shards, NextToken } = await kinesis.listShards(next);
    shards.push(...Shards);
    pages += 1;
    next = NextToken && { NextToken, MaxResults: 1 };
  }
  console.log(`listed: ${shards.length} shards in ${pages} pages`);
  return shards;
}

// Reads a shard from its start to its end or its tip; also the last answer.
async function readShard({ ShardId }) {
  const found = [];
  const from = { StreamName, ShardId, ShardIteratorType: "TRIM_HORIZON" };
  let { ShardIterator } = await kinesis.getShardIterator(from);
  for (;;) {
    const last = await kinesis.getRecords({ ShardIterator, Limit: 100 });
    found.push(...last.Records);
    ShardIterator = last.NextShardIterator;
    if (!ShardIterator || (last.Records.length === 0 && last.MillisBehindLatest === 0)) {
      return { found, last };
    }
  }
}

// Subscribes to a shard, and reads what it holds, what is put then, and its end by a split.
async function subscribe({ ShardId, HashKeyRange }, expected) {
  const { StreamARN } = (await kinesis.describeStreamSummary({ StreamName })).StreamDescriptionSummary;
  const { ConsumerARN } = (await kinesis.registerStreamConsumer({ StreamARN, ConsumerName: "reader" })).Consumer;
  const status = async () => (await kinesis.describeStreamConsumer({ ConsumerARN })).ConsumerDescription.ConsumerStatus;
  while ((await status()) !== "ACTIVE");
  const StartingPosition = { Type: "TRIM_HORIZON" };
  const { EventStream } = await kinesis.subscribeToShard({ ConsumerARN, ShardId, StartingPosition });

  const start = BigInt(HashKeyRange.StartingHashKey);
  const middle = ((start + BigInt(HashKeyRange.EndingHashKey)) / 2n).toString();
  const live = { PartitionKey: "key", ExplicitHashKey: start.toString(), Data: Buffer.from("live") };
  const received = [];
  let children = [];
  for await (const { SubscribeToShardEvent: event } of EventStream) {
    const before = received.length;
    received.push(...event.Records.map((record) => Buffer.from(record.Data)));
    if (before < expected.length && received.length === expected.length) {
      await kinesis.putRecord({ StreamName, ...live });
    } else if (before === expected.length && received.length > before) {
      await kinesis.splitShard({ StreamName, ShardToSplit: ShardId, NewStartingHashKey: middle });
    }
    children = event.ChildShards ?? [];
    if (children.length > 0) {
      break;
    }
  }
  const last = received.pop();
  assert.deepEqual(received, expected.map((record) => Buffer.from(record.Data)));
  console.log(`subscribed: all of a shard, "${last}", then ${children.length} children`);
}

// Merges the children of the first shard.
async function merge() {
  await awaitOpen(4);
  const left = (await kinesis.listShards({ StreamName })).Shards.slice(3).map((shard) => shard.ShardId);
  await kinesis.mergeShards({ StreamName, ShardToMerge: left[0], AdjacentShardToMerge: left[1] });
  await awaitOpen(3);
  const { Shards } = await kinesis.listShards({ StreamName });
  const merged = Shards.at(-1);
  assert.deepEqual([merged.ParentShardId, merged.AdjacentParentShardId], left);
  console.log(`split and merged: ${Shards.length} shards, 3 open`);
}

// A describe is a wait of its own: the stream is UPDATING until its reshards are done.
async function awaitOpen(count) {
  for (;;) {
    const { StreamDescriptionSummary: summary } = await kinesis.describeStreamSummary({ StreamName });
    if (summary.StreamStatus === "ACTIVE" && summary.OpenShardCount === count) {
      return;
    }
  }
}

tell().then(
  () => kinesis.destroy(),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
