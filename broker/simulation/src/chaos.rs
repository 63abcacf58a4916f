//! What goes wrong, by the seed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millrace_log::memory::{Dice, Faults};
use tokio::time::timeout;

use crate::process::Process;
use crate::scenario::network;
use crate::world::{Phase, World};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Crash,
    Stop,
    Pause,
    CutFromLog,
    CutFromPeer,
    CutOff,
    Weather,
}

/// Lets faults strike until the phase of faults is over, and mends everything then.
pub(crate) async fn rage(world: Arc<World>, mut dice: Dice) {
    let chaos = world.scenario.chaos;
    let weights = [
        (Fault::Crash, chaos.crash),
        (Fault::Stop, chaos.stop),
        (Fault::Pause, chaos.pause),
        (Fault::CutFromLog, chaos.cut_from_log),
        (Fault::CutFromPeer, chaos.cut_from_peer),
        (Fault::CutOff, chaos.cut_off),
        (Fault::Weather, chaos.weather),
    ];
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    loop {
        let wait = Duration::from_millis(dice.between(&world.scenario.fault_every_ms));
        if timeout(wait, world.until(Phase::Calm)).await.is_ok() {
            break;
        }
        let mut at = dice.below(total);
        let chosen = weights.iter().find(|(_, weight)| {
            let hit = at < *weight;
            at = at.saturating_sub(*weight);
            hit
        });
        let running = world.running();
        let Some((fault, _)) = chosen.filter(|_| !running.is_empty()) else { continue };
        let process = dice.pick(&running).clone();
        strike(&world, *fault, process, &mut dice);
    }
    world.set_network(Faults::none());
}

fn strike(world: &Arc<World>, fault: Fault, process: Arc<Process>, dice: &mut Dice) {
    let trouble = Duration::from_millis(dice.between(&world.scenario.trouble_ms));
    let slot = process.slot;
    {
        let mut oracle = world.oracle.lock();
        oracle.counts.faults += 1;
        oracle.say(world.cluster.now_ms(), || format!("--- {fault:?} of broker-{slot} for {trouble:?}"));
    }
    let others = (0..world.scenario.brokers).filter(|other| *other != slot);
    let mut pairs: BTreeSet<(usize, usize)> =
        others.map(|other| (slot.min(other), slot.max(other))).collect();
    let one = *dice.pick(&pairs.iter().copied().collect::<Vec<_>>());
    let world = world.clone();
    let over = {
        let world = world.clone();
        async move {
            let _ = timeout(trouble, world.until(Phase::Calm)).await;
        }
    };
    match fault {
        Fault::Crash => {
            process.crash();
            world.leave(process.id());
            tokio::spawn(async move {
                over.await;
                world.start_broker(slot).await;
            });
        }
        Fault::Stop => {
            tokio::spawn(async move {
                process.broker.stop().await;
                process.crash();
                world.leave(process.id());
                over.await;
                world.start_broker(slot).await;
            });
        }
        Fault::Pause => {
            process.client.pause();
            tokio::spawn(async move {
                over.await;
                process.client.resume();
            });
        }
        Fault::CutFromLog => {
            process.client.cut();
            tokio::spawn(async move {
                over.await;
                process.client.heal();
            });
        }
        Fault::CutFromPeer | Fault::CutOff => {
            if let Fault::CutOff = fault {
                process.client.cut();
            } else {
                pairs = BTreeSet::from([one]);
            }
            world.cut(&pairs, true);
            tokio::spawn(async move {
                over.await;
                world.cut(&pairs, false);
                if let Fault::CutOff = fault {
                    process.client.heal();
                }
            });
        }
        Fault::Weather => {
            let good = dice.chance(300);
            world.set_network(if good { Faults::none() } else { network(dice) });
        }
    }
}
