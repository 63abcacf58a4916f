//! When certificates are replaced.

use std::time::Duration;

/// A certificate is valid this long before its epoch begins, for clocks that are behind.
const EARLY: Duration = Duration::from_secs(86_400);
/// A certificate outlives its epoch by two more, so that an operator may be away for that long.
const VALID_PERIODS: u64 = 3;

/// A stretch of time with certificates of its own. Times are in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub(crate) start_s: u64,
    pub(crate) period_s: u64,
}

impl Epoch {
    /// The epoch that this time lies in. A period of less than a second counts as one.
    pub fn at(now_s: u64, period: Duration) -> Epoch {
        let period_s = period.as_secs().max(1);
        Epoch { start_s: now_s - now_s % period_s, period_s }
    }

    /// When the next epoch begins, in seconds since 1970: time to issue again.
    pub fn next_rotation(&self) -> u64 {
        self.start_s.saturating_add(self.period_s)
    }

    /// From when its certificates are valid, in seconds since 1970.
    pub fn not_before(&self) -> u64 {
        self.start_s.saturating_sub(EARLY.as_secs())
    }

    /// Until when its certificates are valid, in seconds since 1970.
    pub fn not_after(&self) -> u64 {
        self.start_s.saturating_add(self.period_s.saturating_mul(VALID_PERIODS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn an_epoch_lasts_until_the_next_rotation() {
        let now = 1_700_000_000;
        let epoch = Epoch::at(now, 30 * DAY);
        let next = epoch.next_rotation();
        assert!(next > now);
        assert_eq!(Epoch::at(next - 1, 30 * DAY), epoch);
        assert_eq!(Epoch::at(next, 30 * DAY).start_s, next);
    }

    #[test]
    fn certificates_are_valid_from_a_day_before_their_epoch_until_two_periods_after_it() {
        let epoch = Epoch::at(1_700_000_000, 30 * DAY);
        assert_eq!(epoch.not_before(), epoch.start_s - 86_400);
        assert_eq!(epoch.not_after(), epoch.next_rotation() + 60 * 86_400);
    }

    #[test]
    fn no_time_and_no_period_is_too_much() {
        for now in [0, 1, u64::MAX] {
            for period in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
                let epoch = Epoch::at(now, period);
                assert!(epoch.not_before() <= now && epoch.not_after() >= epoch.start_s, "{epoch:?}");
            }
        }
    }
}
