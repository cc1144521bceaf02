//! Partitions that write the same rows in different orders wait for each other, until PostgreSQL ends one of them.

use crate::file::{ProjectionFile, Statement};
use sqlx::PgConnection;
use sqlx::error::DatabaseError;

/// From this many on, the partitions of the projection take turns: which makes any SQL right, at the price of one
/// partition at a time.
const TAKE_TURNS_FROM: u32 = 3;

/// How many deadlocks a worker has met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deadlocks(u32);

impl Deadlocks {
    /// Counts one, and says what to do about it: at the first, and when it is done about by the worker.
    pub(crate) fn met(&mut self, file: &ProjectionFile, statement: &Statement) {
        self.0 += 1;
        let advice = "partitions have waited for each other, which PostgreSQL has ended after its deadlock_timeout (1 s): \
                      write rows in the order of their key (ORDER BY)";
        match self.0 {
            1 => tracing::warn!(projection = file.name, "{}", file.flaw(statement.at, advice)),
            TAKE_TURNS_FROM => tracing::warn!(
                projection = file.name,
                "{}",
                file.flaw(statement.at, format!("{advice}; for the {TAKE_TURNS_FROM}rd time: until this worker ends its partition takes turns with others that have met as many"))
            ),
            _ => {}
        }
    }

    /// Waits for its turn, until the transaction ends, if it is one to take.
    pub(crate) async fn take_turns(&self, conn: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
        if self.0 < TAKE_TURNS_FROM {
            return Ok(());
        }
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('evenfold.sql.' || $1, 0))")
            .bind(projection)
            .execute(conn)
            .await
            .map(drop)
    }
}

pub(crate) fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "40P01")
}
