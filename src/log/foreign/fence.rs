//! A fence of a log that others write, for whoever is far behind it or has just begun.

use super::missing::{MOST_MISSING, fence_after};
use super::{Foreign, Positions, keep_holders};
use crate::log::Fence;
use crate::log::fence::of_a_primary;
use crate::number::Position;
use sqlx::{PgConnection, Row};
use std::time::{Duration, Instant};

/// Up to so many positions are looked through for gaps at once; for more, it is faster to wait until nobody can fill
/// them any more.
const NEAR: i64 = 10_000;

/// How long those are waited for who may still write a position below the highest that is visible.
const SETTLING: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What came of taking a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It shows all that is visible.
    Whole(Fence),
    /// It would miss more positions than it can name, and ends below the next one.
    Cut(Fence),
    /// The highest position that is visible is below what was seen before: the log has lost something.
    Behind(Position),
}

const GAPS: &str = include_str!("gaps.sql");

impl Foreign {
    /// Takes a fence, for whoever has seen the events of another one. The connection must not be inside a transaction.
    ///
    /// Where there is much between the two, those who may still write something below the highest visible position are
    /// waited for, up to a second: once they have ended nothing is missing. A fence that would miss more than 10,000
    /// positions ends below the next one.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn fence(&self, conn: &mut PgConnection, seen: &Fence) -> Result<Taken, sqlx::Error> {
        if self.xid().is_some() {
            return self.fence_by_transactions(conn, seen).await;
        }
        let sql = "SELECT (SELECT t.{position} FROM {table} t ORDER BY t.{position} DESC LIMIT 1), pg_is_in_recovery()";
        let row = sqlx::query(self.statement(sql)).fetch_one(&mut *conn).await?;
        of_a_primary(row.try_get(1)?)?;
        let top = row.try_get::<Option<Position>, _>(0)?.unwrap_or_default();
        if top < seen.floor {
            return Ok(Taken::Behind(top));
        }
        if *self.positions() == Positions::Serial {
            return Ok(Taken::Whole(Fence::of_positions(top, Vec::new())));
        }
        if top.distance_from(seen.floor) > NEAR && self.settles(&mut *conn).await? {
            // Whatever is visible at or below the highest position by now is all that ever will be.
            return Ok(Taken::Whole(Fence::of_positions(top, Vec::new())));
        }
        let fence = self.with_gaps(conn, seen, top).await?;
        Ok(if fence.floor < top { Taken::Cut(fence) } else { Taken::Whole(fence) })
    }

    /// Whether all who have drawn a position end within a second: those who have drawn one at or below one that was
    /// visible before the call are among them.
    async fn settles(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        let mut left = self.holders(conn).await?;
        while !left.is_empty() {
            if started.elapsed() >= SETTLING {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            keep_holders(&mut left, &self.holders(conn).await?);
        }
        Ok(true)
    }

    async fn with_gaps(&self, conn: &mut PgConnection, seen: &Fence, top: Position) -> Result<Fence, sqlx::Error> {
        // The gaps first. An event that is visible in that statement and lies above the old floor has all earlier ones
        // of its aggregate in it or at positions that were missing, which the second statement sees, as it comes later.
        let gaps = sqlx::query(self.statement(GAPS))
            .bind(seen.floor)
            .bind(top)
            .bind(i64::try_from(MOST_MISSING + 1).unwrap_or(i64::MAX))
            .fetch_all(&mut *conn)
            .await?;
        let mut ranges = Vec::with_capacity(gaps.len());
        for row in &gaps {
            ranges.push((row.try_get(0)?, row.try_get(1)?));
        }
        let found = self.seen_among(conn, seen.missing()).await?;
        Ok(fence_after(seen, top, ranges.into_iter(), &found, MOST_MISSING).0)
    }
}

impl Foreign {
    /// Which of these positions have an event now.
    pub(crate) async fn seen_among(
        &self,
        conn: &mut PgConnection,
        positions: &[Position],
    ) -> Result<Vec<Position>, sqlx::Error> {
        let sql = "SELECT t.{position} FROM {table} t WHERE t.{position} = ANY ($1::bigint[])";
        sqlx::query_scalar(self.statement(sql)).bind(positions).fetch_all(conn).await
    }
}
