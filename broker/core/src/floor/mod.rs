//! Windows of time in which a stream has at least so many shards, for peaks that are known beforehand.
//!
//! Windows are on the clock of a time zone, and follow its changes. Zones are those of the IANA database that is
//! compiled in, never the machine's: all processes of a version know the same, and containers need no files for it.

mod days;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use minicbor::{Decode, Encode};

pub use days::{Days, InvalidDays};
pub use jiff::civil::Weekday;

const MINUTES_A_DAY: u16 = 24 * 60;

/// Windows, any number of which may be on at a time. Entries of before there were any do not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Floor(#[n(0)] pub Vec<FloorWindow>);

impl Floor {
    /// Whether it asks for nothing, ever.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A window of time that comes back, and the shards that are asked for while it is on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FloorWindow {
    /// When it begins.
    #[n(0)]
    pub start: TimeOfDay,
    /// When it ends: on the next day, if that is not after its start.
    #[n(1)]
    pub end: TimeOfDay,
    /// The days on which it begins.
    #[n(2)]
    pub days: Days,
    /// The time zone of its clock, as the IANA database has it.
    #[n(3)]
    pub time_zone: String,
    /// The fewest shards.
    #[n(4)]
    pub shards: u32,
}

/// One time that a window is on, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub start_ms: i64,
    /// Its end, at which it is over.
    pub end_ms: i64,
}

impl FloorWindow {
    /// The time it is on at `now_ms` (Unix milliseconds), or else the next such time. None if its zone is not known or
    /// it has no days.
    ///
    /// Where a change of the clock skips its start or its end, or makes the clock show it twice, it begins at the
    /// earliest and ends at the latest moment that this may mean.
    pub fn next(&self, now_ms: i64) -> Option<Span> {
        let zone = zone(&self.time_zone)?;
        let today = zone.to_datetime(Timestamp::from_millisecond(now_ms).ok()?).date();
        // One that began yesterday may still be on, and a change of the clock at midnight moves dates by one more. The
        // last is this day of the next week.
        let dates = (-2..=8).filter_map(|days| today.checked_add(days.days()).ok());
        let its = dates.filter(|date| self.days.contains(date.weekday()));
        its.filter_map(|date| self.on(date, &zone)).find(|span| span.end_ms > now_ms)
    }

    /// The time that begins on this day.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<Span> {
        let end_date = if self.end <= self.start { date.tomorrow().ok()? } else { date };
        let start = zone.to_ambiguous_timestamp(date.to_datetime(self.start.time()?)).earlier().ok()?;
        let end = zone.to_ambiguous_timestamp(end_date.to_datetime(self.end.time()?)).later().ok()?;
        Some(Span { start_ms: start.as_millisecond(), end_ms: end.as_millisecond() })
    }

    /// What its clock shows at a time (in Unix milliseconds), with the date.
    pub fn clock(&self, at_ms: i64) -> String {
        let zone = zone(&self.time_zone).unwrap_or(TimeZone::UTC);
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

impl fmt::Display for FloorWindow {
    /// `Mon-Fri 08:00-18:00 Europe/Berlin`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != Days::EVERY {
            write!(f, "{} ", self.days)?;
        }
        write!(f, "{}-{} {}", self.start, self.end, self.time_zone)
    }
}

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct TimeOfDay(#[n(0)] u16);

impl TimeOfDay {
    /// The time so many minutes after midnight, if that is on the same day.
    pub fn of_minutes(minutes: u16) -> Option<TimeOfDay> {
        (minutes < MINUTES_A_DAY).then_some(TimeOfDay(minutes))
    }

    fn time(self) -> Option<Time> {
        Time::new((self.0 / 60) as i8, (self.0 % 60) as i8, 0, 0).ok()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A text that is no time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time of day: write hours and minutes, such as 08:00")]
pub struct InvalidTime(String);

impl FromStr for TimeOfDay {
    type Err = InvalidTime;

    /// Reads `HH:MM`, from 00:00 to 23:59.
    fn from_str(text: &str) -> Result<TimeOfDay, InvalidTime> {
        let number = |digits: &str, below: u16| {
            let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|number| is_number && *number < below)
        };
        text.split_once(':')
            .and_then(|(hours, minutes)| Some(TimeOfDay(number(hours, 24)? * 60 + number(minutes, 60)?)))
            .ok_or_else(|| InvalidTime(text.to_owned()))
    }
}

/// Whether a time zone of this name is known.
pub fn is_time_zone(name: &str) -> bool {
    zone(name).is_some()
}

/// The names of all time zones that are known.
pub fn time_zones() -> Vec<String> {
    TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())
}
