//! When an entry ends: as seconds from now, or as a moment.

use super::error::{ApiError, ErrorCode};
use crate::options::is_ttl;
use crate::{CacheError, Expiry};
use jiff::Timestamp;
use std::time::{Duration, SystemTime};

/// What a moment is like, with `0` for any digit, up to its fraction or its offset.
const PATTERN: &[u8] = b"0000-00-00T00:00:00";

/// What a body says about the end of a value.
pub(super) fn expiry(ttl_sec: Option<f64>, expires_at: Option<&str>) -> Result<Expiry, ApiError> {
    match (ttl_sec, expires_at) {
        (None, None) => Ok(Expiry::Never),
        (Some(seconds), None) => {
            let ttl = Duration::try_from_secs_f64(seconds).ok().filter(|ttl| is_ttl(*ttl));
            ttl.map(Expiry::After).ok_or_else(|| CacheError::TtlOutOfRange.into())
        }
        (None, Some(text)) => Ok(Expiry::At(moment(text)?)),
        (Some(_), Some(_)) => Err(ApiError::new(ErrorCode::InvalidBody, "give ttlSec or expiresAt, not both")),
    }
}

/// The moment that a text of RFC 3339 names.
fn moment(text: &str) -> Result<SystemTime, ApiError> {
    let parsed = text.parse::<Timestamp>().ok().filter(|_| is_rfc_3339(text));
    parsed.map(SystemTime::from).ok_or_else(|| {
        let message = "expiresAt must be a moment in RFC 3339, as in \"2030-01-31T12:00:00Z\"";
        ApiError::new(ErrorCode::InvalidTtl, message)
    })
}

/// jiff reads other ways to write a moment as well, which no other reader of RFC 3339 would.
fn is_rfc_3339(text: &str) -> bool {
    let Some((moment, rest)) = text.as_bytes().split_at_checked(PATTERN.len()) else { return false };
    let like = |(byte, pattern): (&u8, &u8)| match pattern {
        b'0' => byte.is_ascii_digit(),
        other => byte.eq_ignore_ascii_case(other),
    };
    let fraction = rest.strip_prefix(b".");
    let digits = fraction.map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let offset = fraction.map_or(rest, |rest| &rest[digits..]);
    moment.iter().zip(PATTERN).all(like)
        && (fraction.is_none() || digits > 0)
        && match offset {
            [b'Z' | b'z'] => true,
            [b'+' | b'-', rest @ ..] => rest.len() == 5 && rest.iter().zip(b"00:00").all(like),
            _ => false,
        }
}

/// A moment as it is answered: in UTC, to the next millisecond, at which it has passed.
pub(super) fn shown(moment: SystemTime) -> String {
    let since_1970 = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = since_1970.as_nanos().div_ceil(1_000_000);
    let timestamp = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    format!("{:.3}", timestamp.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_TTL, MIN_TTL};
    use proptest::prelude::*;

    fn code<T>(outcome: Result<T, ApiError>) -> Result<T, ErrorCode> {
        outcome.map_err(|error| error.code)
    }

    #[test]
    fn a_time_to_live_and_a_moment_exclude_each_other() {
        let moment = Some("2030-01-31T12:00:00Z");
        assert_eq!(code(expiry(None, None)), Ok(Expiry::Never));
        assert_eq!(code(expiry(Some(0.25), None)), Ok(Expiry::After(Duration::from_millis(250))));
        assert!(matches!(expiry(None, moment), Ok(Expiry::At(_))));
        assert_eq!(code(expiry(Some(1.0), moment)), Err(ErrorCode::InvalidBody));
    }

    #[test]
    fn a_time_to_live_is_from_a_millisecond_to_ten_years() {
        let ttl = |seconds| code(expiry(Some(seconds), None));
        assert_eq!((ttl(0.001), ttl(315_360_000.0)), (Ok(Expiry::After(MIN_TTL)), Ok(Expiry::After(MAX_TTL))));
        for wrong in [-1.0, 0.0, 0.000_99, 315_360_000.1, 1e300, f64::NAN] {
            assert_eq!(ttl(wrong), Err(ErrorCode::InvalidTtl), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_written_as_rfc_3339_has_it() {
        for (text, shown_as) in [
            ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00.000Z"),
            ("2030-01-31t12:00:00.5z", "2030-01-31T12:00:00.500Z"),
            ("2030-01-31T13:30:00+01:30", "2030-01-31T12:00:00.000Z"),
            ("2030-01-31T11:00:00.0000001-01:00", "2030-01-31T12:00:00.001Z"),
            ("2028-02-29T23:59:59.999Z", "2028-02-29T23:59:59.999Z"),
        ] {
            assert_eq!(code(moment(text)).map(shown).as_deref(), Ok(shown_as), "{text}");
        }
        for wrong in [
            "",
            "2030-01-31",
            "2030-01-31T12:00Z",
            "2030-01-31T12:00:00",
            "2030-01-31 12:00:00Z",
            "2030-01-31T12:00:00.Z",
            "2030-01-31T12:00:00,5Z",
            "2030-01-31T12:00:00+01",
            "2030-01-31T12:00:00+0100",
            "2030-01-31T12:00:00Z[UTC]",
            "2030-02-29T12:00:00Z",
            "2030-01-31T25:00:00Z",
            "20300131T120000Z",
            "1893456000",
            "tomorrow",
        ] {
            assert_eq!(code(moment(wrong)), Err(ErrorCode::InvalidTtl), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_that_is_answered_can_be_sent_again(millis in 0_u64..10_000_000_000_000) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            prop_assert_eq!(code(moment(&shown(time))), Ok(time));
        }
    }
}
