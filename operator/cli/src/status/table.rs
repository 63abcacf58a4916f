//! Tables and times as text. Pure.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;

/// Rows under headings, aligned, without lines around them: as kubectl prints them.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    indent(&table.to_string(), "  ")
}

/// Names and what they have, aligned.
pub fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    fields.iter().map(|(name, value)| format!("  {name:width$}   {}\n", one_line(value))).collect()
}

fn indent(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{}\n", line.trim_end())).collect()
}

/// A text without control characters: others may write messages, and theirs must not move a terminal's cursor.
pub fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    text.trim().to_owned()
}

/// How long something has lasted, as kubectl writes it: "45s", "3m20s", "17h", "2d5h".
pub fn age(since: Timestamp, now: Timestamp) -> String {
    span(now.as_second().saturating_sub(since.as_second()).max(0))
}

/// A number of seconds, likewise.
pub fn span(seconds: i64) -> String {
    let (minute, hour, day) = (60, 3_600, 86_400);
    let two = |first: i64, letter: char, second: i64, other: char| {
        if second == 0 { format!("{first}{letter}") } else { format!("{first}{letter}{second}{other}") }
    };
    match seconds {
        s if s < 2 * minute => format!("{s}s"),
        s if s < 10 * minute => two(s / minute, 'm', s % minute, 's'),
        s if s < 3 * hour => format!("{}m", s / minute),
        s if s < 8 * hour => two(s / hour, 'h', s % hour / minute, 'm'),
        s if s < 2 * day => format!("{}h", s / hour),
        s if s < 8 * day => two(s / day, 'd', s % day / hour, 'h'),
        s => format!("{}d", s / day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".into(), "one\ntwo\u{1b}".into()], vec!["long name".into(), String::new()]];
        assert_eq!(
            table(&["NAME", "MESSAGE"], rows),
            "  NAME        MESSAGE\n  a           one two\n  long name\n"
        );
    }

    #[test]
    fn fields_stand_below_each_other() {
        assert_eq!(
            fields(&[("Mode", "OnDemand".into()), ("ARN", "arn".into())]),
            "  Mode   OnDemand\n  ARN    arn\n"
        );
    }

    #[test]
    fn ages_have_the_precision_that_matters() {
        let ages = [0, 119, 120, 200, 3_600, 10_800, 12_000, 61_200, 190_800, 864_000];
        let told: Vec<String> = ages.into_iter().map(span).collect();
        assert_eq!(told, ["0s", "119s", "2m", "3m20s", "60m", "3h", "3h20m", "17h", "2d5h", "10d"]);
    }
}
