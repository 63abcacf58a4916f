//! A recorded load: rows of `timestamp,value`, the value being a count of records from its own timestamp to the next.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;

use crate::load::Segment;

/// A recorded load.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    at_s: i64,
    count: f64,
}

/// Why a text is no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// A row is not of the form that is expected.
    #[error("line {line}: {why}")]
    Row {
        /// Its line, from 1.
        line: usize,
        /// What is wrong, as a sentence.
        why: String,
    },
    /// There are fewer than two rows.
    #[error(
        "a trace has two rows at least, since the time between rows is what their counts are of; this has {0}"
    )]
    TooShort(usize),
    /// All counts are 0.
    #[error("all values are 0: there is no load to simulate")]
    Silent,
}

impl Trace {
    /// Reads rows of `timestamp,value`. Timestamps are `YYYY-MM-DD HH:MM:SS` (parts of a second are ignored) or
    /// seconds, and rise from row to row. A first line that names the columns is passed over, and so are empty lines.
    ///
    /// # Errors
    /// The first line that is wrong, and what is wrong with it; or that there is no load at all.
    pub fn parse(text: &str) -> Result<Trace, TraceError> {
        let mut rows: Vec<Row> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let wrong = |why: String| TraceError::Row { line: line_number, why };
            let line = line.trim_start_matches('\u{feff}').trim();
            if line.is_empty() || (index == 0 && is_header(line)) {
                continue;
            }
            let row = parse_row(line).map_err(wrong)?;
            if let Some(before) = rows.last().filter(|before| before.at_s >= row.at_s) {
                let why = format!(
                    "its timestamp is {} s before that of the row above, and timestamps have to rise by a second at \
                     least",
                    before.at_s - row.at_s
                );
                return Err(wrong(why));
            }
            rows.push(row);
        }
        if rows.len() < 2 {
            return Err(TraceError::TooShort(rows.len()));
        }
        if rows.iter().all(|row| row.count == 0.0) {
            return Err(TraceError::Silent);
        }
        Ok(Trace { rows })
    }

    /// When it begins, in Unix seconds: its timestamps are read as UTC.
    pub fn start_s(&self) -> i64 {
        self.rows.first().map_or(0, |row| row.at_s)
    }

    /// The load of the same shape whose highest row is `peak_records_per_s`: each row's count over the usual time
    /// between rows, held until the next row. (Held, not interpolated: so each row's records are as many as were
    /// counted, and each change comes as a jump, which is the hardest case for whoever has to react.)
    pub fn scaled_to(&self, peak_records_per_s: f64) -> Vec<Segment> {
        let most = self.rows.iter().map(|row| row.count).fold(0.0, f64::max);
        let mut steps: Vec<i64> = self.rows.windows(2).map(|pair| pair[1].at_s - pair[0].at_s).collect();
        let usual = {
            let mut sorted = steps.clone();
            sorted.sort_unstable();
            sorted[sorted.len() / 2]
        };
        steps.push(usual);
        let rows = self.rows.iter().zip(steps);
        rows.map(|(row, for_s)| Segment {
            for_s: for_s.unsigned_abs(),
            records_per_s: row.count / most * peak_records_per_s,
            keys: 0,
        })
        .collect()
    }
}

/// Whether a line names columns: neither field is what it would be in a row.
fn is_header(line: &str) -> bool {
    let (time, value) = line.split_once(',').unwrap_or((line, ""));
    parse_time(time.trim()).is_none() && value.trim().parse::<f64>().is_err()
}

fn parse_row(line: &str) -> Result<Row, String> {
    let (time, value) =
        line.split_once(',').ok_or_else(|| format!("{line:?} has no comma; a row is timestamp,value"))?;
    let (time, value) = (time.trim().trim_matches('"'), value.trim().trim_matches('"'));
    if value.contains(',') {
        return Err(format!("{line:?} has more than two fields; a row is timestamp,value"));
    }
    let at_s = parse_time(time)
        .ok_or_else(|| format!("{time:?} is no timestamp; write YYYY-MM-DD HH:MM:SS, or seconds"))?;
    let count: f64 = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    if !count.is_finite() || count < 0.0 {
        return Err(format!("{value} is no count: a number from 0 up is expected"));
    }
    Ok(Row { at_s, count })
}

/// Seconds since any beginning.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds.abs() < 1e15).then_some(seconds.floor() as i64);
    }
    let form = if text.contains('T') { "%Y-%m-%dT%H:%M:%S%.f" } else { "%Y-%m-%d %H:%M:%S%.f" };
    let time: DateTime = BrokenDownTime::parse(form, text).ok()?.to_datetime().ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(i64, f64)> {
        let trace = Trace::parse(text).expect("it is a trace");
        let first = trace.rows[0].at_s;
        trace.rows.iter().map(|row| (row.at_s - first, row.count)).collect()
    }

    #[test]
    fn timestamps_are_dates_or_seconds_with_or_without_a_header() {
        assert_eq!(
            rows("timestamp,value\r\n2015-02-26 21:42:53,53\r\n2015-02-26 21:47:53,64.5\r\n"),
            [(0, 53.0), (300, 64.5)]
        );
        assert_eq!(rows("0,1\n\n60,2\n120.7,3"), [(0, 1.0), (60, 2.0), (120, 3.0)]);
        assert_eq!(rows("2015-02-26 23:59:59.250000,1\n2015-02-27T00:00:09,2"), [(0, 1.0), (10, 2.0)]);
    }

    #[test]
    fn a_bad_row_is_told_with_its_line_and_what_is_wrong() {
        let told = |text: &str| Trace::parse(text).expect_err("it is no trace").to_string();
        assert_eq!(told("timestamp,value\n1,2\n2,x"), "line 3: \"x\" is no number");
        assert_eq!(told("1,2\n2"), "line 2: \"2\" has no comma; a row is timestamp,value");
        assert_eq!(
            told("1,2\n2,3,4"),
            "line 2: \"2,3,4\" has more than two fields; a row is timestamp,value"
        );
        assert_eq!(
            told("1,2\n26.02.2015,3"),
            "line 2: \"26.02.2015\" is no timestamp; write YYYY-MM-DD HH:MM:SS, or seconds"
        );
        assert_eq!(told("1,2\n2,-3"), "line 2: -3 is no count: a number from 0 up is expected");
        assert!(told("5,2\n5,3").starts_with("line 2: its timestamp is 0 s before"));
        assert!(told("timestamp,value\n5,3").ends_with("this has 1"));
        assert_eq!(told("1,0\n2,0"), "all values are 0: there is no load to simulate");
    }

    #[test]
    fn the_highest_row_becomes_the_peak() {
        let segments = Trace::parse("0,5\n60,10\n90,0").expect("it is a trace").scaled_to(400.0);
        let rates: Vec<(u64, f64)> = segments.iter().map(|s| (s.for_s, s.records_per_s)).collect();
        assert_eq!(rates, [(60, 200.0), (30, 400.0), (60, 0.0)]);
    }
}
