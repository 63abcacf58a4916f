use millrace_log::{Log, Message, ReadLimits};

use crate::servers::{Server, Three, log_with_lane, pack, roomy, shard};

const SIZES: [usize; 9] = [1, 100, 4096, 65_536, 1, 1 << 20, 70_000, 10 << 20, 10];

#[tokio::test(flavor = "multi_thread")]
async fn batches_bring_every_message_in_order_whatever_its_size() {
    let single = Server::start().await;
    let three = Three::start().await;
    for jetstream in [single.connect().await, three.connect().await] {
        let log = log_with_lane(&jetstream, &roomy()).await;
        let mut last = [0_u64; 3];
        let mut stored: Vec<(u64, u64, usize)> = Vec::new();
        for n in 0..60_usize {
            let (of, bytes) = (n % 3, SIZES[n % SIZES.len()]);
            let payload = pack(n as u64, bytes);
            last[of] = log.append(&shard(of as u64), last[of], payload).await.expect("stored");
            stored.push((of as u64, last[of], n));
        }
        let limits = [(1, 1 << 20), (7, 1 << 20), (1000, 1), (1000, 64 << 20)];
        for (messages, bytes) in limits {
            let limits = ReadLimits { messages, bytes };
            // A replica may lag: what is not there yet is asked for until it comes.
            for of in 0..3 {
                let wanted: Vec<_> = stored.iter().filter(|(shard, ..)| *shard == of).copied().collect();
                let mut read = Vec::new();
                while read.len() < wanted.len() {
                    let from = read.last().map_or(0, |message: &Message| message.sequence + 1);
                    let batch = log.read(&shard(of), from, limits).await.expect("read");
                    assert!(batch.len() <= messages as usize);
                    read.extend(batch);
                }
                check(&read, &wanted);
            }
            let mut read = Vec::new();
            while read.len() < stored.len() {
                let from = read.last().map_or(1, |message: &Message| message.sequence + 1);
                read.extend(log.read_lane(&shard(0).lane(), from, limits).await.expect("read"));
            }
            check(&read, &stored);
        }
        let beyond = stored[stored.len() - 1].1 + 1;
        let limits = ReadLimits { messages: 10, bytes: 10 };
        assert_eq!(log.read(&shard(0), beyond, limits).await, Ok(vec![]));
        assert_eq!(log.read(&shard(9), 1, limits).await, Ok(vec![]));
        assert_eq!(log.read_lane(&shard(0).lane(), beyond, limits).await, Ok(vec![]));
        assert_eq!(log.read(&shard(0), 1, ReadLimits { messages: 0, bytes: 10 }).await, Ok(vec![]));
    }
}

fn check(read: &[Message], wanted: &[(u64, u64, usize)]) {
    assert_eq!(read.len(), wanted.len());
    for (message, (of, sequence, n)) in read.iter().zip(wanted) {
        assert_eq!((message.shard.0, message.sequence), (*of, *sequence));
        assert!(message.payload == pack(*n as u64, SIZES[n % SIZES.len()]), "payload of {sequence}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_with_the_message_that_crosses_its_limit_of_bytes() {
    let server = Server::start().await;
    let log = log_with_lane(&server.connect().await, &roomy()).await;
    let mut last = 0;
    for n in 0..10 {
        last = log.append(&shard(1), last, pack(n, 1000)).await.expect("stored");
    }
    let count =
        async |bytes| log.read(&shard(1), 1, ReadLimits { messages: 100, bytes }).await.expect("read").len();
    assert_eq!(count(1).await, 1, "the first comes whole");
    assert_eq!(count(2500).await, 3);
    assert_eq!(count(u32::MAX).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_at_once_get_everything() {
    let server = Server::start().await;
    let jetstream = server.connect().await;
    let log = log_with_lane(&jetstream, &roomy()).await;
    let mut last = 0;
    for n in 0..200 {
        last = log.append(&shard(1), last, pack(n, 200_000)).await.expect("stored");
    }
    let limits = ReadLimits { messages: 200, bytes: 8 << 20 };
    let readers = (0..30).map(|_| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut next = 1;
            while next <= 200 {
                for message in log.read(&shard(1), next, limits).await.expect("read") {
                    assert_eq!(message.sequence, next);
                    next += 1;
                }
            }
        })
    });
    for reader in futures::future::join_all(readers).await {
        reader.expect("a reader that gets everything");
    }
    assert_eq!(jetstream.requests_in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_finds_the_first_message_of_that_time_or_later() {
    let server = Server::start().await;
    let log = log_with_lane(&server.connect().await, &roomy()).await;
    let mut stored: Vec<Message> = Vec::new();
    // Messages in at least three different milliseconds.
    while stored.last().is_none_or(|last| last.stored_ms < stored[0].stored_ms + 3) {
        let expected = stored.last().map_or(0, |message| message.sequence);
        log.append(&shard(1), expected, "a".into()).await.expect("stored");
        log.append(&shard(2), expected.saturating_sub(1), "b".into()).await.ok();
        stored.push(log.last(&shard(1)).await.expect("an answer").expect("a message"));
    }
    for message in &stored {
        let time = message.stored_ms;
        let first = stored.iter().find(|other| other.stored_ms >= time).map(|other| other.sequence);
        assert_eq!(log.seek(&shard(1), time).await, Ok(first));
    }
    let (first, last) = (&stored[0], &stored[stored.len() - 1]);
    for early in [i64::MIN, -1, 0, first.stored_ms - 1000] {
        assert_eq!(log.seek(&shard(1), early).await, Ok(Some(first.sequence)), "{early}");
    }
    for late in [last.stored_ms + 1, last.stored_ms + 1_000_000, i64::MAX] {
        assert_eq!(log.seek(&shard(1), late).await, Ok(None), "{late}");
    }
    assert_eq!(log.seek(&shard(5), 0).await, Ok(None));
}
