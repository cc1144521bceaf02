//! Who holds the lock of the sequence that a log's positions come from: whoever has drawn one and has not ended.

use super::{Foreign, Positions};
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::BTreeSet;

/// A transaction that holds it, by the name that PostgreSQL gives it, which stays the same when it is prepared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(String);

impl Holder {
    /// A holder by its name.
    #[must_use]
    pub fn named(virtual_transaction: &str) -> Self {
        Self(virtual_transaction.to_owned())
    }

    /// Whether it was prepared, and renamed by a restart of the server.
    fn is_prepared(&self) -> bool {
        self.0.starts_with("-1/")
    }
}

/// Of those who had the lock at a moment, leaves those who may have it still, given who has it now.
pub fn keep_holders(before: &mut BTreeSet<Holder>, now: &BTreeSet<Holder>) {
    let had = before.len();
    before.retain(|holder| now.contains(holder));
    if before.len() < had {
        // A prepared transaction is called otherwise after a restart of the server: whoever has gone may have become
        // any of them.
        before.extend(now.iter().filter(|holder| holder.is_prepared()).cloned());
    }
}

/// Everything that nextval takes, and nothing that a mere reader takes.
const HOLDERS: &str = "SELECT virtualtransaction, pid FROM pg_locks
WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation = $1::regclass AND granted AND mode NOT IN ('AccessShareLock', 'RowShareLock')
  AND pid IS DISTINCT FROM pg_backend_pid()";

impl Foreign {
    /// Who may have drawn a position and not have ended, as of a moment during the call.
    pub(crate) async fn holders(&self, conn: &mut PgConnection) -> Result<BTreeSet<Holder>, sqlx::Error> {
        let Positions::Sequence(sequence) = self.positions() else { return Ok(BTreeSet::new()) };
        let names: Vec<String> = sqlx::query_scalar(HOLDERS).bind(sequence).fetch_all(conn).await?;
        Ok(names.into_iter().map(Holder).collect())
    }

    /// The processes that may have drawn a position and not have ended, for a sentence; a prepared transaction has
    /// none.
    pub(crate) async fn holding_processes(&self, conn: &mut PgConnection) -> Result<Vec<i32>, sqlx::Error> {
        let Positions::Sequence(sequence) = self.positions() else { return Ok(Vec::new()) };
        let sql = format!("SELECT DISTINCT pid FROM ({HOLDERS}) AS h WHERE pid IS NOT NULL ORDER BY pid");
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(sequence).fetch_all(conn).await
    }
}
