//! A log with a column for the transaction of each event: its fences, and what must be so of the column.
//!
//! Its positions may be drawn by earlier transactions than those that use them (CACHE, pooled ids, Marten's Rich mode),
//! so that they say nothing about which event may still come. A snapshot does.

use super::facts::column;
use super::{Foreign, Mapping, Positions, Taken};
use crate::log::fence::of_a_primary;
use crate::log::{Fence, Snapshot};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

const XID: &str = include_str!("xid.sql");

/// What the catalogs say of the column: its type, whether it is never null, whether its default is the transaction, and
/// whether it has an index.
pub(super) async fn column_of(
    mapping: &Mapping,
    name: &str,
    conn: &mut PgConnection,
) -> Result<Option<PgRow>, sqlx::Error> {
    sqlx::query(XID)
        .bind(&mapping.table)
        .bind(column(name))
        .bind(mapping.rows.as_ref().map(|(name, _)| column(name)))
        .fetch_optional(conn)
        .await
}

/// What is against the column of the transactions.
pub(super) async fn of_transactions(
    log: &Foreign,
    name: &str,
    conn: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let table = log.table();
    let Some(found) = column_of(&log.mapping, name, conn).await? else {
        return Ok(vec![format!(
            "it has no column {name} with the transaction of each event: `evenfold source add-xid` adds it, by the \
             table's owner"
        )]);
    };
    let mut against = Vec::new();
    let type_name: String = found.try_get(0)?;
    if type_name != "xid8" {
        return Ok(vec![format!("its column {name} is {type_name} instead of xid8")]);
    }
    if !(found.try_get(1)? && found.try_get(2)?) {
        against.push(format!(
            "its column {name} must be NOT NULL with the default pg_current_xact_id(): the transaction of an event could \
             be another one than that which writes it"
        ));
    }
    if !found.try_get::<bool, _>(3)? {
        against.push(format!(
            "its column {name} has no index, and each look would read the whole table: CREATE INDEX CONCURRENTLY ON \
             {table} ({name})"
        ));
    }
    if log.mapping.version.is_none() {
        against.push(
            "it has no version: where positions are drawn by earlier transactions, that alone has the order of an \
             aggregate's events"
                .to_owned(),
        );
    }
    if against.is_empty() {
        against.extend(from_elsewhere(log, name, conn).await?);
    }
    Ok(against)
}

/// A row that is visible has a transaction that has begun here.
async fn from_elsewhere(log: &Foreign, name: &str, conn: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let sql = format!(
        "SELECT (SELECT t.{name} FROM {} t ORDER BY t.{name} DESC LIMIT 1) >= pg_snapshot_xmax(pg_current_snapshot())",
        log.table()
    );
    let ahead: Option<bool> = sqlx::query_scalar(log.statement(&sql)).fetch_one(conn).await?;
    Ok(ahead.unwrap_or(false).then(|| {
        format!(
            "its column {name} has transactions that this server has not begun: the table was copied or restored from \
             another one; UPDATE {} SET {name} = pg_current_xact_id(), and rebuild what was folded of it",
            log.table()
        )
    }))
}

/// What is visible, by one snapshot.
const NOW: &str = "SELECT coalesce((SELECT t.{position} FROM {table} t ORDER BY t.{position} DESC LIMIT 1), 0),
    pg_current_snapshot()::text, pg_is_in_recovery()";

/// The fence of a row whose last three columns are the highest position, the snapshot, and whether the server recovers.
pub(in crate::log) fn fence_of(row: &PgRow) -> Result<Fence, sqlx::Error> {
    let at = row.len() - 3;
    of_a_primary(row.try_get(at + 2)?)?;
    let snapshot: Snapshot =
        row.try_get::<&str, _>(at + 1)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Fence::of_snapshot(row.try_get(at)?, snapshot))
}

impl Foreign {
    /// Takes a fence by the snapshot of one statement.
    pub(super) async fn fence_by_transactions(
        &self,
        conn: &mut PgConnection,
        seen: &Fence,
    ) -> Result<Taken, sqlx::Error> {
        let fence = self.visible_now(conn).await?;
        Ok(if fence.floor < seen.floor { Taken::Behind(fence.floor) } else { Taken::Whole(fence) })
    }

    /// A fence that shows what is visible now.
    pub(crate) async fn visible_now(&self, conn: &mut PgConnection) -> Result<Fence, sqlx::Error> {
        fence_of(&sqlx::query(self.statement(NOW)).fetch_one(conn).await?)
    }

    /// The column of the transactions, if it has one.
    #[must_use]
    pub fn xid(&self) -> Option<&str> {
        match self.positions() {
            Positions::Xid(column) => Some(column),
            Positions::Sequence(_) | Positions::Serial => None,
        }
    }
}
