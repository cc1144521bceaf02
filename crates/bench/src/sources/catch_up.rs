//! The same events in evenfold's own log and in tables of others, each folded by one worker in this process.

use super::super::cpu::{Server, own_seconds};
use super::super::sql::Taken;
use super::other_log::OtherLog;
use anyhow::ensure;
use evenfold::checkpoint::Takeover;
use evenfold::class::Class;
use evenfold::log::Source;
use evenfold::projection::{Pool, Report, Sourced, Worker};
use evenfold::{Database, counters};
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::sample::{Sample, start_over};
use evenfold_cli::tuning::Tuning;
use sqlx::PgConnection;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the worker of evenfold's own log has made of it, which was compared with the log.
const EXPECT: &str = "SET client_min_messages = warning; DROP TABLE IF EXISTS evenfold.expected; CREATE TABLE evenfold.expected AS TABLE evenfold.counters";

const DIFFER: &str = "SELECT count(*) FROM (
    SELECT aggregate_type, aggregate_id, events, value, version, last_position FROM evenfold.expected
    EXCEPT SELECT aggregate_type, aggregate_id, events, value, version, last_position FROM evenfold.counters) d";

/// Logs of the same events.
pub(super) struct Logs<'a> {
    arena: &'a Arena,
    conn: PgConnection,
    servers: [Option<Server>; 2],
    sequence: Source,
    second_server: Source,
    jsonb: Source,
    sample: Sample,
    tuning: &'a Tuning,
}

impl<'a> Logs<'a> {
    /// Copies of evenfold's own log: in the same database, and in the other one.
    pub(super) async fn write(
        arena: &'a Arena,
        second_server: &Database,
        sample: Sample,
        tuning: &'a Tuning,
    ) -> anyhow::Result<Self> {
        let mut conn = arena.database.connect().await?;
        let second = Server::of(&mut second_server.connect_to_server().await?.0).await?;
        let servers = [Server::of(&mut conn).await?, second];
        Ok(Self {
            arena,
            conn,
            servers,
            sequence: copied(arena, &arena.database, "sequence_log", "json").await?,
            second_server: copied(arena, second_server, "sequence_log", "json").await?,
            jsonb: copied(arena, &arena.database, "jsonb_log", "jsonb").await?,
            sample,
            tuning,
        })
    }

    /// What evenfold's own log takes.
    pub(super) async fn own(&mut self) -> anyhow::Result<Taken> {
        let took = self.fold(None).await?;
        let own = self.arena.database.schema();
        self.sample.check(own, &mut self.conn, &self.tuning.counters.amount_pointer).await?;
        sqlx::raw_sql(own.sql(EXPECT)).execute(&mut self.conn).await?;
        Ok(took)
    }

    /// What a log in the same database takes, whose payloads are as in evenfold's own.
    pub(super) async fn sequence(&mut self) -> anyhow::Result<Taken> {
        self.as_expected(self.sequence.clone()).await
    }

    /// The same on another server.
    pub(super) async fn second_server(&mut self) -> anyhow::Result<Taken> {
        self.as_expected(self.second_server.clone()).await
    }

    /// The same in the same database, with payloads that PostgreSQL makes a text of for each reader.
    pub(super) async fn jsonb(&mut self) -> anyhow::Result<Taken> {
        self.as_expected(self.jsonb.clone()).await
    }

    async fn as_expected(&mut self, source: Source) -> anyhow::Result<Taken> {
        let took = self.fold(Some(source)).await?;
        let own = self.arena.database.schema();
        let (_, events) = counters::totals(own, &mut self.conn).await?;
        let differ: i64 = sqlx::query_scalar(own.sql(DIFFER)).fetch_one(&mut self.conn).await?;
        ensure!(
            events.unsigned_abs() == self.sample.events && differ == 0,
            "the counters of another log are not those of evenfold's own: this is a mistake in evenfold, please report it"
        );
        Ok(took)
    }

    async fn fold(&mut self, source: Option<Source>) -> anyhow::Result<Taken> {
        start_over(self.arena.database.schema(), &mut self.conn).await?;
        let tuning = self.tuning.clone();
        // However this ends, the worker does.
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let make = move |class| {
            let projection = Sourced::new(tuning.counters.projection(), source.clone());
            Worker::new(class, projection, tuning.worker_options(Takeover::Now))
        };
        let options = self.tuning.run_options().until_caught_up(true);
        let (before, started) = (self.cpu(), Instant::now());
        let mut pool = Pool::start(&self.arena.database, &[Class::partition(0, 1)?], make, &options, &stop)?;
        let mut total = Report::default();
        while let Some((_, report)) = pool.ended().await {
            total = total.and(report?);
        }
        let (wall, after) = (started.elapsed().as_secs_f64(), self.cpu());
        ensure!(total.parked == 0, "{} events were parked: is the amount pointer /amount?", total.parked);
        Ok(Taken { wall, cpu: after.zip(before).map(|(after, before)| after - before) })
    }

    fn cpu(&self) -> Option<f64> {
        let [one, second] = self.servers;
        Some(one?.seconds()? + second?.seconds()? + own_seconds()?)
    }
}

async fn copied(arena: &Arena, database: &Database, name: &'static str, json: &str) -> anyhow::Result<Source> {
    let log = OtherLog::create(database, name, json).await?;
    log.fill(arena).await?;
    log.source().await
}
