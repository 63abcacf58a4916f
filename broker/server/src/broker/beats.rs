//! Heartbeats: a broker says each second that it lives and what its shards carry, hears the same of the others,
//! and lets go of shards that others own now.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use millrace_core::keys;
use millrace_log::KvEvent;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Beat, Inner};

/// Hears the others, for ever; sends to `met` once those that are there are known.
pub(super) async fn follow(broker: Arc<Inner>, met: watch::Sender<bool>) {
    let mut events = broker.heartbeats.watch_beats();
    let mut ticks = tokio::time::interval(broker.context.settings.beat_every);
    loop {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            _ = ticks.tick() => {
                broker.members.expire();
                continue;
            }
        };
        match event {
            Some(KvEvent::Put(entry)) => match Beat::decode(&entry.value) {
                Ok(beat) if beat.leaving => broker.members.gone(beat.broker),
                Ok(beat) => broker.members.seen(beat.broker, &beat.address),
                Err(error) => tracing::warn!(key = entry.key, %error, "a broker's beat is left alone"),
            },
            Some(KvEvent::Delete { key, .. }) => {
                if let Some(id) = keys::parse_broker(&key) {
                    broker.members.gone(id);
                }
            }
            Some(KvEvent::Current) => {
                let _ = met.send(true);
            }
            None => return,
        }
    }
}

/// Says that this broker lives, until it leaves.
pub(super) async fn beat(broker: Arc<Inner>) {
    let me = broker.members.me().clone();
    let key = keys::broker(me.id);
    let mut ticks = tokio::time::interval(broker.context.settings.beat_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        ticks.tick().await;
        if broker.members.is_leaving() {
            return;
        }
        if heard.elapsed() >= broker.context.settings.alive_for {
            // Others have given this broker up, and appended to its shards: what it knows of their ends may be old,
            // and readers are sent here again as soon as it is heard.
            broker.release_all();
        }
        let mut beat = Beat::new(me.id, me.address.clone());
        beat.loads = loads(&broker);
        let sent = Instant::now();
        match broker.heartbeats.beat(&key, beat.encode().into()).await {
            Ok(()) => {
                heard = sent;
                broker.heard.note(sent);
            }
            Err(error) => tracing::debug!(%error, "a beat was not heard"),
        }
    }
}

/// What the owned shards have carried since they were last asked.
fn loads(broker: &Inner) -> Vec<(millrace_core::DataId, Vec<millrace_core::load::ShardLoad>)> {
    let owned: Vec<_> = broker.owned.read().iter().map(|(key, shard)| (key.clone(), shard.clone())).collect();
    let now_ms = broker.context.clock.now_ms();
    let mut loads: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut config = None;
    for ((data, shard), owned) in owned {
        if config.as_ref().is_none_or(|(of, _)| *of != data) {
            let stream = broker.context.catalog.stream_of(&data);
            config = stream.map(|stream| (data.clone(), stream.entry.config.clone()));
        }
        let Some((_, config)) = &config else { continue };
        let target = millrace_core::load::Target {
            bytes_per_s: config.target_bytes_per_s,
            records_per_s: config.target_records_per_s,
        };
        if let Some(load) = owned.load.lock().report(shard, &target, now_ms) {
            loads.entry(data).or_default().push(load);
        }
    }
    loads.into_iter().collect()
}

/// Lets go of shards whenever the members or the maps change.
pub(super) async fn release(broker: Arc<Inner>) {
    let mut maps = broker.context.catalog.changes();
    let mut members = broker.members.changes();
    loop {
        tokio::select! {
            biased;
            () = members.changed() => {}
            () = maps.changed() => {}
        }
        broker.release_others();
    }
}
