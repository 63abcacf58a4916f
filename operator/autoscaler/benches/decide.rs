//! How long it takes to decide on 100,000 shards, and what is held of each: `cargo bench -p millrace-autoscaler`.
//!
//! A stream has at most 8,000 open shards, so there are 20 streams of 5,000. Each is decided on after it was observed
//! for a minute, and once more with a tenth of its shards above their target.

use std::time::{Duration, Instant};

use millrace_autoscaler::{Input, LoadHistory, Policy, decide};
use millrace_core::load::ShardLoad;
use millrace_core::{OpenShard, ShardId, ShardMap, StreamConfig};

const STREAMS: usize = 20;
const SHARDS: u32 = 5_000;
const RUNS: usize = 9;

struct Stream {
    map: ShardMap,
    history: LoadHistory,
}

fn main() {
    let config = StreamConfig { max_shards: 8_000, ..StreamConfig::default() };
    let policy = Policy::of(&config);
    let mut streams: Vec<Stream> =
        (0..STREAMS).map(|_| Stream { map: ShardMap::new(SHARDS, 0), history: LoadHistory::new() }).collect();
    let calm = reports(|shard| 300 + shard % 400);
    let hot = reports(|shard| if shard % 10 == 0 { 1_500 } else { 300 + shard % 400 });
    let mut now_ms = 0;
    for second in 1..=60 {
        now_ms = second * 1_000;
        observe(&mut streams, &policy, now_ms, &calm);
    }
    let shards = STREAMS * SHARDS as usize;
    println!("{shards} shards in {STREAMS} streams, median of {RUNS} runs");
    let input = streams.iter().map(|stream| stream.history.bytes()).sum::<usize>() / shards;
    println!("input: {} bytes a shard of the map, {input} of history", size_of::<OpenShard>());
    report("decide, none above its target", || decide_all(&streams, &policy, now_ms));
    let mut observed = now_ms;
    report("observe", || {
        observed += 1_000;
        observe(&mut streams, &policy, observed, &calm);
    });
    for _ in 0..3 {
        observed += 1_000;
        observe(&mut streams, &policy, observed, &hot);
    }
    report("decide, a tenth above its target", || decide_all(&streams, &policy, observed));
}

/// Reports of a stream's shards, with the records a second that `rate` gives each.
fn reports(rate: impl Fn(u64) -> u64) -> Vec<ShardLoad> {
    let shards = 0..u64::from(SHARDS);
    let load = |shard| ShardLoad {
        shard: ShardId(shard),
        bytes_per_s: rate(shard) * 1_024,
        records_per_s: rate(shard),
        throttled_per_s: 0,
        read_bytes_per_s: 0,
        heavy: Vec::new(),
        cuts: Vec::new(),
    };
    shards.map(load).collect()
}

fn observe(streams: &mut [Stream], policy: &Policy, now_ms: i64, loads: &[ShardLoad]) {
    for Stream { map, history } in streams {
        history.observe(now_ms, map, &policy.target, policy.merge_after_s, loads);
    }
}

fn decide_all(streams: &[Stream], policy: &Policy, now_ms: i64) {
    for Stream { map, history } in streams {
        std::hint::black_box(decide(&Input { map, history, policy, now_ms }));
    }
}

fn report(name: &str, mut what: impl FnMut()) {
    let mut took: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let began = Instant::now();
            what();
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!("{name}: {:.1} ms ({:.1}–{:.1})", ms(took[RUNS / 2]), ms(took[0]), ms(took[RUNS - 1]));
}
