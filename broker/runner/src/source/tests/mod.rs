//! Leases and runners on a store in memory, with time that is paused.

mod leases;
mod lineages;
mod take_over;

use std::sync::Arc;

use millrace_core::Position;
use millrace_log::memory::{Faults, MemoryClient, MemoryCluster};

use super::*;
use crate::batch::{Checkpoint, OpenWindow};

const SHARD: ShardId = ShardId(4);

fn cluster(faults: Faults) -> MemoryCluster {
    MemoryCluster::new(1, 1_000_000, faults)
}

fn at(pack: u64) -> Checkpoint {
    Checkpoint::at(Position::at_pack(pack))
}

/// One runner's process.
struct Process {
    client: MemoryClient,
    runners: Runners,
    leases: Leases,
}

fn process(cluster: &MemoryCluster, id: u64) -> Process {
    let client = cluster.connect(&format!("runner {id}"));
    let me = RunnerId(id);
    let runners = Runners::start(Arc::new(client.clone()), "team/f/orders", me);
    let leases = Leases::new(Arc::new(client.clone()), "team/f/orders", me);
    Process { client, runners, leases }
}

impl Process {
    async fn take(&self) -> Result<Held, LeaseError> {
        self.leases.take(SHARD, &at(1), |runner| self.runners.may_live(runner)).await
    }
}
