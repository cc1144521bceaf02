//! The numbers by which the log and the checkpoints order things, each a type of its own: none is taken for another.

use serde::{Deserialize, Serialize};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// This number, as PostgreSQL's `bigint` has it.
            #[must_use]
            pub const fn new(number: i64) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }

        impl From<i64> for $name {
            fn from(number: i64) -> Self {
                Self(number)
            }
        }

        /// So that a test, or a sentence, can compare it with a number.
        impl PartialEq<i64> for $name {
            fn eq(&self, other: &i64) -> bool {
                self.0 == *other
            }
        }

        impl Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                <i64 as Type<Postgres>>::type_info()
            }

            fn compatible(found: &PgTypeInfo) -> bool {
                <i64 as Type<Postgres>>::compatible(found)
            }
        }

        impl PgHasArrayType for $name {
            fn array_type_info() -> PgTypeInfo {
                <i64 as PgHasArrayType>::array_type_info()
            }
        }

        impl Encode<'_, Postgres> for $name {
            fn encode_by_ref(&self, into: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                <i64 as Encode<'_, Postgres>>::encode_by_ref(&self.0, into)
            }
        }

        impl<'r> Decode<'r, Postgres> for $name {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                <i64 as Decode<'r, Postgres>>::decode(value).map(Self)
            }
        }
    };
}

number! {
    /// An event's place in the log: unique, with gaps, and not in the order in which transactions commit. 0 is before
    /// all.
    Position
}

number! {
    /// An event's place in its aggregate: 1, 2, 3 …; the version of an aggregate is that of its last event, and 0
    /// without one.
    Version
}

number! {
    /// Which writing of a checkpoint this is: each commit has a greater one, and moves a checkpoint that still has the
    /// one that it has read, and no other.
    Revision
}

impl Position {
    /// Before all events.
    pub const START: Self = Self(0);

    /// How many places of the log are from the other one to this one, whether an event is at them or not.
    #[must_use]
    pub const fn distance_from(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl Version {
    /// That of an aggregate without events.
    pub const NONE: Self = Self(0);

    /// That of the next event. The greatest version has none: what follows it is a version that no event has.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}
