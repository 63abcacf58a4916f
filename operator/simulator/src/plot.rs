//! A picture of runs, one policy under another: load, capacity and reshards over time, as SVG 1.1 (W3C) written by
//! hand, since lines and text are all it takes.

use std::fmt::Write;

use crate::load::Load;
use crate::run::{Run, TARGET};

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 34.0;
const PLOT_HEIGHT: f64 = 150.0;
/// Of the marks for reshards, below the plot.
const MARKS_HEIGHT: f64 = 14.0;
const PANEL_HEIGHT: f64 = TOP + PLOT_HEIGHT + MARKS_HEIGHT + 30.0;
/// No more marks are told apart than there are columns of pixels.
const COLUMNS: usize = (WIDTH - LEFT - RIGHT) as usize;

/// Draws runs of the same load, each with its policy's name. Load and capacity are in units of what a shard shall
/// carry; where many changes fall on one column of pixels, its highest is drawn.
pub fn plot(load: &Load, runs: &[(&str, &Run)]) -> String {
    let height = PANEL_HEIGHT * runs.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let loads = columns(load.seconds(), load_steps(load));
    for (index, (name, run)) in runs.iter().enumerate() {
        panel(&mut svg, PANEL_HEIGHT * index as f64, load.seconds(), &loads, name, run);
    }
    svg.push_str("</svg>\n");
    svg
}

/// From which second on the load is so many shards'.
fn load_steps(load: &Load) -> impl Iterator<Item = (u64, f64)> {
    load.segments.iter().scan(0, |at_s, segment| {
        let from_s = *at_s;
        *at_s += segment.for_s;
        Some((from_s, segment.records_per_s / TARGET.records_per_s as f64))
    })
}

/// The highest value in each column, of steps that rise in time.
fn columns(seconds: u64, steps: impl Iterator<Item = (u64, f64)>) -> Vec<f64> {
    let column =
        |at_s: u64| ((at_s as f64 / seconds.max(1) as f64 * COLUMNS as f64) as usize).min(COLUMNS - 1);
    let mut highest: Vec<f64> = vec![0.0; COLUMNS];
    let (mut from, mut value) = (0, 0.0_f64);
    for (at_s, next) in steps {
        let to = column(at_s);
        for height in &mut highest[from..=to] {
            *height = height.max(value);
        }
        (from, value) = (to, next);
    }
    for height in &mut highest[from..] {
        *height = height.max(value);
    }
    highest
}

fn panel(svg: &mut String, top: f64, seconds: u64, loads: &[f64], name: &str, run: &Run) {
    let shards = columns(seconds, run.course.shards.iter().map(|(at_s, open)| (*at_s, f64::from(*open))));
    let most = loads.iter().chain(&shards).copied().fold(1.0, f64::max);
    let figures = &run.figures;
    let title = format!(
        "{name}: {:.0} shard-hours ({:.2} of the oracle's), {:.1} reshards a day, {:.4} % throttled that need not be",
        figures.shard_hours,
        figures.shard_hours_over_oracle,
        figures.reshards_per_day,
        figures.avoidable_throttled_fraction * 100.0
    );
    let bottom = top + TOP + PLOT_HEIGHT;
    let right = WIDTH - RIGHT;
    // Writing to a String can't fail.
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top + 20.0);
    for part in [0.0, 0.5, 1.0] {
        let y = bottom - PLOT_HEIGHT * part;
        let _ = writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>");
        let (x, value) = (LEFT - 6.0, most * part);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>", y + 4.0);
    }
    let y = |value: f64| bottom - PLOT_HEIGHT * value / most;
    let capacity = steps(&shards, y);
    let area = format!("M{LEFT} {bottom:.1}{}V{bottom:.1}Z", capacity.replacen('M', "L", 1));
    let _ = writeln!(svg, "<path d=\"{area}\" fill=\"#cfe3f7\"/>");
    let _ = writeln!(svg, "<path d=\"{capacity}\" fill=\"none\" stroke=\"#2a78c0\"/>");
    let _ = writeln!(svg, "<path d=\"{}\" fill=\"none\" stroke=\"#d1495b\"/>", steps(loads, y));
    marks(svg, bottom, seconds, run);
    let legend = "shards (blue), load in shards' worth (red), reshards (ticks)";
    let y = bottom + MARKS_HEIGHT + 14.0;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{y:.1}\" fill=\"#555\">{legend}</text>");
    let hours = seconds as f64 / 3_600.0;
    let _ = writeln!(
        svg,
        "<text x=\"{right}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"#555\">{hours:.0} h</text>"
    );
}

/// A path along the columns' heights.
fn steps(values: &[f64], y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut before = None;
    for (column, value) in values.iter().enumerate() {
        if before == Some(*value) {
            continue;
        }
        let (x, y) = (LEFT + column as f64, y(*value));
        let _ = match before {
            None => write!(path, "M{x} {y:.1}"),
            Some(_) => write!(path, "H{x}V{y:.1}"),
        };
        before = Some(*value);
    }
    let _ = write!(path, "H{}", WIDTH - RIGHT);
    path
}

/// A tick for each column in which reshards began, the darker the more they were.
fn marks(svg: &mut String, bottom: f64, seconds: u64, run: &Run) {
    let mut counts = vec![0_u32; COLUMNS];
    for (at_s, count) in &run.course.reshards {
        let column = (*at_s as f64 / seconds.max(1) as f64 * COLUMNS as f64) as usize;
        counts[column.min(COLUMNS - 1)] += count;
    }
    let (from, to) = (bottom + 3.0, bottom + MARKS_HEIGHT);
    for (column, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let opacity = (0.3 + f64::from(*count) * 0.1).min(1.0);
        let x = LEFT + column as f64 + 0.5;
        let _ =
            writeln!(svg, "<path d=\"M{x} {from:.1}V{to:.1}\" stroke=\"#333\" opacity=\"{opacity:.1}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use crate::load::Segment;
    use crate::policies::Policy;
    use crate::run::run;

    #[test]
    fn each_run_has_its_panel_with_load_and_capacity() {
        let segment = |records_per_s| Segment { for_s: 600, records_per_s, keys: 0 };
        let load = Load::new(vec![segment(500.0), segment(9_000.0)], Keys::zipf(100, 0.0, None, 1));
        let run = |name| run(&load, &Policy::named(name, 9).expect("there is such a policy"), 1);
        let (ours, peer) = (run("millrace"), run("static-peak"));
        let svg = plot(&load, &[("millrace", &ours), ("static-peak", &peer)]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in
            [">millrace: ", ">static-peak: ", "stroke=\"#2a78c0\"", "stroke=\"#d1495b\"", "stroke=\"#333\""]
        {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
        assert_eq!(svg.matches("font-weight=\"bold\"").count(), 2);
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn a_column_is_as_high_as_what_is_highest_in_it() {
        let all = columns(COLUMNS as u64 * 10, [(0, 1.0), (15, 7.0), (18, 2.0)].into_iter());
        assert_eq!(all[..4], [1.0, 7.0, 2.0, 2.0]);
        assert_eq!(all[COLUMNS - 1], 2.0);
    }
}
