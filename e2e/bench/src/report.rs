//! The figures: a table for people, and every single one as JSON.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

use crate::machine::Machine;
use crate::number::{median, readable};
use crate::options::Measurement;

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Side {
    Millrace,
    JetStream,
    Ferrokinesis,
    Kinesalite,
    Moto,
    KinesisLocal,
    /// Millrace's figure divided by a peer's of the same run.
    Ratio,
}

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "records/s")]
    RecordsPerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MiB/s")]
    MebibytesPerSecond,
    #[serde(rename = "MiB")]
    Mebibytes,
    #[serde(rename = "x")]
    Times,
    #[serde(rename = "count")]
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::RecordsPerSecond => "records/s",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
            Unit::MebibytesPerSecond => "MiB/s",
            Unit::Mebibytes => "MiB",
            Unit::Times => "x",
            Unit::Count => "",
        }
    }
}

/// A figure, measured once or several times.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    measurement: Measurement,
    name: String,
    side: Side,
    unit: Unit,
    /// One of each run, in order.
    values: Vec<f64>,
}

/// Every single value of something that a figure tells in short.
#[derive(Clone, Debug, Serialize)]
struct Samples {
    measurement: Measurement,
    name: String,
    values: Vec<f64>,
}

/// Something that went wrong or was refused.
#[derive(Clone, Debug, Serialize)]
struct Incident {
    measurement: Measurement,
    what: String,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    seconds: u64,
    runs: u32,
    notes: Vec<String>,
    figures: Vec<Figure>,
    samples: Vec<Samples>,
    throttled: Vec<Incident>,
    failures: Vec<Incident>,
}

impl Report {
    pub(crate) fn new(machine: Machine, seconds: u64, runs: u32) -> Report {
        Report {
            machine,
            seconds,
            runs,
            notes: Vec::new(),
            figures: Vec::new(),
            samples: Vec::new(),
            throttled: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Adds one value of a figure.
    pub(crate) fn add(&mut self, of: Measurement, name: &str, side: Side, unit: Unit, value: f64) {
        eprintln!("  {name} {side:?}: {} {}", readable(value), unit.name());
        let known = self.figures.iter_mut().find(|f| f.measurement == of && f.name == name && f.side == side);
        match known {
            Some(figure) => figure.values.push(value),
            None => {
                self.figures.push(Figure {
                    measurement: of,
                    name: name.to_owned(),
                    side,
                    unit,
                    values: vec![value],
                });
            }
        }
    }

    /// Adds what a figure was made from.
    pub(crate) fn sample(&mut self, of: Measurement, name: &str, values: Vec<f64>) {
        self.samples.push(Samples { measurement: of, name: name.to_owned(), values });
    }

    /// Something that a reader of the figures has to know. Said once.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    /// Records were refused as too fast.
    pub(crate) fn throttled(&mut self, of: Measurement, name: &str, records: u64) {
        let what = format!("{name}: {records} records throttled");
        self.throttled.push(Incident { measurement: of, what });
    }

    /// Something went wrong: the report is not sound.
    pub(crate) fn failed(&mut self, of: Measurement, what: String) {
        self.failures.push(Incident { measurement: of, what });
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_sound(&self) -> bool {
        self.failures.is_empty()
    }

    /// Writes everything to a file.
    pub(crate) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header(["", "figure", "of", "median", "min", "max", "", "n"]);
        // A pair's sides come in turns; people want one measurement at a time.
        let mut figures: Vec<&Figure> = self.figures.iter().collect();
        figures.sort_by_key(|figure| figure.measurement);
        let mut last = None;
        for figure in figures {
            let values = &figure.values;
            let (min, max) =
                (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
            let number = |value: f64| Cell::new(readable(value)).set_alignment(CellAlignment::Right);
            let of = figure.measurement;
            let group = if last == Some(of) { String::new() } else { of.to_string() };
            last = Some(of);
            table.add_row([
                Cell::new(group),
                Cell::new(&figure.name),
                Cell::new(format!("{:?}", figure.side)),
                number(median(values)),
                number(min.unwrap_or(0.0)),
                number(max.unwrap_or(0.0)),
                Cell::new(figure.unit.name()),
                Cell::new(values.len()).set_alignment(CellAlignment::Right),
            ]);
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "{} cores, {}, {} MiB of memory", machine.cores, machine.cpu, machine.memory_mib)?;
        let (kernel, server, files) = (&machine.kernel, &machine.nats_server, &machine.file_system);
        writeln!(
            f,
            "Linux {kernel}, {server}, data on {files}; {} runs of {} s a load",
            self.runs, self.seconds
        )?;
        writeln!(f, "{}", self.table())?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        for Incident { measurement, what } in &self.throttled {
            writeln!(f, "{measurement}: {what}")?;
        }
        for Incident { measurement, what } in &self.failures {
            writeln!(f, "FAILED {measurement}: {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(
            Machine {
                cores: 2,
                cpu: "Some CPU".into(),
                memory_mib: 1,
                kernel: "6".into(),
                nats_server: "nats-server: v2".into(),
                file_system: "ext4".into(),
            },
            10,
            3,
        )
    }

    #[test]
    fn values_of_one_figure_make_one_row() {
        let mut report = report();
        for value in [3_000.0, 1_000.0, 2_000.0] {
            report.add(Measurement::Raw, "r", Side::JetStream, Unit::RecordsPerSecond, value);
        }
        report.add(Measurement::Raw, "r", Side::Millrace, Unit::RecordsPerSecond, 5.0);
        let text = report.to_string();
        let row: Vec<&str> = text
            .lines()
            .find(|line| line.contains("JetStream"))
            .unwrap()
            .split(['|', ' '])
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(row, ["raw", "r", "JetStream", "2,000", "1,000", "3,000", "records/s", "3"]);
        assert_eq!(report.figures.len(), 2);
    }

    #[test]
    fn a_failure_is_shown_and_makes_the_report_unsound() {
        let mut report = report();
        report.throttled(Measurement::Overload, "x", 7);
        assert!(report.is_sound());
        report.failed(Measurement::Memory, "it broke".into());
        assert!(!report.is_sound());
        let text = report.to_string();
        assert!(text.contains("FAILED memory: it broke") && text.contains("7 records throttled"), "{text}");
    }
}
