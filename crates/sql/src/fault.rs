//! Whose fault an error of the database is.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// Whose fault an error is, by its SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Of an event: a cast that fails, a constraint, an overflow, RAISE. It parks its aggregate.
    Event,
    /// Of nobody: a lock, a lost connection, memory, a shutdown. It is tried again.
    Nobody,
    /// Of the statement: an unknown column, a missing right. No event is parked for it.
    Statement,
}

/// The classes that are an event's fault, and the one code of another class. In PL/pgSQL: see `isolate.sql`.
pub(crate) const OF_EVENTS: [&str; 6] = ["20", "22", "23", "44", "P0", "54000"];

/// Those that pass.
const PASSING: [&str; 6] = ["08", "40", "53", "55P03", "57", "58"];

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let Some(code) = error.as_database_error().and_then(DatabaseError::code) else { return Self::Nobody };
        let is_in = |codes: &[&str]| codes.iter().any(|one| code.starts_with(one));
        if is_in(&OF_EVENTS) {
            Self::Event
        } else if is_in(&PASSING) {
            Self::Nobody
        } else {
            Self::Statement
        }
    }
}

/// Where in the text that was sent an error is, in characters from 0, if the database says so.
pub(crate) fn offset(error: &sqlx::Error) -> Option<usize> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    match error.position()? {
        sqlx::postgres::PgErrorPosition::Original(position) => position.checked_sub(1),
        sqlx::postgres::PgErrorPosition::Internal { .. } => None,
    }
}

/// The database's own words, with the detail, where there is one: that has the row.
pub(crate) fn message(error: &sqlx::Error) -> String {
    let Some(reported) = error.as_database_error() else { return error.to_string() };
    let detail = reported.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint);
    detail.map_or_else(|| reported.message().to_owned(), |hint| format!("{} ({hint})", reported.message()))
}
