//! Which faults hit which process, and when: decided by a seed before the first one does.

use std::time::Duration;

use millrace_log::memory::Dice;

/// How many brokers there are.
pub(crate) const BROKERS: usize = 3;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Server(usize),
    Broker(usize),
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SIGKILL, and it is started again after the fault's time.
    Kill,
    /// SIGSTOP, and SIGCONT after the fault's time.
    Pause,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    /// How long after the step's begin.
    pub(crate) after: Duration,
    /// How long until it is undone.
    pub(crate) lasts: Duration,
}

/// One fault or two that overlap, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) faults: Vec<Fault>,
    /// Whether everything is seen to work again before the next step; else that hits the recovery.
    pub(crate) settles: bool,
    /// How long it then stays calm.
    pub(crate) rest: Duration,
}

/// `count` faults for so many nats-servers.
pub(crate) fn plan(seed: u64, servers: usize, count: usize) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let mut deck: Vec<(bool, Kind)> = Vec::new();
    let mut deal = |dice: &mut Dice| {
        if deck.is_empty() {
            // Kills are quick, so there are more of them.
            for is_server in [true, false] {
                deck.extend(
                    [Kind::Kill, Kind::Kill, Kind::Kill, Kind::Pause, Kind::Pause].map(|k| (is_server, k)),
                );
            }
        }
        deck.swap_remove(dice.below(deck.len() as u64) as usize)
    };
    let mut steps = Vec::new();
    let mut left = count;
    while left > 0 {
        let (is_server, kind) = deal(&mut dice);
        let mut faults = vec![draw(&mut dice, is_server, kind, servers)];
        if servers > 1 && left > 1 && dice.chance(250) {
            faults.push(overlapping(&mut dice, &faults[0], servers));
        }
        left -= faults.len();
        let rest = Duration::from_millis(dice.below(800));
        steps.push(Step { faults, settles: dice.chance(700), rest });
    }
    steps
}

fn draw(dice: &mut Dice, is_server: bool, kind: Kind, servers: usize) -> Fault {
    let target = match is_server {
        true => Target::Server(dice.below(servers as u64) as usize),
        false => Target::Broker(dice.below(BROKERS as u64) as usize),
    };
    let lasts_ms = match (target, kind) {
        (_, Kind::Kill) => dice.below(1_000),
        // Past the brokers' time-out for one request, 5 s.
        (Target::Server(_), Kind::Pause) => dice.between(&(5_500..=6_500)),
        // Past the time after which a broker that is not heard counts as dead, 3 s, and mostly past that time-out.
        (Target::Broker(_), Kind::Pause) => dice.between(&(5_000..=8_000)),
    };
    Fault { target, kind, after: Duration::ZERO, lasts: Duration::from_millis(lasts_ms) }
}

/// A second fault while the first one lasts, or right after it. With a server away another one is killed and
/// started again at once, so that a majority is there again as soon as it can be.
fn overlapping(dice: &mut Dice, first: &Fault, servers: usize) -> Fault {
    let after = Duration::from_millis(dice.below(2_000));
    loop {
        let (is_server, kind) = (dice.chance(500), *dice.pick(&[Kind::Kill, Kind::Pause]));
        let fault = Fault { after, ..draw(dice, is_server, kind, servers) };
        if fault.target == first.target {
            continue;
        }
        return match (first.target, fault.target) {
            (Target::Server(_), Target::Server(_)) => {
                Fault { kind: Kind::Kill, lasts: Duration::ZERO, ..fault }
            }
            _ => fault,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_is_another() {
        assert_eq!(plan(1, 3, 30), plan(1, 3, 30));
        assert_ne!(plan(1, 3, 30), plan(2, 3, 30));
    }

    #[test]
    fn every_plan_has_so_many_faults_of_all_kinds() {
        for seed in 0..50 {
            for servers in [1, 3] {
                let steps = plan(seed, servers, 32);
                let faults: Vec<Fault> = steps.iter().flat_map(|step| step.faults.clone()).collect();
                assert_eq!(faults.len(), 32);
                for kind in [Kind::Kill, Kind::Pause] {
                    let hit = |server| {
                        faults
                            .iter()
                            .any(|f| f.kind == kind && matches!(f.target, Target::Server(_)) == server)
                    };
                    assert!(hit(true) && hit(false), "seed {seed}: {faults:?}");
                }
            }
        }
    }

    #[test]
    fn two_servers_are_never_away_together_for_long() {
        let mut overlaps = 0;
        for seed in 0..50 {
            assert!(plan(seed, 1, 32).iter().all(|step| step.faults.len() == 1));
            for step in plan(seed, 3, 32) {
                if let [first, second] = step.faults[..] {
                    overlaps += 1;
                    assert_ne!(first.target, second.target);
                    if matches!((first.target, second.target), (Target::Server(_), Target::Server(_))) {
                        assert_eq!((second.kind, second.lasts), (Kind::Kill, Duration::ZERO));
                    }
                }
            }
        }
        assert!(overlaps > 100, "{overlaps}");
    }
}
