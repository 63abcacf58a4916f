//! Readers that follow a stream's lineage from its beginning: children only once their parents are read to
//! their ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_core::{Position, ShardId};
use millrace_log::memory::Dice;
use millrace_server::broker::{Broker, ReadError, Shard};
use tokio::time::sleep;

use crate::world::World;

struct Reader {
    world: Arc<World>,
    stream: usize,
    number: usize,
    dice: Dice,
    /// Where it stands in the shards that it reads.
    cursors: BTreeMap<ShardId, Position>,
    /// Shards that it has read to their ends, or that retention has taken from it.
    done: BTreeSet<ShardId>,
    /// Children that wait for their other parents.
    waiting: BTreeMap<ShardId, Vec<ShardId>>,
}

/// Reads for ever.
pub(crate) async fn read(world: Arc<World>, stream: usize, number: usize, dice: Dice) {
    let mut reader = Reader {
        world,
        stream,
        number,
        dice,
        cursors: BTreeMap::new(),
        done: BTreeSet::new(),
        waiting: BTreeMap::new(),
    };
    loop {
        let wait_ms = reader.dice.below(200);
        sleep(Duration::from_millis(wait_ms)).await;
        // Where retention takes whole generations, lineage alone does not lead on. Elsewhere listings say nothing
        // new, and are checked.
        if reader.cursors.is_empty() || reader.dice.chance(50) {
            reader.list().await;
        }
        let shards: Vec<ShardId> = reader.cursors.keys().copied().collect();
        for shard in shards {
            if reader.dice.chance(700) {
                reader.advance(shard).await;
            }
        }
    }
}

fn parents(shard: &Shard) -> Vec<ShardId> {
    match shard {
        Shard::Open { shard, .. } => shard.parents.iter().collect(),
        Shard::Closed(closed) => closed.parents.iter().collect(),
    }
}

impl Reader {
    async fn ask<T, F>(
        &self,
        work: impl FnOnce(Arc<Broker>, Arc<millrace_server::broker::Stream>) -> F,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = Option<T>> + Send + 'static,
    {
        let (world, stream) = (self.world.clone(), self.stream);
        let asked = self.world.ask(move |broker| {
            let work = world.stream_at(&broker, stream).map(|stream| work(broker, stream));
            async move {
                match work {
                    Some(work) => work.await,
                    None => None,
                }
            }
        });
        asked.await.flatten()
    }

    fn say(&self, what: impl FnOnce() -> String) {
        let (number, stream) = (self.number, self.stream);
        let say = || format!("    reader {number} of s{stream} {}", what());
        self.world.oracle.lock().say(self.world.cluster.now_ms(), say);
    }

    /// Begins with shards whose parents are read, or gone.
    async fn list(&mut self) {
        let listed = self.ask(|broker, stream| async move { broker.shards(&stream).await.ok() });
        let Some(shards) = listed.await else { return };
        let there: BTreeSet<ShardId> = shards.iter().map(Shard::id).collect();
        let forgets = self.world.scenario.forgets();
        for shard in &shards {
            let parents = parents(shard);
            if let Some(orphan) = parents.iter().find(|parent| !there.contains(parent)).filter(|_| !forgets) {
                let what =
                    format!("a listing of s{} has {} without its parent {orphan}", self.stream, shard.id());
                self.world.oracle.lock().blame(what);
            }
            let ready = parents.iter().all(|parent| self.done.contains(parent) || !there.contains(parent));
            if ready && !self.done.contains(&shard.id()) {
                self.begin(shard.id(), &parents);
            }
        }
    }

    fn begin(&mut self, shard: ShardId, parents: &[ShardId]) {
        self.waiting.remove(&shard);
        // Retention may have taken parents before this reader came to them.
        self.done.extend(parents);
        for parent in parents {
            self.cursors.remove(parent);
        }
        self.cursors.entry(shard).or_insert(Position::START);
    }

    async fn advance(&mut self, shard: ShardId) {
        let Some(&from) = self.cursors.get(&shard) else { return };
        let (records, bytes) =
            (self.dice.between(&(1..=40)) as usize, self.dice.between(&(1..=4_000)) as usize);
        let read = self.ask(move |broker, stream| async move {
            Some(broker.read(&stream, shard, from, None, records, bytes).await)
        });
        let got = read.await;
        self.say(|| {
            let what = got.as_ref().map(|got| got.as_ref().map(|batch| (batch.records.len(), batch.next)));
            format!("reads {shard} from {from:?}: {what:?}")
        });
        match got {
            Some(Ok(batch)) => {
                let mut oracle = self.world.oracle.lock();
                for (sequence, record) in &batch.records {
                    oracle.read(self.stream, self.number, shard, *sequence, record);
                }
                drop(oracle);
                match batch.next {
                    Some(next) => drop(self.cursors.insert(shard, next)),
                    None => self.finish(shard, &batch.children),
                }
            }
            Some(Err(ReadError::NoShard(_))) if self.world.scenario.forgets() => {
                self.cursors.remove(&shard);
                self.done.insert(shard);
            }
            Some(Err(error @ (ReadError::NoShard(_) | ReadError::Damaged(_)))) => {
                self.world.oracle.lock().blame(format!("a reader of {shard} at {from:?} got: {error}"));
            }
            Some(Err(ReadError::Unavailable(_))) | None => {}
        }
    }

    fn finish(&mut self, shard: ShardId, children: &[Shard]) {
        self.cursors.remove(&shard);
        self.done.insert(shard);
        self.waiting.extend(children.iter().map(|child| (child.id(), parents(child))));
        let ready: Vec<(ShardId, Vec<ShardId>)> = self
            .waiting
            .iter()
            .filter(|(child, parents)| {
                parents.iter().all(|parent| self.done.contains(parent)) && !self.done.contains(child)
            })
            .map(|(child, parents)| (*child, parents.clone()))
            .collect();
        for (child, parents) in ready {
            self.begin(child, &parents);
        }
    }
}
