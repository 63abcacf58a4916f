// The story that every client tells, in Go: see ../README.md. Usage: go run . STREAM
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	records  = 300
	patience = 2 * time.Minute
)

type story struct {
	context.Context
	*kinesis.Client
	stream *string
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	settings := must(config.LoadDefaultConfig(ctx))
	s := story{ctx, kinesis.NewFromConfig(settings), &os.Args[1]}

	must(s.CreateStream(s, &kinesis.CreateStreamInput{StreamName: s.stream, ShardCount: aws.Int32(3)}))
	exists := kinesis.NewStreamExistsWaiter(s, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second })
	check(exists.Wait(s, &kinesis.DescribeStreamInput{StreamName: s.stream}, patience))
	s.refusals()

	written := s.write()
	shards := s.list()
	read := map[string][]types.Record{}
	for _, shard := range shards {
		read[*shard.ShardId], _ = s.read(&shard)
		for _, record := range read[*shard.ShardId] {
			data, there := written[*record.SequenceNumber]
			expect(there && bytes.Equal(data, record.Data), "record %v was written as %v", record, data)
			expect(time.Since(*record.ApproximateArrivalTimestamp).Abs() < time.Hour, "arrived: %v", record)
			delete(written, *record.SequenceNumber)
		}
	}
	expect(len(written) == 0, "%d records were not read", len(written))
	fmt.Printf("read: %d records, byte for byte\n", records)

	s.subscribe(&shards[0], read[*shards[0].ShardId])
	s.merge()
	_, end := s.read(&shards[0])
	expect(end.NextShardIterator == nil, "a closed shard goes on: %v", end)
	fmt.Printf("the end of a closed shard: %d children\n", len(end.ChildShards))

	must(s.DeleteStream(s, &kinesis.DeleteStreamInput{StreamName: s.stream, EnforceConsumerDeletion: aws.Bool(true)}))
	gone := kinesis.NewStreamNotExistsWaiter(s, func(o *kinesis.StreamNotExistsWaiterOptions) { o.MinDelay = time.Second })
	check(gone.Wait(s, &kinesis.DescribeStreamInput{StreamName: s.stream}, patience))
	fmt.Println("deleted")
}

func (s story) refusals() {
	var inUse *types.ResourceInUseException
	_, err := s.CreateStream(s, &kinesis.CreateStreamInput{StreamName: s.stream, ShardCount: aws.Int32(1)})
	expect(errors.As(err, &inUse), "%v", err)
	var notFound *types.ResourceNotFoundException
	_, err = s.DescribeStreamSummary(s, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("nothing")})
	expect(errors.As(err, &notFound), "%v", err)
	var invalid *types.InvalidArgumentException
	beyond := new(big.Int).Lsh(big.NewInt(1), 128).String()
	_, err = s.PutRecord(s, &kinesis.PutRecordInput{
		StreamName: s.stream, PartitionKey: aws.String("key"), ExplicitHashKey: &beyond, Data: []byte("data"),
	})
	expect(errors.As(err, &invalid), "%v", err)
	fmt.Println("refused:", inUse.ErrorCode(), notFound.ErrorCode(), invalid.ErrorCode())
}

// Writes records of every byte and many lengths; their data by sequence number.
func (s story) write() map[string][]byte {
	entries := make([]types.PutRecordsRequestEntry, records)
	for n := range entries {
		data := make([]byte, n*5%997)
		for i := range data {
			data[i] = byte(n*31 + i)
		}
		entries[n] = types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprintf("schlüssel-%d", n%7)), Data: data}
	}
	answer := must(s.PutRecords(s, &kinesis.PutRecordsInput{StreamName: s.stream, Records: entries}))
	expect(*answer.FailedRecordCount == 0, "%v", answer)
	written := map[string][]byte{}
	for n, result := range answer.Records {
		written[*result.SequenceNumber] = entries[n].Data
	}
	return written
}

func (s story) list() []types.Shard {
	var shards []types.Shard
	pages := 0
	next := &kinesis.ListShardsInput{StreamName: s.stream, MaxResults: aws.Int32(1)}
	for next != nil {
		page := must(s.ListShards(s, next))
		shards = append(shards, page.Shards...)
		pages++
		next = nil
		if page.NextToken != nil {
			next = &kinesis.ListShardsInput{NextToken: page.NextToken, MaxResults: aws.Int32(1)}
		}
	}
	fmt.Printf("listed: %d shards in %d pages\n", len(shards), pages)
	return shards
}

// Reads a shard from its start to its end or its tip; also the last answer.
func (s story) read(shard *types.Shard) ([]types.Record, *kinesis.GetRecordsOutput) {
	iterator := must(s.GetShardIterator(s, &kinesis.GetShardIteratorInput{
		StreamName: s.stream, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})).ShardIterator
	var found []types.Record
	for {
		answer := must(s.GetRecords(s, &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(100)}))
		found = append(found, answer.Records...)
		iterator = answer.NextShardIterator
		if iterator == nil || len(answer.Records) == 0 && *answer.MillisBehindLatest == 0 {
			return found, answer
		}
	}
}

// Subscribes to a shard, and reads what it holds, what is put then, and its end by a split.
func (s story) subscribe(shard *types.Shard, expected []types.Record) {
	summary := s.summary()
	consumer := must(s.RegisterStreamConsumer(s, &kinesis.RegisterStreamConsumerInput{
		StreamARN: summary.StreamARN, ConsumerName: aws.String("reader"),
	})).Consumer.ConsumerARN
	for described := (*types.ConsumerDescription)(nil); described == nil || described.ConsumerStatus != types.ConsumerStatusActive; {
		described = must(s.DescribeStreamConsumer(s, &kinesis.DescribeStreamConsumerInput{ConsumerARN: consumer})).ConsumerDescription
	}
	subscription := must(s.SubscribeToShard(s, &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer, ShardId: shard.ShardId,
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
	})).GetStream()
	defer subscription.Close()

	start, _ := new(big.Int).SetString(*shard.HashKeyRange.StartingHashKey, 10)
	end, _ := new(big.Int).SetString(*shard.HashKeyRange.EndingHashKey, 10)
	middle := new(big.Int).Rsh(start.Add(start, end), 1).String()
	var received [][]byte
	var children []types.ChildShard
	for event := range subscription.Events() {
		event := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
		before := len(received)
		for _, record := range event.Records {
			received = append(received, record.Data)
		}
		switch {
		case before < len(expected) && len(received) == len(expected):
			must(s.PutRecord(s, &kinesis.PutRecordInput{
				StreamName: s.stream, PartitionKey: aws.String("key"), Data: []byte("live"),
				ExplicitHashKey: shard.HashKeyRange.StartingHashKey,
			}))
		case before == len(expected) && len(received) > before:
			must(s.SplitShard(s, &kinesis.SplitShardInput{
				StreamName: s.stream, ShardToSplit: shard.ShardId, NewStartingHashKey: &middle,
			}))
		}
		if children = event.ChildShards; len(children) > 0 {
			break
		}
	}
	check(subscription.Err())
	expect(len(received) == len(expected)+1, "%d records by subscription, %d by reading", len(received), len(expected))
	for n, record := range expected {
		expect(bytes.Equal(received[n], record.Data), "record %d: %v", n, received[n])
	}
	fmt.Printf("subscribed: all of a shard, %q, then %d children\n", received[len(expected)], len(children))
}

// Merges the children of the first shard.
func (s story) merge() {
	s.awaitOpen(4)
	shards := must(s.ListShards(s, &kinesis.ListShardsInput{StreamName: s.stream})).Shards
	must(s.MergeShards(s, &kinesis.MergeShardsInput{
		StreamName: s.stream, ShardToMerge: shards[3].ShardId, AdjacentShardToMerge: shards[4].ShardId,
	}))
	s.awaitOpen(3)
	shards = must(s.ListShards(s, &kinesis.ListShardsInput{StreamName: s.stream})).Shards
	merged := shards[len(shards)-1]
	expect(*merged.ParentShardId == *shards[3].ShardId && *merged.AdjacentParentShardId == *shards[4].ShardId, "%v", merged)
	fmt.Printf("split and merged: %d shards, 3 open\n", len(shards))
}

func (s story) summary() *types.StreamDescriptionSummary {
	return must(s.DescribeStreamSummary(s, &kinesis.DescribeStreamSummaryInput{StreamName: s.stream})).StreamDescriptionSummary
}

// A describe is a wait of its own: the stream is UPDATING until its reshards are done.
func (s story) awaitOpen(count int32) {
	for {
		if summary := s.summary(); summary.StreamStatus == types.StreamStatusActive && *summary.OpenShardCount == count {
			return
		}
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func expect(met bool, format string, values ...any) {
	if !met {
		log.Panicf(format, values...)
	}
}
