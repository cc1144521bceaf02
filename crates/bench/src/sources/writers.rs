//! How many events per second writers of a log write that know nothing of evenfold: alone, and while a worker folds
//! them.

use super::latency::INSERT;
use super::other_log::OtherLog;
use super::worker::WorkerProcess;
use evenfold::counters;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::sample::{settle, start_over};
use evenfold_cli::bench::stats;
use evenfold_cli::tuning::Tuning;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Aggregates of each writer, which no other writer writes.
const AGGREGATES: u64 = 1000;

pub(super) struct Writers<'a> {
    arena: &'a Arena,
    log: OtherLog,
    conn: PgConnection,
    connections: u32,
    seconds: u64,
    /// How often it was measured: the aggregates of each time are new.
    round: u32,
}

impl<'a> Writers<'a> {
    pub(super) async fn new(arena: &'a Arena, connections: u32, seconds: u64) -> anyhow::Result<Self> {
        let log = OtherLog::create(&arena.database, "writers_log", "json").await?;
        Ok(Self { arena, log, conn: arena.database.connect().await?, connections, seconds, round: 0 })
    }

    /// Events per second while nothing else runs.
    pub(super) async fn rate(&mut self) -> anyhow::Result<f64> {
        self.empty().await?;
        self.write().await
    }

    /// The same while one worker folds them, which has applied all of them afterwards.
    pub(super) async fn next_to_a_worker(&mut self, tuning: &Tuning) -> anyhow::Result<f64> {
        self.empty().await?;
        // One event, so that it can be seen that the worker has begun.
        sqlx::query(self.log.sql(INSERT)).bind("first").bind(1_i64).execute(&mut self.conn).await?;
        let mut worker = WorkerProcess::start(self.arena, &self.log, tuning)?;
        worker.until("the worker to start", async || Ok(self.applied().await? == 1)).await?;
        let rate = self.write().await?;
        let count = self.log.sql("SELECT count(*) FROM evenfold.{name}");
        let written: i64 = sqlx::query_scalar(count).fetch_one(&mut self.conn).await?;
        worker.until("the events to be applied", async || Ok(self.applied().await? == written)).await?;
        worker.stop().await?;
        Ok(rate)
    }

    async fn applied(&self) -> anyhow::Result<i64> {
        let mut conn = self.arena.database.connect().await?;
        let (_, events) = counters::totals(self.arena.database.schema(), &mut conn).await?;
        conn.close().await?;
        Ok(events)
    }

    async fn empty(&mut self) -> anyhow::Result<()> {
        self.round += 1;
        sqlx::raw_sql(self.log.sql("TRUNCATE evenfold.{name}")).execute(&mut self.conn).await?;
        start_over(self.arena.database.schema(), &mut self.conn).await?;
        Ok(settle(&mut self.conn).await?)
    }

    async fn write(&self) -> anyhow::Result<f64> {
        let mut conns = Vec::new();
        for _ in 0..self.connections {
            conns.push(self.log.connect().await?);
        }
        let started = Instant::now();
        let until = started + Duration::from_secs(self.seconds);
        let mut tasks = JoinSet::new();
        for (writer, mut conn) in conns.into_iter().enumerate() {
            let (insert, round) = (self.log.sql(INSERT).as_str().to_owned(), self.round);
            tasks.spawn(async move {
                let mut done = 0;
                while Instant::now() < until {
                    let id = format!("writer-{round}-{writer}-{}", done % AGGREGATES);
                    let version = i64::try_from(done / AGGREGATES + 1)?;
                    sqlx::query(sqlx::AssertSqlSafe(insert.clone())).bind(id).bind(version).execute(&mut conn).await?;
                    done += 1;
                }
                conn.close().await?;
                Ok::<_, anyhow::Error>(done)
            });
        }
        let mut total = 0;
        while let Some(written) = tasks.join_next().await {
            total += written??;
        }
        Ok(stats::sample(total) / started.elapsed().as_secs_f64())
    }
}
