//! Windows of time in which a stream has at least so many shards.

use kube::KubeSchema;
use millrace_core::floor::{self, Days, TimeOfDay, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::admission::nearest;

const TIME_RULE: &str = "self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')";
const TIME_MESSAGE: &str = "write a time of day as hours and minutes, 00:00 to 23:59, such as 08:00";
const ZONE_RULE: &str = "self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$')";
const ZONE_MESSAGE: &str = "write the name of a time zone as the IANA database has it, such as Europe/Berlin";

/// A window of time that comes back, and the shards that there are at least while it is on.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FloorWindow {
    /// When it begins: hours and minutes on the clock of its time zone, such as 08:00.
    #[schemars(length(max = 5))]
    #[x_kube(validation = Rule::new(TIME_RULE).message(TIME_MESSAGE))]
    pub start: String,
    /// When it ends. A window whose end is before its start goes over midnight; one whose end is its start lasts for
    /// a whole day.
    #[schemars(length(max = 5))]
    #[x_kube(validation = Rule::new(TIME_RULE).message(TIME_MESSAGE))]
    pub end: String,
    /// The days on which it begins. Every day, unless some are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Day>,
    /// The time zone of its clock, as the IANA database has it. It follows the changes of that clock.
    #[serde(default = "utc")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(ZONE_RULE).message(ZONE_MESSAGE))]
    pub time_zone: String,
    /// The fewest shards while it is on, up to maxShards.
    #[schemars(range(min = 1, max = 8000))]
    pub shards: i32,
}

/// A day of the week.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say all")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// The days of the week, each as its users and as the clock know it.
const WEEK: [(Day, Weekday); 7] = [
    (Day::Mon, Weekday::Monday),
    (Day::Tue, Weekday::Tuesday),
    (Day::Wed, Weekday::Wednesday),
    (Day::Thu, Weekday::Thursday),
    (Day::Fri, Weekday::Friday),
    (Day::Sat, Weekday::Saturday),
    (Day::Sun, Weekday::Sunday),
];

fn utc() -> String {
    "UTC".to_owned()
}

impl FloorWindow {
    /// The window as brokers keep it. `index`: its place in the list; `max_shards`: the most that it may ask for.
    pub(super) fn config(&self, index: usize, max_shards: u32) -> Result<floor::FloorWindow, ConfigError> {
        let time = |field, text: &str| {
            let time: Result<TimeOfDay, _> = text.parse();
            time.map_err(|source| ConfigError::FloorTime { index, field, source })
        };
        let shards = u32::try_from(self.shards).ok().filter(|shards| (1..=max_shards).contains(shards));
        let days = WEEK.into_iter().filter(|(day, _)| self.days.is_empty() || self.days.contains(day));
        let window = floor::FloorWindow {
            start: time("start", &self.start)?,
            end: time("end", &self.end)?,
            days: days.map(|(_, weekday)| weekday).collect(),
            time_zone: self.time_zone.clone(),
            shards: shards.ok_or(ConfigError::FloorShards { index, value: self.shards, max_shards })?,
        };
        match floor::is_time_zone(&window.time_zone) {
            true => Ok(window),
            false => {
                let known = floor::time_zones();
                let remedy = match nearest(&window.time_zone, known.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => ZONE_MESSAGE.to_owned(),
                };
                Err(ConfigError::FloorZone { index, window: window.to_string(), remedy })
            }
        }
    }

    /// A window that asks for what this one does.
    pub(super) fn of(window: &floor::FloorWindow) -> FloorWindow {
        let named =
            WEEK.into_iter().filter(|(_, day)| window.days != Days::EVERY && window.days.contains(*day));
        FloorWindow {
            start: window.start.to_string(),
            end: window.end.to_string(),
            days: named.map(|(day, _)| day).collect(),
            time_zone: window.time_zone.clone(),
            shards: i32::try_from(window.shards).unwrap_or(i32::MAX),
        }
    }
}
