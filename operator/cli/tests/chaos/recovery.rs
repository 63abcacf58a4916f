//! How long writers took to get through again after faults. Printed, never asserted.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::faults::{Fault, Kind, Target};
use crate::writers::Round;

/// A round that takes longer has waited for something.
const WAITED: Duration = Duration::from_millis(500);

/// Times from faults to acknowledgements, by what happened to which process.
#[derive(Debug, Default)]
pub(crate) struct Recoveries([(&'static str, Vec<Duration>); 4]);

/// For each fault and each writer that had failed or waited: the time from the fault to its next acknowledged
/// write. `faults`: in the order in which they began.
pub(crate) fn recoveries(faults: &[(Instant, Fault)], writers: &[Vec<Round>]) -> Recoveries {
    let names = ["server killed", "server paused", "broker killed", "broker paused"];
    let mut recoveries = Recoveries(names.map(|name| (name, Vec::new())));
    for (n, (at, fault)) in faults.iter().enumerate() {
        // What begins later is the next fault's.
        let next = faults.get(n + 1).map(|(next, _)| *next);
        let kind = match (fault.target, fault.kind) {
            (Target::Server(_), Kind::Kill) => 0,
            (Target::Server(_), Kind::Pause) => 1,
            (Target::Broker(_), Kind::Kill) => 2,
            (Target::Broker(_), Kind::Pause) => 3,
        };
        for rounds in writers {
            let near = rounds.iter().skip_while(|round| round.done <= *at);
            let mut near = near.take_while(|round| next.is_none_or(|next| round.begun < next));
            let hindered = near.find(|round| round.calls > 1 || round.done - round.begun > WAITED);
            if let Some(round) = hindered {
                recoveries.0[kind].1.push(round.done - *at);
            }
        }
    }
    recoveries
}

impl fmt::Display for Recoveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Vec<Duration> = self.0.iter().flat_map(|(_, times)| times.clone()).collect();
        write!(f, "recovery (p50, p95, max): all {}", quantiles(&mut all))?;
        for (name, times) in &self.0 {
            write!(f, "; {name} {}", quantiles(&mut times.clone()))?;
        }
        Ok(())
    }
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return "none".to_owned() };
    let at = |percent: usize| times[last * percent / 100].as_secs_f64();
    format!("{:.2} s, {:.2} s, {:.2} s of {}", at(50), at(95), at(100), times.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_ends_with_the_first_write_that_had_failed_or_waited() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let fault = |target| Fault { target, kind: Kind::Kill, after: Duration::ZERO, lasts: Duration::ZERO };
        let faults = [(at(100), fault(Target::Server(0))), (at(5_000), fault(Target::Broker(1)))];
        let round = |begun, done, calls| Round { begun: at(begun), done: at(done), calls };
        let hindered = vec![round(0, 50, 1), round(90, 110, 1), round(120, 1_100, 3), round(1_100, 1_110, 1)];
        let calm = vec![round(0, 200, 1), round(6_000, 6_010, 1), round(6_020, 7_000, 1)];
        let found = recoveries(&faults, &[hindered, calm]);
        assert_eq!(found.0[0].1, [Duration::from_millis(1_000)]);
        assert_eq!(found.0[2].1, [Duration::from_millis(2_000)]);
        assert!(found.to_string().contains("server killed 1.00 s, 1.00 s, 1.00 s of 1; server paused none"));
    }
}
