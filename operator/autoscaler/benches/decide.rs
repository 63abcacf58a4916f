//! How long it takes to decide on 100,000 shards and to look at 1,000 floors, and what is held of each shard:
//! `cargo bench -p millrace-autoscaler`.
//!
//! A stream has at most 8,000 open shards, so there are 20 streams of 5,000. Each is decided on after it was observed
//! for a minute, and once more with a tenth of its shards above their target. What is said of it beside that is measured
//! where nothing moves, and where every pair of neighbours will be merged.

use std::time::{Duration, Instant};

use millrace_autoscaler::{Decision, Input, LoadHistory, Policy, decide, outlook};
use millrace_core::floor::{FloorWindow, TimeOfDay};
use millrace_core::load::ShardLoad;
use millrace_core::{Autoscaling, Floor, OpenShard, ShardId, ShardMap, StreamConfig};

const STREAMS: usize = 20;
const SHARDS: u32 = 5_000;
const RUNS: usize = 9;
const FLOORS: i64 = 1_000;
/// A Monday, in Unix milliseconds.
const DAY_MS: i64 = 1_772_409_600_000;

struct Stream {
    map: ShardMap,
    history: LoadHistory,
}

fn main() {
    let config = StreamConfig { max_shards: 8_000, ..StreamConfig::default() };
    let policy = Policy::of(&config, 0);
    let mut streams: Vec<Stream> =
        (0..STREAMS).map(|_| Stream { map: ShardMap::new(SHARDS, 0), history: LoadHistory::new() }).collect();
    let calm = reports(|shard| 300 + shard % 400);
    let idle = reports(|shard| 50 + shard % 40);
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
    report("outlook, none above its target", || outlook_all(&streams, &policy, now_ms));
    let mut observed = now_ms;
    report("observe", || {
        observed += 1_000;
        observe(&mut streams, &policy, observed, &calm);
    });
    for _ in 0..3 {
        observed += 1_000;
        observe(&mut streams, &policy, observed, &idle);
    }
    report("outlook, all cooling down", || outlook_all(&streams, &policy, observed));
    for _ in 0..3 {
        observed += 1_000;
        observe(&mut streams, &policy, observed, &hot);
    }
    report("decide, a tenth above its target", || decide_all(&streams, &policy, observed));
    for windows in [0, 2, 32] {
        let config = StreamConfig { floor: floor(windows), ..config.clone() };
        report(&format!("{FLOORS} policies, each with a floor of {windows} windows"), || {
            for second in 0..FLOORS {
                // At times all over a day: on, soon to be on, and neither.
                std::hint::black_box(Policy::of(&config, DAY_MS + second * 86_400));
            }
        });
    }
}

/// A floor with so many windows, one after the other, on workdays of one zone.
fn floor(windows: u16) -> Floor {
    let window = |index: u16| FloorWindow {
        start: TimeOfDay::of_minutes(index * 40).expect("within a day"),
        end: TimeOfDay::of_minutes(index * 40 + 30).expect("within a day"),
        days: "Mon-Fri".parse().expect("days"),
        time_zone: "Europe/Berlin".to_owned(),
        shards: 20,
    };
    Floor((0..windows).map(window).collect())
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

/// What is said where nothing is decided.
fn outlook_all(streams: &[Stream], policy: &Policy, now_ms: i64) {
    for Stream { map, history } in streams {
        let input = Input { map, history, policy, now_ms };
        std::hint::black_box(outlook(&input, &Decision::default(), Autoscaling::Apply));
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
