import static java.nio.charset.StandardCharsets.UTF_8;

import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.retries.api.BackoffStrategy;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.waiters.KinesisWaiter;

/** The story that every client tells, in Java: see ../README.md. Usage: java -cp 'LIB/*' Sdk.java STREAM */
class Sdk {
    static final int RECORDS = 300;

    final KinesisClient kinesis = KinesisClient.builder().httpClientBuilder(ApacheHttpClient.builder()).build();
    final KinesisWaiter waiter = KinesisWaiter.builder()
            .client(kinesis)
            .overrideConfiguration(it -> it.maxAttempts(120)
                    .backoffStrategyV2(BackoffStrategy.fixedDelay(Duration.ofSeconds(1))))
            .build();
    final String stream;

    Sdk(String stream) {
        this.stream = stream;
    }

    public static void main(String[] arguments) {
        new Sdk(arguments[0]).tell();
    }

    void tell() {
        kinesis.createStream(it -> it.streamName(stream).shardCount(3));
        waiter.waitUntilStreamExists(it -> it.streamName(stream));
        refusals();

        var written = write();
        var shards = list();
        var read = new HashMap<String, List<Record>>();
        for (var shard : shards) {
            var found = read.computeIfAbsent(shard.shardId(), id -> new ArrayList<>());
            read(shard, found);
            for (var record : found) {
                var data = written.remove(record.sequenceNumber());
                expect(record.data().equals(data), record + " was written as " + data);
                var age = Duration.between(record.approximateArrivalTimestamp(), Instant.now());
                expect(age.abs().toHours() == 0, "arrived: " + record);
            }
        }
        expect(written.isEmpty(), written.size() + " records were not read");
        System.out.printf("read: %d records, byte for byte%n", RECORDS);

        var first = shards.get(0);
        subscribe(first, read.get(first.shardId()));
        merge();
        var end = read(first, new ArrayList<>());
        expect(end.nextShardIterator() == null, "a closed shard goes on: " + end);
        System.out.printf("the end of a closed shard: %d children%n", end.childShards().size());

        kinesis.deleteStream(it -> it.streamName(stream).enforceConsumerDeletion(true));
        waiter.waitUntilStreamNotExists(it -> it.streamName(stream));
        System.out.println("deleted");
    }

    void refusals() {
        var inUse = refused(ResourceInUseException.class,
                () -> kinesis.createStream(it -> it.streamName(stream).shardCount(1)));
        var notFound = refused(ResourceNotFoundException.class,
                () -> kinesis.describeStreamSummary(it -> it.streamName("nothing")));
        var beyond = BigInteger.TWO.pow(128).toString();
        var data = SdkBytes.fromUtf8String("data");
        var invalid = refused(InvalidArgumentException.class, () -> kinesis.putRecord(
                it -> it.streamName(stream).partitionKey("key").explicitHashKey(beyond).data(data)));
        System.out.printf("refused: %s %s %s%n", inUse, notFound, invalid);
    }

    static String refused(Class<? extends KinesisException> type, Runnable call) {
        try {
            call.run();
        } catch (KinesisException refusal) {
            expect(type.isInstance(refusal), refusal.toString());
            return refusal.awsErrorDetails().errorCode();
        }
        throw new AssertionError("not refused as " + type);
    }

    /** Writes records of every byte and many lengths; their data by sequence number. */
    Map<String, SdkBytes> write() {
        var entries = IntStream.range(0, RECORDS).mapToObj(n -> {
            var data = new byte[n * 5 % 997];
            for (var i = 0; i < data.length; i++) {
                data[i] = (byte) (n * 31 + i);
            }
            return PutRecordsRequestEntry.builder()
                    .partitionKey("schl\u00fcssel-" + n % 7)
                    .data(SdkBytes.fromByteArray(data))
                    .build();
        }).toList();
        var answer = kinesis.putRecords(it -> it.streamName(stream).records(entries));
        expect(answer.failedRecordCount() == 0, answer.toString());
        var written = new HashMap<String, SdkBytes>();
        for (var n = 0; n < RECORDS; n++) {
            written.put(answer.records().get(n).sequenceNumber(), entries.get(n).data());
        }
        return written;
    }

    List<Shard> list() {
        var page = kinesis.listShards(it -> it.streamName(stream).maxResults(1));
        var shards = new ArrayList<>(page.shards());
        var pages = 1;
        for (; page.nextToken() != null; pages++) {
            var next = page.nextToken();
            page = kinesis.listShards(it -> it.nextToken(next).maxResults(1));
            shards.addAll(page.shards());
        }
        System.out.printf("listed: %d shards in %d pages%n", shards.size(), pages);
        return shards;
    }

    /** Reads a shard from its start to its end or its tip; the last answer. */
    GetRecordsResponse read(Shard shard, List<Record> found) {
        var iterator = kinesis.getShardIterator(it -> it.streamName(stream)
                .shardId(shard.shardId())
                .shardIteratorType(ShardIteratorType.TRIM_HORIZON)).shardIterator();
        while (true) {
            var from = iterator;
            var answer = kinesis.getRecords(it -> it.shardIterator(from).limit(100));
            found.addAll(answer.records());
            iterator = answer.nextShardIterator();
            if (iterator == null || answer.records().isEmpty() && answer.millisBehindLatest() == 0) {
                return answer;
            }
        }
    }

    /** Subscribes to a shard, over HTTP/2, and reads what it holds, what is put then, and its end by a split. */
    void subscribe(Shard shard, List<Record> expected) {
        var arn = kinesis.describeStreamSummary(it -> it.streamName(stream)).streamDescriptionSummary().streamARN();
        var consumer = kinesis.registerStreamConsumer(it -> it.streamARN(arn).consumerName("reader"))
                .consumer().consumerARN();
        while (kinesis.describeStreamConsumer(it -> it.consumerARN(consumer))
                .consumerDescription().consumerStatus() != ConsumerStatus.ACTIVE) {}
        var start = new BigInteger(shard.hashKeyRange().startingHashKey());
        var middle = start.add(new BigInteger(shard.hashKeyRange().endingHashKey())).shiftRight(1);

        var received = new ArrayList<SdkBytes>();
        var children = new ArrayList<ChildShard>();
        var handler = SubscribeToShardResponseHandler.builder().subscriber(one -> {
            if (!(one instanceof SubscribeToShardEvent event)) {
                return;
            }
            var before = received.size();
            event.records().forEach(record -> received.add(record.data()));
            if (before < expected.size() && received.size() == expected.size()) {
                kinesis.putRecord(it -> it.streamName(stream)
                        .partitionKey("key")
                        .explicitHashKey(start.toString())
                        .data(SdkBytes.fromUtf8String("live")));
            } else if (before == expected.size() && received.size() > before) {
                kinesis.splitShard(it -> it.streamName(stream)
                        .shardToSplit(shard.shardId())
                        .newStartingHashKey(middle.toString()));
            }
            children.addAll(event.childShards());
        }).build();
        try (var async = KinesisAsyncClient.builder().httpClientBuilder(NettyNioAsyncHttpClient.builder()).build()) {
            // Completes when the service ends the stream of events, as it does after a shard's end.
            async.subscribeToShard(it -> it.consumerARN(consumer)
                    .shardId(shard.shardId())
                    .startingPosition(from -> from.type(ShardIteratorType.TRIM_HORIZON)), handler).join();
        }
        expect(received.size() == expected.size() + 1, received.size() + " records by subscription");
        for (var n = 0; n < expected.size(); n++) {
            expect(received.get(n).equals(expected.get(n).data()), "record " + n + ": " + received.get(n));
        }
        var live = received.get(expected.size()).asString(UTF_8);
        System.out.printf("subscribed: all of a shard, \"%s\", then %d children%n", live, children.size());
    }

    /** Merges the children of the first shard. */
    void merge() {
        awaitOpen(4);
        var shards = kinesis.listShards(it -> it.streamName(stream)).shards();
        var left = shards.get(3).shardId();
        var right = shards.get(4).shardId();
        kinesis.mergeShards(it -> it.streamName(stream).shardToMerge(left).adjacentShardToMerge(right));
        awaitOpen(3);
        shards = kinesis.listShards(it -> it.streamName(stream)).shards();
        var merged = shards.get(shards.size() - 1);
        expect(merged.parentShardId().equals(left) && merged.adjacentParentShardId().equals(right), merged.toString());
        System.out.printf("split and merged: %d shards, 3 open%n", shards.size());
    }

    /** A describe is a wait of its own: the stream is UPDATING until its reshards are done. */
    void awaitOpen(int count) {
        while (true) {
            var summary = kinesis.describeStreamSummary(it -> it.streamName(stream)).streamDescriptionSummary();
            if (summary.streamStatus() == StreamStatus.ACTIVE && summary.openShardCount() == count) {
                return;
            }
        }
    }

    static void expect(boolean met, String otherwise) {
        if (!met) {
            throw new AssertionError(otherwise);
        }
    }
}
