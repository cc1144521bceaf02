//! Copying the log, in the order of its positions, from one snapshot: so the events of an aggregate come with no gap.

use evenfold::database::Database;
use futures_util::TryStreamExt;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often events are appended while the log is replayed.
const TICK: Duration = Duration::from_millis(50);

const INTO: &str =
    "COPY evenfold.events (version, hash, recorded_at, event_id, aggregate_type, aggregate_id, event_type,
    payload, metadata) FROM STDIN (FORMAT binary)";

/// The events of a log, as they were when this was opened.
pub(super) struct Source {
    database: Database,
    conn: PgConnection,
    after: i64,
}

impl Source {
    pub(super) async fn open(database: &Database) -> anyhow::Result<Self> {
        let mut conn = database.connect().await?;
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut conn).await?;
        Ok(Self { database: database.clone(), conn, after: 0 })
    }

    /// Copies the next events, so many at most, in one transaction; gives how many these were.
    pub(super) async fn copy(&mut self, into: &Database, events: u64) -> anyhow::Result<u64> {
        let own = self.database.schema();
        let last: Option<i64> = sqlx::query_scalar(own.sql(
            "SELECT max(position) FROM (
                 SELECT position FROM evenfold.events WHERE position > $1 ORDER BY position LIMIT $2
             ) e",
        ))
        .bind(self.after)
        .bind(i64::try_from(events)?)
        .fetch_one(&mut self.conn)
        .await?;
        let Some(last) = last else { return Ok(0) };
        // COPY takes no parameters; both are numbers.
        let from = format!(
            "COPY (SELECT version, hash, recorded_at, event_id, aggregate_type, aggregate_id, event_type, payload, metadata
                   FROM evenfold.events WHERE position > {} AND position <= {last} ORDER BY position)
             TO STDOUT (FORMAT binary)",
            self.after
        );
        let mut target = into.connect().await?;
        let mut rows = self.conn.copy_out_raw(own.sql(from).as_str()).await?;
        let mut copying = target.copy_in_raw(into.schema().sql(INTO).as_str()).await?;
        while let Some(chunk) = rows.try_next().await? {
            copying.send(chunk).await?;
        }
        let copied = copying.finish().await?;
        drop(rows);
        target.close().await?;
        self.after = last;
        Ok(copied)
    }

    /// Appends so many per second until it is to stop, or nothing is left; gives how many these were.
    pub(super) async fn replay(
        mut self,
        into: &Database,
        per_second: u64,
        stop: &CancellationToken,
        appended: impl Fn(u64),
    ) -> anyhow::Result<u64> {
        let (started, mut total) = (Instant::now(), 0);
        while !stop.is_cancelled() {
            let due = started.elapsed().as_millis() * u128::from(per_second) / 1_000;
            let due = u64::try_from(due)?.saturating_sub(total);
            if due > 0 {
                let copied = self.copy(into, due).await?;
                if copied == 0 {
                    break;
                }
                total += copied;
                appended(total);
            }
            let _ = stop.run_until_cancelled(tokio::time::sleep(TICK)).await;
        }
        Ok(total)
    }
}
