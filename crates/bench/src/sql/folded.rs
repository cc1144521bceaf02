//! Workers of this process that fold the whole log.

use super::super::cpu::{Server, own_seconds};
use anyhow::ensure;
use evenfold::checkpoint::{self, Takeover};
use evenfold::class::Class;
use evenfold::projection::{Pool, Process, Worker};
use evenfold::shadow::{RebuildOptions, Rebuilt, TablesRebuilt, rebuild};
use evenfold::{Database, RunOptions};
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::sample::{Sample, settle, start_over};
use evenfold_cli::bench::yardsticks;
use evenfold_cli::tuning::Tuning;
use evenfold_sql::{ProjectionFile, SqlProjection};
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The example that has the rows of the counters.
const TOTALS: &str = include_str!("../../../../examples/projections/totals.sql");

/// A projection that reads no payload.
const UNREAD: &str = "-- create
CREATE TABLE totals (
    aggregate_type text, aggregate_id text, events bigint NOT NULL, version bigint NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
);
-- apply
INSERT INTO totals AS t SELECT aggregate_type, aggregate_id, count(*), max(version) FROM batch GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET events = t.events + excluded.events, version = excluded.version;";

/// What a fold has taken: seconds, and seconds of processors, those of the server included; none where the server is
/// out of sight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) wall: f64,
    pub(crate) cpu: Option<f64>,
}

/// A log, and how it is folded.
pub(super) struct Folding<'a> {
    database: Database,
    conn: PgConnection,
    /// As a worker reads: the plan that walks the index.
    by_index: PgConnection,
    server: Option<Server>,
    sample: Sample,
    tuning: &'a Tuning,
}

/// The projection of this name: `unread`, or the totals.
pub(super) fn file(name: &str) -> anyhow::Result<SqlProjection> {
    let text = if name == "unread" { UNREAD } else { TOTALS };
    let text = text.replace("totals", name);
    Ok(SqlProjection::new(ProjectionFile::parse(name, name, &text)?))
}

impl<'a> Folding<'a> {
    pub(super) async fn new(arena: &Arena, sample: Sample, tuning: &'a Tuning) -> anyhow::Result<Self> {
        let database = searching(arena);
        let (mut conn, by_index) = (database.connect().await?, database.by_index().connect().await?);
        let server = Server::of(&mut conn).await?;
        Ok(Self { database, conn, by_index, server, sample, tuning })
    }

    /// Reads the whole log, and does nothing with it.
    pub(super) async fn drain(&mut self) -> anyhow::Result<f64> {
        Ok(yardsticks::drain(self.database.schema(), &mut self.by_index).await?.as_secs_f64())
    }

    /// By the built-in counters.
    pub(super) async fn counters(&mut self, workers: u32) -> anyhow::Result<Taken> {
        start_over(self.database.schema(), &mut self.conn).await?;
        let tuning = self.tuning.clone();
        let before = self.cpu();
        let started = Instant::now();
        let make = move |class| tuning.worker(class, Takeover::Now);
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let pool = Pool::start(&self.database, &partitions(workers)?, make, &self.options(), &stop)?;
        ended(pool).await?;
        let taken = self.taken(started, before);
        self.sample.check(self.database.schema(), &mut self.conn, &self.tuning.counters.amount_pointer).await?;
        Ok(taken)
    }

    /// By files of these names, all of them at once in one process.
    pub(super) async fn files(&mut self, names: &[&str], workers: u32) -> anyhow::Result<Taken> {
        for name in names {
            drop_table(&mut self.conn, name).await?;
            checkpoint::start_over(self.database.schema(), &mut self.conn, name).await?;
        }
        settle(&mut self.conn).await?;
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let before = self.cpu();
        let started = Instant::now();
        let process = Process::new(&self.database);
        let mut pools = Vec::new();
        for name in names {
            let (projection, options) = (file(name)?, self.tuning.worker_options(Takeover::Now));
            let make = move |class| Worker::new(class, projection.clone(), options.clone());
            pools.push(process.pool(&partitions(workers)?, make, &self.options(), &stop)?);
        }
        for pool in pools {
            ended(pool).await?;
        }
        let taken = self.taken(started, before);
        process.close().await;
        for name in names {
            self.check(name).await?;
        }
        Ok(taken)
    }

    /// The table of a file that was folded, anew in a shadow and switched over.
    pub(super) async fn rebuild(&mut self, name: &str) -> anyhow::Result<Taken> {
        settle(&mut self.conn).await?;
        let projection = file(name)?;
        let make = move || projection.clone();
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let before = self.cpu();
        let started = Instant::now();
        let options = RebuildOptions::default();
        let TablesRebuilt { outcome, applied, .. } = rebuild(&self.database, make, &options, &stop, &|_| ()).await?;
        ensure!(
            outcome == Rebuilt::Switched && applied == self.sample.events,
            "the rebuild of {name} ended otherwise: please report this mistake"
        );
        let taken = self.taken(started, before);
        self.check(name).await?;
        Ok(taken)
    }

    async fn check(&mut self, name: &str) -> anyhow::Result<()> {
        let sql = format!("SELECT count(*), sum(events)::bigint FROM {name}");
        let (rows, events): (i64, i64) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut self.conn).await?;
        let complete = (rows.unsigned_abs(), events.unsigned_abs()) == (self.sample.aggregates, self.sample.events);
        ensure!(complete, "{name} does not agree with the log: this is a mistake in evenfold, please report it");
        Ok(())
    }

    fn options(&self) -> RunOptions {
        self.tuning.run_options().until_caught_up(true)
    }

    fn cpu(&self) -> Option<f64> {
        Some(self.server?.seconds()? + own_seconds()?)
    }

    fn taken(&self, started: Instant, before: Option<f64>) -> Taken {
        let wall = started.elapsed().as_secs_f64();
        Taken { wall, cpu: self.cpu().zip(before).map(|(after, before)| after - before) }
    }
}

/// The arena's database, with tables that a projection creates in the arena's schema.
pub(super) fn searching(arena: &Arena) -> Database {
    arena.database.searching(&arena.database.schema().to_string())
}

/// A file's table, so that the next worker creates it again. The name is one of this program's.
pub(super) async fn drop_table(conn: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(format!("SET client_min_messages = warning; DROP TABLE IF EXISTS {name}")))
        .execute(conn)
        .await
        .map(drop)
}

fn partitions(workers: u32) -> anyhow::Result<Vec<Class>> {
    Ok((0..workers).map(|key| Class::partition(key, workers)).collect::<Result<Vec<_>, _>>()?)
}

async fn ended(mut pool: Pool) -> anyhow::Result<()> {
    while let Some((_, report)) = pool.ended().await {
        let parked = report?.parked;
        ensure!(parked == 0, "{parked} events were parked: this is a mistake in evenfold, please report it");
    }
    Ok(())
}
