//! When a request was signed: `X-Amz-Date`.

use http::request::Parts;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::MAX_SKEW_MS;
use super::error::AuthError;
use super::presigned::Presigned;

/// A request's time, as its signature covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedAt {
    /// `YYYYMMDDTHHMMSSZ`, as it stands in the request.
    pub(super) text: String,
    /// The same in Unix milliseconds.
    at_ms: i64,
}

impl SignedAt {
    /// The one `X-Amz-Date` of a request.
    pub(super) fn of(head: &Parts, presigned: Option<&Presigned>) -> Result<SignedAt, AuthError> {
        let malformed = || {
            AuthError::incomplete("Date must be in ISO-8601 'basic format': X-Amz-Date: YYYYMMDDTHHMMSSZ.")
        };
        if let Some(presigned) = presigned {
            return SignedAt::parse(&presigned.date).ok_or_else(malformed);
        }
        let mut values = head.headers.get_all("x-amz-date").iter();
        let (value, None) = (values.next(), values.next()) else {
            return Err(AuthError::incomplete("The request has more than one X-Amz-Date header."));
        };
        let value = value.ok_or_else(|| {
            AuthError::incomplete("Authorization header requires existence of a 'X-Amz-Date' header.")
        })?;
        let parsed = value.to_str().ok().and_then(SignedAt::parse);
        parsed.ok_or_else(malformed)
    }

    fn parse(text: &str) -> Option<SignedAt> {
        let form = b"ddddddddTddddddZ";
        let fits = |(byte, form): (u8, &u8)| match form {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        };
        if text.len() != form.len() || !text.bytes().zip(form).all(fits) {
            return None;
        }
        let part = |from: usize, to: usize| text[from..to].parse::<i16>().ok();
        let small = |from: usize| i8::try_from(part(from, from + 2)?).ok();
        let civil =
            DateTime::new(part(0, 4)?, small(4)?, small(6)?, small(9)?, small(11)?, small(13)?, 0).ok()?;
        let at_ms = TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond();
        Some(SignedAt { text: text.to_owned(), at_ms })
    }

    /// `YYYYMMDD`.
    pub(super) fn date(&self) -> &str {
        &self.text[..8]
    }

    /// Whether the request was signed at most a quarter of an hour from now, and is still good if it was presigned
    /// for less.
    pub(super) fn check_skew(&self, now_ms: i64, presigned: Option<&Presigned>) -> Result<(), AuthError> {
        let good_for_s = presigned.map(|presigned| presigned.expires_s).filter(|s| s * 1_000 < MAX_SKEW_MS);
        let good_for_ms = good_for_s.map_or(MAX_SKEW_MS, |s| s * 1_000);
        if self.at_ms < now_ms - good_for_ms {
            return Err(AuthError::invalid(format!(
                "Signature expired: {} is now earlier than {} ({} - {}.)",
                self.text,
                basic_format(now_ms - good_for_ms),
                basic_format(now_ms),
                good_for_s.map_or("15 min".to_owned(), |s| format!("{s} s")),
            )));
        }
        if self.at_ms > now_ms + MAX_SKEW_MS {
            return Err(AuthError::invalid(format!(
                "Signature not yet current: {} is still later than {} ({} + 15 min.)",
                self.text,
                basic_format(now_ms + MAX_SKEW_MS),
                basic_format(now_ms),
            )));
        }
        Ok(())
    }
}

fn basic_format(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_one_form_only() {
        let at = SignedAt::parse("20150830T123600Z").unwrap();
        assert_eq!(at.at_ms, 1_440_938_160_000);
        assert_eq!(at.date(), "20150830");
        for bad in [
            "",
            "20150830T123600",
            "2015-08-30T12:36:00Z",
            "20150230T123600Z",
            "20150830T246000Z",
            "+0150830T123600Z",
        ] {
            assert_eq!(SignedAt::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_quarter_of_an_hour_of_skew_is_taken_and_no_more() {
        let at = SignedAt::parse("20150830T123600Z").unwrap();
        assert_eq!(at.check_skew(at.at_ms + MAX_SKEW_MS, None), Ok(()));
        assert_eq!(at.check_skew(at.at_ms - MAX_SKEW_MS, None), Ok(()));
        let expired = at.check_skew(at.at_ms + MAX_SKEW_MS + 1_000, None).unwrap_err();
        let text = "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z \
                    (20150830T125101Z - 15 min.)";
        assert_eq!(expired, AuthError::invalid(text));
        let early = at.check_skew(at.at_ms - MAX_SKEW_MS - 1_000, None).unwrap_err();
        let text = "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z \
                    (20150830T122059Z + 15 min.)";
        assert_eq!(early, AuthError::invalid(text));
    }
}
