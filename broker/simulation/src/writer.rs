//! Writers: each key has one request in flight, and what was not acknowledged is sent again, as an SDK does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_core::{HashKey, Record};
use millrace_log::memory::Dice;
use tokio::time::sleep;

use crate::oracle::Payload;
use crate::world::{Phase, World};

struct Key {
    number: u32,
    partition_key: Bytes,
    explicit_hash_key: Option<HashKey>,
    /// The next record that is to be acknowledged.
    next: u32,
    /// Whether that was sent before.
    sent: bool,
}

/// Writes to a stream until the run comes to its end, then until everything that was sent is acknowledged.
pub(crate) async fn write(world: Arc<World>, stream: usize, writer: usize, mut dice: Dice) {
    let first = (stream * world.scenario.writers + writer) * world.scenario.keys;
    let mut keys: Vec<Key> = (0..world.scenario.keys)
        .map(|key| {
            let number = (first + key) as u32;
            let random = HashKey(u128::from(dice.bits()) << 64 | u128::from(dice.bits()));
            let places = [None, None, Some(random), Some(HashKey::MIN), Some(HashKey::MAX)];
            Key {
                number,
                partition_key: format!("key-{number}").into(),
                explicit_hash_key: *dice.pick(&places),
                next: 0,
                sent: false,
            }
        })
        .collect();
    loop {
        sleep(Duration::from_millis(dice.between(&world.scenario.think_ms))).await;
        let finish = world.phase() >= Phase::Finish;
        let mut chosen: Vec<usize> =
            (0..keys.len()).filter(|&key| if finish { keys[key].sent } else { dice.chance(500) }).collect();
        if chosen.is_empty() {
            if finish {
                return;
            }
            chosen.push(dice.below(keys.len() as u64) as usize);
        }
        put(&world, stream, &mut keys, &chosen).await;
    }
}

async fn put(world: &Arc<World>, stream: usize, keys: &mut [Key], chosen: &[usize]) {
    let mut records = Vec::with_capacity(chosen.len());
    for &key in chosen {
        let key = &mut keys[key];
        key.sent = true;
        let payload = Payload { key: key.number, number: key.next };
        records.push(Record {
            partition_key: key.partition_key.clone(),
            explicit_hash_key: key.explicit_hash_key,
            data: payload.encode(),
        });
        world.oracle.lock().sent(stream, payload);
    }
    let asked = {
        let world = world.clone();
        move |broker: Arc<millrace_server::broker::Broker>| async move {
            match world.stream_at(&broker, stream) {
                Some(stream) => broker.put(&stream, records).await,
                None => Vec::new(),
            }
        }
    };
    let results = world.ask(asked).await.unwrap_or_default();
    for (key, result) in chosen.iter().zip(results) {
        let key = &mut keys[*key];
        if let Ok(placed) = result {
            let payload = Payload { key: key.number, number: key.next };
            world.oracle.lock().acknowledged(payload, placed);
            key.next += 1;
            key.sent = false;
        }
    }
}
