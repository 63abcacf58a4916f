//! The table of docs/autoscaler.md: every policy on every trace, peers also with their best parameters.
//!
//! `cargo run --release -p millrace-simulator --example table -- TRACE.csv...`

use std::process::ExitCode;

use millrace_simulator::policies::{KinesisOnDemand, Lcp, Naive, Pravega, PulsarPip483, StaticPeak};
use millrace_simulator::{Figures, Keys, Load, Policy, Run, TARGET, Trace, run};

const PEAK_SHARDS: u32 = 30;
const KEYS: u32 = 20_000;
const ZIPF: [f64; 3] = [0.0, 0.5, 1.05];
const SEED: u64 = 1;

/// A peer is tuned to cost as little as it can, of the parameters with which it refuses no more than this part of the
/// records that need not be refused; if there are none, to refuse as little as it can.
const MOST_AVOIDABLE: f64 = 0.001;

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    for path in &paths {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return fail(path, &error.to_string()),
        };
        let trace = match Trace::parse(&text) {
            Ok(trace) => trace,
            Err(error) => return fail(path, &error.to_string()),
        };
        for zipf in ZIPF {
            let keys = Keys::zipf(KEYS, zipf, None, SEED);
            let peak_records_per_s = f64::from(PEAK_SHARDS) * TARGET.records_per_s as f64;
            let load = Load::new(trace.scaled_to(peak_records_per_s), keys);
            let name = path.rsplit('/').next().unwrap_or(path);
            println!("\n### {name}, Zipf {zipf}\n");
            print_table(&load);
        }
    }
    ExitCode::SUCCESS
}

fn fail(path: &str, why: &str) -> ExitCode {
    eprintln!("error: {path}: {why}");
    ExitCode::FAILURE
}

fn print_table(load: &Load) {
    println!(
        "| policy | throttled | avoidable | shard-hours | over oracle | reshards/day | futile | overload s | \
         recovery p95 s | depth | cost |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let named = |name: &str| Policy::named(name, PEAK_SHARDS);
    let Some(ours) = named("millrace").map(|policy| run(load, &policy, SEED)) else { return };
    print_row("**millrace**", &ours);
    let (mut better, mut fewest) = (Vec::new(), Vec::new());
    for name in Policy::NAMES.into_iter().skip(1) {
        let Some(policy) = named(name) else { continue };
        print_row(name, &run(load, &policy, SEED));
        let tuned: Vec<(Policy, Run)> =
            sweep(name).into_iter().map(|p| (p.clone(), run(load, &p, SEED))).collect();
        if let Some((policy, best)) = tuned.iter().min_by(|a, b| rank(&a.1).total_cmp(&rank(&b.1))) {
            print_row(&format!("… tuned: {}", parameters(policy)), best);
        }
        let all_better = tuned.iter().filter(|(_, run)| beats(&run.figures, &ours.figures));
        better.extend(all_better.map(|(policy, _)| format!("{policy:?}")));
        // What is as good at not refusing records, with fewer reshards: each peer's with the fewest shard-hours.
        for (of, most) in
            [("0.1 %", MOST_AVOIDABLE), ("twice ours", 2.0 * ours.figures.avoidable_throttled_fraction)]
        {
            let fewer = tuned.iter().filter(|(_, run)| {
                let f = &run.figures;
                f.avoidable_throttled_fraction <= most
                    && f.reshards_per_day > 0.0
                    && f.reshards_per_day < ours.figures.reshards_per_day
            });
            let least = fewer.min_by(|a, b| a.1.figures.shard_hours.total_cmp(&b.1.figures.shard_hours));
            fewest.extend(
                least.map(|(policy, run)| (of, format!("{name}: {}", parameters(policy)), run.clone())),
            );
        }
    }
    for of in ["0.1 %", "twice ours"] {
        let of_these: Vec<_> = fewest.iter().filter(|(most, ..)| *most == of).collect();
        println!(
            "\nOf peers that reshard, and less often, with avoidable throttling of no more than {of}, each with the fewest \
             shard-hours:{}",
            if of_these.is_empty() { " none." } else { "\n" }
        );
        for (_, name, Run { figures: f, .. }) in of_these {
            println!(
                "- {name}: {:.2} over the oracle, {:.1} reshards a day, {:.4} % avoidable",
                f.shard_hours_over_oracle,
                f.reshards_per_day,
                f.avoidable_throttled_fraction * 100.0
            );
        }
    }
    match better.len() {
        0 => println!("\nNo peer, however tuned, is better in all three (avoidable, shard-hours, reshards)."),
        _ => println!("\nBetter in all three: {}", better.join("; ")),
    }
}

fn print_row(name: &str, run: &Run) {
    let f = &run.figures;
    println!(
        "| {name} | {:.3} % | {:.4} % | {:.0} | {:.2} | {:.1} | {} | {} | {:.0} | {} | {:.0} |",
        f.throttled_fraction * 100.0,
        f.avoidable_throttled_fraction * 100.0,
        f.shard_hours,
        f.shard_hours_over_oracle,
        f.reshards_per_day,
        f.futile_reshards,
        f.overload_seconds,
        f.recovery_p95_seconds,
        f.max_lineage_depth,
        run.cost.total()
    );
}

/// By what peers' parameters are compared.
fn rank(run: &Run) -> f64 {
    let avoidable = run.figures.avoidable_throttled_fraction;
    if avoidable <= MOST_AVOIDABLE { run.cost.total() } else { 1e12 * (1.0 + avoidable) }
}

fn beats(a: &Figures, b: &Figures) -> bool {
    a.avoidable_throttled_fraction <= b.avoidable_throttled_fraction
        && a.shard_hours <= b.shard_hours
        && a.reshards_per_day <= b.reshards_per_day
}

/// The parameters alone, without the names of types.
fn parameters(policy: &Policy) -> String {
    let text = format!("{policy:?}");
    let inner = text.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    inner.map_or(String::new(), |(inner, _)| inner.trim().to_owned())
}

/// All parameters that a peer is tried with.
fn sweep(name: &str) -> Vec<Policy> {
    let mut policies = Vec::new();
    match name {
        "static-peak" => {
            policies
                .extend([15, 20, 25, 30, 40, 50, 60].map(|shards| Policy::StaticPeak(StaticPeak { shards })));
        }
        "naive" => {
            for (high, low) in
                [(0.4, 0.2), (0.6, 0.3), (0.6, 0.5), (0.8, 0.4), (0.8, 0.6), (1.0, 0.5), (1.0, 0.7)]
            {
                for low_for_s in [60, 300, 900, 1_800, 3_600] {
                    let (every_s, low_looks) = (5, (low_for_s / 5) as u32);
                    policies.push(Policy::Naive(Naive { high, low, every_s, low_looks }));
                }
            }
        }
        "kinesis-on-demand" => {
            for headroom in [1.0, 1.25, 2.0] {
                for window_s in [3_600, 86_400, 30 * 86_400] {
                    for every_s in [60, 900] {
                        policies.push(Policy::KinesisOnDemand(KinesisOnDemand {
                            headroom,
                            window_s,
                            every_s,
                        }));
                    }
                }
            }
        }
        "pravega" => {
            for target in [0.2, 0.5, 1.0] {
                for cooldown_s in [60, 600] {
                    for pace in [0.05, 0.25, 1.0] {
                        policies.push(Policy::Pravega(Pravega { target, cooldown_s, pace }));
                    }
                }
            }
        }
        "pulsar-pip483" => {
            for (split_above, merge_below) in [(0.5, 0.2), (0.8, 0.3), (1.0, 0.1), (1.0, 0.4)] {
                for every_s in [5, 60] {
                    for merge_cooldown_s in [5, 300] {
                        for max_merges in [10, 1_000_000] {
                            policies.push(Policy::PulsarPip483(PulsarPip483 {
                                split_above,
                                merge_below,
                                every_s,
                                merge_cooldown_s,
                                max_merges,
                            }));
                        }
                    }
                }
            }
        }
        "lcp" => {
            for every_s in [5, 60] {
                for switching_cost_shard_hours in [0.5, 1.0, 2.0] {
                    for fill in [0.35, 0.5, 0.8, 1.0] {
                        policies.push(Policy::Lcp(Lcp { every_s, switching_cost_shard_hours, fill }));
                    }
                }
            }
        }
        _ => {}
    }
    policies
}
