//! When an event was recorded, as PostgreSQL has it.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use std::time::{Duration, SystemTime};

/// Microseconds from the beginning of 2000; the least and the greatest number are the infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(i64);

/// From the beginning of 1970 to that of 2000.
const EPOCHS_APART: Duration = Duration::from_hours(10_957 * 24);

/// PostgreSQL has the times from 4714-11-24 BC up to the end of 294276.
const TIMES: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// `timestamptz` and its array, whose numbers are fixed.
const OID: Oid = Oid(1184);
const ARRAY_OID: Oid = Oid(1185);

impl Timestamp {
    /// None where PostgreSQL has no such time. What is below a microsecond is cut off.
    pub(super) fn of(time: SystemTime) -> Option<Self> {
        let year_2000 = SystemTime::UNIX_EPOCH + EPOCHS_APART;
        let micros = match time.duration_since(year_2000) {
            Ok(after) => i64::try_from(after.as_micros()).ok()?,
            Err(before) => -i64::try_from(before.duration().as_micros()).ok()?,
        };
        TIMES.contains(&micros).then_some(Self(micros))
    }

    /// The beginning of 2000.
    pub(super) const YEAR_2000: Self = Self(0);

    pub(super) fn time(self) -> SystemTime {
        let distance = Duration::from_micros(self.0.unsigned_abs());
        let year_2000 = SystemTime::UNIX_EPOCH + EPOCHS_APART;
        if self.0 < 0 { year_2000 - distance } else { year_2000 + distance }
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(OID)
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(ARRAY_OID)
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, into: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'_, Postgres>>::encode_by_ref(&self.0, into)
    }
}

impl<'r> Decode<'r, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <i64 as Decode<'r, Postgres>>::decode(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_to_the_microsecond_and_refused_where_postgresql_has_none() {
        for seconds in [0, 1, 951_782_399, 4_102_444_800] {
            for time in [
                SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_000),
                SystemTime::UNIX_EPOCH - Duration::new(seconds, 123_456_000),
            ] {
                assert_eq!(Timestamp::of(time).map(Timestamp::time), Some(time));
            }
        }
        let far = Duration::from_hours(24 * 366 * 300_000);
        assert_eq!(Timestamp::of(SystemTime::UNIX_EPOCH + far), None);
        assert_eq!(Timestamp::of(SystemTime::UNIX_EPOCH - far), None);
    }
}
