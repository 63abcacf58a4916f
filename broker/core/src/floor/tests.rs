use super::*;
use proptest::prelude::*;

const HOUR_MS: i64 = 3_600_000;

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_millisecond()
}

/// `Mon-Fri 08:00-18:00 Europe/Berlin`
fn window(text: &str) -> FloorWindow {
    let [days, times, zone] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let (start, end) = times.split_once('-').expect("two times");
    FloorWindow {
        start: start.parse().expect("a time"),
        end: end.parse().expect("a time"),
        days: days.parse().expect("days"),
        time_zone: zone.to_owned(),
        shards: 20,
    }
}

/// The time that a window is on at `now` or next, as `from/to`.
fn next(text: &str, now: &str) -> String {
    let Span { start_ms, end_ms } = window(text).next(ms(now)).expect("it comes back");
    let shown = |ms| Timestamp::from_millisecond(ms).expect("a time").strftime("%m-%dT%H:%MZ").to_string();
    format!("{}/{}", shown(start_ms), shown(end_ms))
}

#[test]
fn a_window_is_on_from_its_start_to_before_its_end() {
    let daily = "Mon-Sun 08:00-18:00 UTC";
    assert_eq!(next(daily, "2026-03-02T07:59:59.999Z"), "03-02T08:00Z/03-02T18:00Z");
    assert_eq!(next(daily, "2026-03-02T17:59:59.999Z"), "03-02T08:00Z/03-02T18:00Z");
    assert_eq!(next(daily, "2026-03-02T18:00:00Z"), "03-03T08:00Z/03-03T18:00Z");
    assert_eq!(
        next("Mon-Sun 08:00-18:00 Europe/Berlin", "2026-03-02T08:00:00Z"),
        "03-02T07:00Z/03-02T17:00Z"
    );
}

#[test]
fn only_days_that_are_named_have_it() {
    // The 6th of March 2026 is a Friday.
    let workdays = "Mon-Fri 08:00-18:00 UTC";
    assert_eq!(next(workdays, "2026-03-06T18:00:00Z"), "03-09T08:00Z/03-09T18:00Z");
    assert_eq!(next("Fri 08:00-18:00 UTC", "2026-03-06T18:00:00Z"), "03-13T08:00Z/03-13T18:00Z");
    let never = FloorWindow { days: Days::default(), ..window(workdays) };
    assert_eq!(never.next(ms("2026-03-06T12:00:00Z")), None);
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
    let friday_night = "Fri 22:00-02:00 UTC";
    assert_eq!(next(friday_night, "2026-03-07T01:59:00Z"), "03-06T22:00Z/03-07T02:00Z");
    assert_eq!(next(friday_night, "2026-03-06T01:00:00Z"), "03-06T22:00Z/03-07T02:00Z");
    assert_eq!(next("Sat 00:00-00:00 UTC", "2026-03-07T23:59:00Z"), "03-07T00:00Z/03-08T00:00Z");
    assert_eq!(next("Mon-Sun 08:00-08:00 UTC", "2026-03-07T07:00:00Z"), "03-06T08:00Z/03-07T08:00Z");
}

#[test]
fn a_window_keeps_its_wall_clock_over_changes_of_it() {
    let morning = "Mon-Sun 08:00-18:00 Europe/Berlin";
    assert_eq!(next(morning, "2026-03-28T12:00:00Z"), "03-28T07:00Z/03-28T17:00Z");
    assert_eq!(next(morning, "2026-03-29T12:00:00Z"), "03-29T06:00Z/03-29T16:00Z");
    // Over the night of the change it is an hour shorter, and an hour longer in autumn.
    let night = "Mon-Sun 22:00-06:00 Europe/Berlin";
    assert_eq!(next(night, "2026-03-29T00:00:00Z"), "03-28T21:00Z/03-29T04:00Z");
    assert_eq!(next(night, "2026-10-25T00:00:00Z"), "10-24T20:00Z/10-25T05:00Z");
}

#[test]
fn times_that_the_clock_skips_or_shows_twice_are_taken_so_that_no_peak_is_missed() {
    // On the 29th of March 2026 the clock goes from 02:00 to 03:00, which is 01:00 UTC …
    assert_eq!(next("Sun 02:30-04:00 Europe/Berlin", "2026-03-29T00:00:00Z"), "03-29T00:30Z/03-29T02:00Z");
    assert_eq!(next("Sun 01:00-02:30 Europe/Berlin", "2026-03-29T00:00:00Z"), "03-29T00:00Z/03-29T01:30Z");
    assert_eq!(next("Sun 02:15-02:45 Europe/Berlin", "2026-03-29T00:00:00Z"), "03-29T00:15Z/03-29T01:45Z");
    // … and on the 25th of October from 03:00 back to 02:00.
    assert_eq!(next("Sun 02:30-04:00 Europe/Berlin", "2026-10-25T00:00:00Z"), "10-25T00:30Z/10-25T03:00Z");
    assert_eq!(next("Sun 01:00-02:30 Europe/Berlin", "2026-10-25T00:00:00Z"), "10-24T23:00Z/10-25T01:30Z");
}

#[test]
fn zones_are_there_without_any_files_and_unknown_ones_ask_for_nothing() {
    for name in ["UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia", "Etc/GMT+5", "Asia/Kathmandu"] {
        assert!(is_time_zone(name), "{name}");
    }
    for name in ["", "Europe/Berln", "Mars/Olympus", "../etc/passwd", "Etc/Unknown", "+02:00"] {
        assert!(!is_time_zone(name), "{name}");
    }
    assert!(time_zones().len() > 500);
    assert_eq!(window("Mon 08:00-18:00 Mars/Olympus").next(0), None);
}

#[test]
fn a_window_reads_as_it_is_written_and_tells_its_own_clock() {
    assert_eq!(window("Mon-Fri 08:00-18:00 Europe/Berlin").to_string(), "Mon-Fri 08:00-18:00 Europe/Berlin");
    assert_eq!(window("Mon-Sun 00:05-23:59 UTC").to_string(), "00:05-23:59 UTC");
    assert_eq!(
        window("Mon 08:00-18:00 Asia/Kathmandu").clock(ms("2026-03-02T18:30:00Z")),
        "2026-03-03 00:15"
    );
}

#[test]
fn texts_that_are_no_times_or_days_are_refused_in_a_sentence() {
    for bad in ["24:00", "08:60", "8:00", "08:0", "0800", "", "+8:00", "08:00:00"] {
        let said = bad.parse::<TimeOfDay>().expect_err(bad).to_string();
        assert_eq!(said, format!("{bad:?} is no time of day: write hours and minutes, such as 08:00"));
    }
    for bad in ["", "mon", "Mon-", "Mon,", "Monday", "Mon-Fri-Sun"] {
        assert!(bad.parse::<Days>().expect_err(bad).to_string().contains("write Mon, Tue"), "{bad}");
    }
    assert_eq!("Sat-Mon".parse::<Days>().expect("days").to_string(), "Mon,Sat-Sun");
}

fn times() -> impl Strategy<Value = TimeOfDay> {
    (0..MINUTES_A_DAY).prop_map(TimeOfDay)
}

/// Zones whose clocks change by an hour, by half of one, at midnight, a minute after it, and by a whole day.
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "America/St_Johns", "Pacific/Apia"];

fn windows() -> impl Strategy<Value = FloorWindow> {
    (times(), times(), 1u8..=0x7f, prop::sample::select(&ZONES)).prop_map(|(start, end, days, zone)| {
        FloorWindow { start, end, days: Days(days), time_zone: zone.to_owned(), shards: 9 }
    })
}

/// Whether the clock shows a time within the window.
fn shows(window: &FloorWindow, at_ms: i64) -> bool {
    let zone = zone(&window.time_zone).expect("a zone");
    let now = zone.to_datetime(Timestamp::from_millisecond(at_ms).expect("a time"));
    let minute = TimeOfDay((now.hour() as u16) * 60 + now.minute() as u16);
    let today = window.days.contains(now.weekday());
    let yesterday = window.days.contains(now.weekday().previous());
    match window.start < window.end {
        true => today && (window.start..window.end).contains(&minute),
        false => (today && minute >= window.start) || (yesterday && minute < window.end),
    }
}

proptest! {
    #[test]
    fn a_window_is_on_whenever_its_clock_shows_it(
        window in windows(), now_ms in ms("2004-01-01T00:00:00Z")..ms("2040-01-01T00:00:00Z")
    ) {
        let span = window.next(now_ms).expect("it comes back");
        prop_assert!(span.start_ms < span.end_ms && now_ms < span.end_ms, "{span:?}");
        prop_assert!(span.start_ms - now_ms < 8 * 24 * HOUR_MS, "{span:?}");
        let is_on = span.start_ms <= now_ms;
        prop_assert!(is_on || !shows(&window, now_ms), "{span:?}");
        if window.time_zone == "UTC" {
            prop_assert_eq!(is_on, shows(&window, now_ms));
        }
    }

    #[test]
    fn the_next_time_stays_the_next_until_it_is_over(
        window in windows(), now_ms in ms("2004-01-01T00:00:00Z")..ms("2040-01-01T00:00:00Z"), part in 0.0f64..1.0
    ) {
        let span = window.next(now_ms).expect("it comes back");
        let later_ms = now_ms + ((span.end_ms - now_ms - 1) as f64 * part) as i64;
        prop_assert_eq!(window.next(later_ms), Some(span));
    }

    #[test]
    fn days_and_times_are_read_as_they_are_written(days in 1u8..=0x7f, time in times()) {
        prop_assert_eq!(Days(days).to_string().parse(), Ok(Days(days)));
        prop_assert_eq!(Days(days).iter().collect::<Days>(), Days(days));
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }
}
