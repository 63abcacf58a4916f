import static java.nio.charset.StandardCharsets.UTF_8;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/** Reads a stream by KCL while it is written, split and merged. Usage: java -cp 'LIB/*' Kcl.java STREAM polling|fan-out */
class Kcl {
    static final int KEYS = 20;
    /** A key's records between two reshards. */
    static final int STEP = 10;
    static final long PATIENCE_SECONDS = 300;

    final KinesisClient kinesis = KinesisClient.create();
    final String stream;
    /** How many records each key has by now. */
    int written = 0;

    /** What was read: each key's next number, and the shards that ended. */
    final Map<String, Integer> next = new HashMap<>();
    final Set<String> ended = new HashSet<>();
    /** The first thing that was wrong. */
    String wrong;
    final CountDownLatch done = new CountDownLatch(1);
    int closed = Integer.MAX_VALUE;

    Kcl(String stream) {
        this.stream = stream;
    }

    public static void main(String[] arguments) throws Exception {
        new Kcl(arguments[0]).run(arguments[1].equals("fan-out"));
        // KCL's threads are no daemons.
        System.exit(0);
    }

    void run(boolean fanOut) throws Exception {
        kinesis.createStream(it -> it.streamName(stream).shardCount(2));
        awaitOpen(2);
        put();
        new Thread(scheduler(fanOut)).start();
        // Only once it reads, so that it is met by the reshards and not by their remains.
        while (!reads()) {
            done.await(50, TimeUnit.MILLISECONDS);
        }
        split(open().get(0));
        put();
        awaitOpen(3);
        var children = open();
        merge(children.get(1), children.get(2));
        put();
        awaitOpen(2);
        split(open().get(1));
        put();
        awaitOpen(3);
        put();
        synchronized (this) {
            closed = 4;
            look();
        }
        var came = done.await(PATIENCE_SECONDS, TimeUnit.SECONDS);
        synchronized (this) {
            if (!came || wrong != null) {
                throw new AssertionError("wrong: " + wrong + "; read: " + next + "; ended: " + ended);
            }
            System.out.printf("%d keys, each with %d records in order; %d shards to their end%n",
                    next.size(), written, ended.size());
        }
        var arn = kinesis.describeStreamSummary(it -> it.streamName(stream)).streamDescriptionSummary().streamARN();
        var consumers = kinesis.listStreamConsumers(it -> it.streamARN(arn)).consumers();
        System.out.printf("%d registered consumers%n", consumers.size());
    }

    Scheduler scheduler(boolean fanOut) {
        var client = KinesisClientUtil.createKinesisAsyncClient(KinesisAsyncClient.builder());
        var tracker = new SingleStreamTracker(stream,
                InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
        var configs = new ConfigsBuilder(tracker, stream, client, DynamoDbAsyncClient.create(),
                CloudWatchAsyncClient.create(), "worker", Processor::new);
        var leases = configs.leaseManagementConfig().leaseAssignmentIntervalMillis(500L).shardSyncIntervalMillis(500);
        leases.workerUtilizationAwareAssignmentConfig()
                .inMemoryWorkerMetricsCaptureFrequencyMillis(500)
                .workerMetricsReporterFreqInMillis(500);
        return new Scheduler(
                configs.checkpointConfig(),
                configs.coordinatorConfig()
                        .parentShardPollIntervalMillis(200)
                        .shardConsumerDispatchPollIntervalMillis(100),
                leases,
                configs.lifecycleConfig().taskBackoffTimeMillis(200),
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(),
                configs.retrievalConfig().retrievalSpecificConfig(fanOut
                        ? new FanOutConfig(client).streamName(stream).applicationName(stream)
                        : new PollingConfig(stream, client).idleTimeBetweenReadsInMillis(250)));
    }

    /** Writes each key's next records, and what the shards' limits refuse again before the key's next. */
    void put() {
        for (var n = written; n < written + STEP; n++) {
            var number = SdkBytes.fromUtf8String(Integer.toString(n));
            List<PutRecordsRequestEntry> entries = new ArrayList<>();
            for (var key = 0; key < KEYS; key++) {
                entries.add(PutRecordsRequestEntry.builder().partitionKey("key-" + key).data(number).build());
            }
            while (!entries.isEmpty()) {
                var sent = entries;
                var results = kinesis.putRecords(it -> it.streamName(stream).records(sent)).records();
                entries = new ArrayList<>();
                for (var i = 0; i < sent.size(); i++) {
                    if (results.get(i).errorCode() != null) {
                        entries.add(sent.get(i));
                    }
                }
            }
        }
        synchronized (this) {
            written += STEP;
        }
    }

    void split(Shard shard) {
        var start = new BigInteger(shard.hashKeyRange().startingHashKey());
        var middle = start.add(new BigInteger(shard.hashKeyRange().endingHashKey())).shiftRight(1);
        kinesis.splitShard(it ->
                it.streamName(stream).shardToSplit(shard.shardId()).newStartingHashKey(middle.toString()));
    }

    void merge(Shard left, Shard right) {
        kinesis.mergeShards(it ->
                it.streamName(stream).shardToMerge(left.shardId()).adjacentShardToMerge(right.shardId()));
    }

    List<Shard> open() {
        return kinesis.listShards(it -> it.streamName(stream)).shards().stream()
                .filter(shard -> shard.sequenceNumberRange().endingSequenceNumber() == null)
                .toList();
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

    synchronized boolean reads() {
        return next.size() == KEYS || wrong != null;
    }

    /** Whether all is read. */
    synchronized void look() {
        var all = next.size() == KEYS && next.values().stream().allMatch(count -> count == written);
        if (wrong != null || all && ended.size() == closed) {
            done.countDown();
        }
    }

    /** KCL may hand a record over again, and may skip none. */
    synchronized void take(KinesisClientRecord record) {
        var expected = next.getOrDefault(record.partitionKey(), 0);
        var number = Integer.parseInt(UTF_8.decode(record.data()).toString());
        if (number > expected) {
            wrong = record.partitionKey() + ": " + number + " came where " + expected + " was next";
        } else if (number == expected) {
            next.put(record.partitionKey(), number + 1);
        }
    }

    class Processor implements ShardRecordProcessor {
        String shard;

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            input.records().forEach(Kcl.this::take);
            look();
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            try {
                input.checkpointer().checkpoint();
            } catch (InvalidStateException | ShutdownException error) {
                throw new IllegalStateException(error);
            }
            synchronized (Kcl.this) {
                ended.add(shard);
                look();
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {}

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {}
    }
}
