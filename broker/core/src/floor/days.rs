//! Days of the week.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use minicbor::{Decode, Encode};

/// The days as people write them, from Monday on.
const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Some days of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Days(#[n(0)] pub(super) u8);

impl Days {
    /// All seven.
    pub const EVERY: Days = Days(0x7f);

    /// Whether this day is one of them.
    pub fn contains(self, day: Weekday) -> bool {
        self.has(day.to_monday_zero_offset() as usize)
    }

    /// The days, from Monday on.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        Weekday::Monday.cycle_forward().take(7).filter(move |day| self.contains(*day))
    }

    /// Whether the day so many after Monday is one of them.
    fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

impl FromIterator<Weekday> for Days {
    fn from_iter<I: IntoIterator<Item = Weekday>>(days: I) -> Days {
        Days(days.into_iter().fold(0, |days, day| days | 1 << day.to_monday_zero_offset()))
    }
}

impl fmt::Display for Days {
    /// `Mon-Fri`, `Mon,Wed,Sat-Sun`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for day in (0..NAMES.len()).filter(|day| self.has(*day)) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == day => *last = day,
                _ => runs.push((day, day)),
            }
        }
        let text = |(first, last): &(usize, usize)| match first == last {
            true => NAMES[*first].to_owned(),
            false => format!("{}-{}", NAMES[*first], NAMES[*last]),
        };
        f.write_str(&runs.iter().map(text).collect::<Vec<_>>().join(","))
    }
}

/// A text that names no days.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no day of the week: write {days}, with a dash between the first and the last of several", days = NAMES.join(", "))]
pub struct InvalidDays(String);

impl FromStr for Days {
    type Err = InvalidDays;

    /// Reads what `Display` writes, and ranges that go over Sunday (`Sat-Mon`).
    fn from_str(text: &str) -> Result<Days, InvalidDays> {
        let day = |name: &str| {
            let index = NAMES.iter().position(|known| *known == name);
            index.ok_or_else(|| InvalidDays(name.to_owned()))
        };
        let mut days = Days::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first)?, day(last)?);
            let count = (last + NAMES.len() - first) % NAMES.len() + 1;
            days.0 |= (first..first + count).fold(0, |days, day| days | 1 << (day % NAMES.len()));
        }
        Ok(days)
    }
}
