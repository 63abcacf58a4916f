//! `millrace simulate`: the autoscaler, or a peer of it, on a recorded load.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use millrace_core::Floor;
use millrace_core::floor::{Days, FloorWindow, InvalidDays, InvalidTime};
use millrace_simulator::{Figures, Keys, Load, Policy, Run, TARGET, Trace, plot, run as simulate};

/// Options of `millrace simulate`.
#[derive(clap::Args, Debug)]
pub struct SimulateArgs {
    /// The recorded load: rows of timestamp,value, the value being a count of records; timestamps are
    /// YYYY-MM-DD HH:MM:SS, or seconds
    #[arg(long, value_name = "FILE.csv")]
    trace: PathBuf,
    /// Who decides on the shards; may be given several times
    #[arg(long = "policy", value_name = "NAME", required = true, value_parser = PossibleValuesParser::new(Policy::NAMES))]
    policies: Vec<String>,
    /// How many shards' worth the highest row is: 1,000 records a second each
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    peak_shards: u32,
    /// How many partition keys the records have
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// How unevenly records go to keys: the exponent of Zipf's law, 0 for evenly
    #[arg(long, value_name = "A", default_value_t = 0.5, value_parser = exponent)]
    zipf: f64,
    /// The part of all records that go to one of the keys, above 0 and below 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    hot_key: Option<f64>,
    /// A window in which the policy millrace has at least SHARDS, such as 08:00-18:00=20 or Mon-Fri@08:00-18:00=20, on
    /// the clock of the trace; may be given several times
    #[arg(long = "floor", value_name = "[DAYS@]START-END=SHARDS", value_parser = window)]
    floor: Vec<FloorWindow>,
    /// Draws the keys, and what else is left to chance: the same number gives the same run
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print the figures as JSON: one object, or one for each policy's name
    #[arg(long)]
    json: bool,
    /// Draw load, shards and reshards over time, one policy under another
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Runs each policy on the load, and prints what came of it.
pub fn run(args: &SimulateArgs) -> anyhow::Result<()> {
    let trace = read(&args.trace)?;
    let keys = Keys::zipf(args.keys, args.zipf, args.hot_key, args.seed);
    let peak_records_per_s = f64::from(args.peak_shards) * TARGET.records_per_s as f64;
    let load = Load { start_s: trace.start_s(), ..Load::new(trace.scaled_to(peak_records_per_s), keys) };
    let floored = args.floor.is_empty() || args.policies.iter().any(|name| name == "millrace");
    anyhow::ensure!(floored, "--floor is for the policy millrace alone: add --policy millrace");
    let mut runs: Vec<(&str, Run)> = Vec::new();
    for name in &args.policies {
        let mut policy =
            Policy::named(name, args.peak_shards).with_context(|| format!("there is no policy {name}"))?;
        if let Policy::Millrace(config) = &mut policy {
            config.floor = Floor(args.floor.clone());
        }
        runs.push((name, simulate(&load, &policy, args.seed)));
    }
    if let Some(path) = &args.plot {
        let panels: Vec<(&str, &Run)> = runs.iter().map(|(name, run)| (*name, run)).collect();
        std::fs::write(path, plot(&load, &panels))
            .with_context(|| format!("{} can't be written", path.display()))?;
    }
    let figures: Vec<(&str, &Figures)> = runs.iter().map(|(name, run)| (*name, &run.figures)).collect();
    let text = match (args.json, &figures[..]) {
        (true, [(_, one)]) => serde_json::to_string_pretty(one)?,
        (true, all) => serde_json::to_string_pretty(&all.iter().copied().collect::<BTreeMap<_, _>>())?,
        (false, all) => table(all).to_string(),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Trace> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    Trace::parse(&text).with_context(|| path.display().to_string())
}

/// A row for each figure, a column for each policy.
fn table(all: &[(&str, &Figures)]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(std::iter::once("").chain(all.iter().map(|(name, _)| *name)));
    let mut row = |name: &str, value: &dyn Fn(&Figures) -> String| {
        let values = all.iter().map(|(_, figures)| value(figures));
        table.add_row(std::iter::once(name.to_owned()).chain(values));
    };
    row("throttled", &|f| format!("{:.4} %", f.throttled_fraction * 100.0));
    row("… that need not be", &|f| format!("{:.4} %", f.avoidable_throttled_fraction * 100.0));
    row("shard-hours", &|f| format!("{:.1}", f.shard_hours));
    row("… over the oracle's", &|f| format!("{:.2}", f.shard_hours_over_oracle));
    row("reshards a day", &|f| format!("{:.1}", f.reshards_per_day));
    row("futile reshards", &|f| f.futile_reshards.to_string());
    row("overloaded", &|f| format!("{} s", f.overload_seconds));
    row("… p95 of each time", &|f| format!("{:.0} s", f.recovery_p95_seconds));
    row("longest lineage", &|f| f.max_lineage_depth.to_string());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn exponent(text: &str) -> Result<f64, String> {
    let exponent = text.parse().ok().filter(|exponent| (0.0..=10.0).contains(exponent));
    exponent.ok_or_else(|| "a number from 0 to 10 is expected".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "a number above 0 and below 1 is expected, such as 0.3".to_owned())
}

/// A window of a floor. Its zone is UTC, as which the trace's timestamps are read, whatever they are.
fn window(text: &str) -> Result<FloorWindow, String> {
    let form = || "a window and its shards are expected, such as 08:00-18:00=20".to_owned();
    let (when, shards) = text.split_once('=').ok_or_else(form)?;
    let (days, times) = match when.split_once('@') {
        Some((days, times)) => (days.parse().map_err(|error: InvalidDays| error.to_string())?, times),
        None => (Days::EVERY, when),
    };
    let (start, end) = times.split_once('-').ok_or_else(form)?;
    let time = |text: &str| text.parse().map_err(|error: InvalidTime| error.to_string());
    let shards = shards.parse().ok().filter(|shards| (1..=1_000).contains(shards));
    let shards = shards.ok_or("1 to 1000 shards are expected, such as 08:00-18:00=20")?;
    Ok(FloorWindow { start: time(start)?, end: time(end)?, days, time_zone: "UTC".to_owned(), shards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_with_its_days_or_told_what_is_wrong() {
        let read = |text: &str| window(text).map(|window| (window.to_string(), window.shards));
        assert_eq!(read("08:00-18:00=20"), Ok(("08:00-18:00 UTC".to_owned(), 20)));
        assert_eq!(read("Mon-Fri,Sun@22:00-06:00=7"), Ok(("Mon-Fri,Sun 22:00-06:00 UTC".to_owned(), 7)));
        for (wrong, why) in [
            ("08:00-18:00", "a window and its shards are expected"),
            ("08:00=20", "a window and its shards are expected"),
            ("8-18=20", "\"8\" is no time of day: write hours and minutes"),
            ("Mo-Fr@08:00-18:00=20", "\"Mo\" is no day of the week: write Mon"),
            ("08:00-18:00=0", "1 to 1000 shards are expected"),
        ] {
            let told = read(wrong).expect_err(wrong);
            assert!(told.starts_with(why), "{told}");
        }
    }

    #[test]
    fn a_bad_row_is_told_with_its_file_and_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bad.csv");
        std::fs::write(&path, "timestamp,value\n1,2\n2,many\n").expect("a file");
        let told = format!("{:#}", read(&path).expect_err("it is no trace"));
        assert_eq!(told, format!("{}: line 3: \"many\" is no number", path.display()));
    }
}
