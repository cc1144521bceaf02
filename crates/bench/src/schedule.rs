//! When each event of a load is due, and the writers that keep to it.

use evenfold::event::NewEvent;
use evenfold::log::Log;
use evenfold::schema::Schema;
use evenfold_cli::bench::arena::Arena;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Connections that append in turn: one alone could not keep up with a thousand commits per second.
const WRITERS: usize = 8;

/// Aggregates of each writer.
const AGGREGATES: usize = 100;

/// Pauses of a load that lets everything fall idle, in milliseconds: long enough for whatever backs off to do so.
const PAUSES: std::ops::RangeInclusive<u64> = 100..=500;

/// How much of the rate that was wanted is enough.
const ENOUGH: f64 = 0.95;

/// Moments since the start, in order.
#[derive(Debug, Clone)]
pub(super) struct Schedule(Vec<Duration>);

/// An event that was appended: its position, and when the commit was acknowledged.
pub(super) type Acked = (i64, Instant);

/// What events are written into.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    /// evenfold's own log.
    Own(Log),
    /// A table of others, by this statement, which is given the aggregate and the version, and returns the position.
    Table(String),
}

impl Schedule {
    /// So many per second, evenly.
    pub(super) fn steady(rate: u64, seconds: u64) -> Self {
        Self((0..rate * seconds).map(|number| Duration::from_nanos(number * 1_000_000_000 / rate)).collect())
    }

    /// One after the other with a pause before each, at random.
    pub(super) fn sparse(seconds: u64) -> Self {
        let mut due = Duration::ZERO;
        let pauses = std::iter::repeat_with(|| Duration::from_millis(fastrand::u64(PAUSES)));
        let moments = pauses.map(|pause| {
            due += pause;
            due
        });
        Self(moments.take_while(|due| *due <= Duration::from_secs(seconds)).collect())
    }

    /// Appends an event at each moment, each a transaction of its own.
    pub(super) async fn append(&self, arena: &Arena, into: &Destination) -> anyhow::Result<Vec<Acked>> {
        // Other aggregates than those of an earlier load, of which a table of others knows the versions.
        let load = fastrand::u32(..);
        let mut conns = Vec::new();
        for writer in 0..WRITERS {
            let mut conn = arena.database.connect().await?;
            // Prepares the statement.
            into.append_one(&mut conn, (load, writer), 0).await?;
            conns.push(conn);
        }
        let started = Instant::now();
        let mut writers = JoinSet::new();
        for (writer, mut conn) in conns.into_iter().enumerate() {
            let own: Vec<Duration> = self.0.iter().skip(writer).step_by(WRITERS).copied().collect();
            let into = into.clone();
            writers.spawn(async move {
                let mut acked = Vec::with_capacity(own.len());
                for (number, due) in (1..).zip(own) {
                    tokio::time::sleep_until((started + due).into()).await;
                    acked.push(into.append_one(&mut conn, (load, writer), number).await?);
                }
                Ok::<_, anyhow::Error>(acked)
            });
        }
        let mut acked = Vec::with_capacity(self.0.len());
        while let Some(written) = writers.join_next().await {
            acked.append(&mut written??);
        }
        self.kept(started.elapsed(), "events");
        Ok(acked)
    }

    /// Inserts a row into a small table at each moment, each a transaction of its own, and gives how long each took, in
    /// milliseconds.
    pub(super) async fn insert(&self, arena: &Arena) -> anyhow::Result<Vec<f64>> {
        let (own, mut conn) = (arena.database.schema(), arena.database.connect().await?);
        let table =
            "CREATE TABLE IF NOT EXISTS evenfold.yardstick (number bigint PRIMARY KEY); TRUNCATE evenfold.yardstick";
        sqlx::raw_sql(own.sql(table)).execute(&mut conn).await?;
        insert_one(own, &mut conn, -1).await?;
        let started = Instant::now();
        let mut took = Vec::with_capacity(self.0.len());
        for (number, due) in (0..).zip(&self.0) {
            tokio::time::sleep_until((started + *due).into()).await;
            took.push(milliseconds(insert_one(own, &mut conn, number).await?));
        }
        self.kept(started.elapsed(), "rows");
        Ok(took)
    }

    /// Reports a load that was less than it should have been.
    #[expect(clippy::cast_precision_loss, reason = "rates to compare")]
    fn kept(&self, took: Duration, what: &str) {
        let Some(last) = self.0.last().filter(|last| **last > Duration::from_millis(500)) else { return };
        let rate = |time: Duration| self.0.len() as f64 / time.as_secs_f64();
        if rate(took) < ENOUGH * rate(*last) {
            tracing::warn!("{:.0} {what} per second were due, and {:.0} were written", rate(*last), rate(took));
        }
    }
}

impl Destination {
    /// Appends the event of this number of a writer, in a load.
    async fn append_one(
        &self,
        conn: &mut PgConnection,
        (load, writer): (u32, usize),
        number: usize,
    ) -> anyhow::Result<Acked> {
        let id = format!("writer-{load}-{writer}-{}", number % AGGREGATES);
        let position = match self {
            Self::Own(log) => {
                let event = NewEvent::new("counter", id, "incremented", &json!({ "amount": 1, "source": "bench" }))?;
                let appended = log.append(conn, &[event]).await?;
                appended.first().map(|appended| appended.position).unwrap_or_default().get()
            }
            Self::Table(insert) => {
                let version = i64::try_from(number / AGGREGATES + 1)?;
                let insert = sqlx::query_scalar(AssertSqlSafe(insert.clone())).bind(id).bind(version);
                insert.fetch_one(conn).await?
            }
        };
        Ok((position, Instant::now()))
    }
}

async fn insert_one(own: &Schema, conn: &mut PgConnection, number: i64) -> Result<Duration, sqlx::Error> {
    let started = Instant::now();
    sqlx::query(own.sql("INSERT INTO evenfold.yardstick (number) VALUES ($1)")).bind(number).execute(conn).await?;
    Ok(started.elapsed())
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_load_is_as_many_as_the_rate_says_evenly() {
        let Schedule(due) = Schedule::steady(100, 2);
        assert_eq!((due.len(), due[0], due[199]), (200, Duration::ZERO, Duration::from_millis(1990)));
        assert!(due.windows(2).all(|two| two[0] + Duration::from_millis(10) == two[1]));
    }

    #[test]
    fn a_sparse_load_pauses_before_each_and_ends_in_time() {
        let Schedule(due) = Schedule::sparse(10);
        assert!((20..=100).contains(&due.len()), "{}", due.len());
        let pauses = std::iter::once(due[0]).chain(due.windows(2).map(|two| two[1].saturating_sub(two[0])));
        assert!(pauses.map(|pause| pause.as_millis()).all(|pause| (100..=500).contains(&pause)));
        assert!(due.last().is_some_and(|last| *last <= Duration::from_secs(10)));
    }
}
