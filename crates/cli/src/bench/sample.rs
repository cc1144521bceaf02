//! The log that is folded: written by COPY, many times faster than it could be appended.

use super::arena::Arena;
use crate::config::UsageError;
use crate::progress::bar;
use evenfold::counters::{self, NAME, mismatches, totals};
use evenfold::hash::IdHash;
use evenfold::schema::Schema;
use evenfold::{checkpoint, counter::AmountPointer};
use sqlx::{Connection, PgConnection};
use std::fmt::Write;

/// Events of one transaction.
const TRANSACTION: u64 = 10_000;

/// How large a log is.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub events: u64,
    /// No more than events; each has one event more than another at most.
    pub aggregates: u64,
}

impl Sample {
    pub fn check_size(self) -> Result<(), UsageError> {
        let Self { events, aggregates } = self;
        if aggregates <= events {
            return Ok(());
        }
        Err(UsageError(format!("--aggregates must be at most --events, and {aggregates} is above {events}")))
    }

    /// Writes the log, and has PostgreSQL do what it would do by and by: vacuum it, and gather statistics.
    pub async fn write(self, arena: &Arena) -> anyhow::Result<()> {
        self.write_from(arena, 0).await
    }

    /// Writes the rest of a log that has so many of its events already.
    pub async fn write_from(self, arena: &Arena, present: u64) -> anyhow::Result<()> {
        let bar = bar("filling", self.events);
        let mut conn = arena.database.connect().await?;
        let mut random = fastrand::Rng::new();
        let mut order: Vec<u64> = Vec::new();
        let mut lines = String::new();
        for number in present..self.events {
            // Each aggregate once, in another order each time: events of one are far apart, as they come in life.
            let (round, place) = (number / self.aggregates, number % self.aggregates);
            if place == 0 || order.is_empty() {
                random.seed(round);
                order = (0..self.aggregates).collect();
                random.shuffle(&mut order);
            }
            let aggregate = order.get(usize::try_from(place)?).copied().unwrap_or_default();
            line(&mut lines, aggregate, round + 1, number, random.i64(-5..=10))?;
            if (number + 1).is_multiple_of(TRANSACTION) || number + 1 == self.events {
                copy(arena.database.schema(), &mut conn, &lines).await?;
                lines.clear();
                bar.set_position(number + 1);
            }
        }
        sqlx::raw_sql(arena.database.schema().sql("VACUUM ANALYZE evenfold.events")).execute(&mut conn).await?;
        bar.finish_and_clear();
        Ok(())
    }

    /// How many events of a sample of so many aggregates the log has: whole transactions of it were written, in order.
    pub async fn written(own: &Schema, conn: &mut PgConnection, aggregates: u64) -> anyhow::Result<u64> {
        let written = "SELECT coalesce(sum(version), 0)::bigint
            FROM generate_series(0, $1 - 1) n
            CROSS JOIN LATERAL (
                SELECT version FROM evenfold.events
                WHERE aggregate_type = 'counter' AND aggregate_id = 'counter-' || lpad(n::text, 8, '0')
                ORDER BY version DESC LIMIT 1
            ) e";
        let events: i64 = sqlx::query_scalar(own.sql(written)).bind(i64::try_from(aggregates)?).fetch_one(conn).await?;
        Ok(events.unsigned_abs())
    }

    /// Fails unless the counters are what the log says, all of it.
    pub async fn check(self, own: &Schema, conn: &mut PgConnection, pointer: &AmountPointer) -> anyhow::Result<()> {
        let (counters, events) = totals(own, conn).await?;
        let complete = (counters.unsigned_abs(), events.unsigned_abs()) == (self.aggregates, self.events);
        anyhow::ensure!(
            complete && mismatches(own, conn, pointer, 1).await?.is_empty(),
            "the counters that were measured do not agree with the log: this is a mistake in evenfold, please report it"
        );
        Ok(())
    }
}

/// An event as `evenfold generate` writes it, as a line for COPY: nothing in it needs escaping.
fn line(lines: &mut String, aggregate: u64, version: u64, number: u64, amount: i64) -> std::fmt::Result {
    let id = format!("counter-{aggregate:08}");
    let hash = IdHash::of(&id);
    let event_type = if amount < 0 { "decremented" } else { "incremented" };
    write!(lines, "{version}\t{hash}\tcounter\t{id}\t{event_type}\t")?;
    writeln!(lines, r#"{{"amount":{amount},"source":"generate","note":"sample {number}"}}"#)
}

async fn copy(own: &Schema, conn: &mut PgConnection, lines: &str) -> Result<(), sqlx::Error> {
    let columns = "COPY evenfold.events (version, hash, aggregate_type, aggregate_id, event_type, payload) FROM STDIN";
    let mut into = conn.copy_in_raw(own.sql(columns).as_str()).await?;
    into.send(lines.as_bytes()).await?;
    into.finish().await?;
    Ok(())
}

/// Empties the counters, so that the next worker begins at the start.
pub async fn start_over(own: &Schema, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    counters::empty(own, &mut tx).await?;
    checkpoint::start_over(own, &mut tx, NAME).await?;
    tx.commit().await?;
    settle(conn).await
}

/// Has the server write what it would otherwise write in the middle of the next measurement. Not every user may ask
/// for it, and the figures are good without, if less even.
pub async fn settle(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    match sqlx::raw_sql("CHECKPOINT").execute(conn).await {
        Err(error) if error.as_database_error().is_none() => Err(error),
        _ => Ok(()),
    }
}
