//! A log that outlives a run, and what was measured with it.

use anyhow::ensure;
use evenfold::schema::Schema;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::sample::Sample;
use evenfold_cli::output::thousands;
use sqlx::PgConnection;

/// Its schema.
pub(super) const SCHEMA: &str = "evenfold_bench_growth";

const TABLES: &str = "SET client_min_messages = warning;
    CREATE TABLE IF NOT EXISTS evenfold.bench_log (aggregates bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS evenfold.bench_samples (
        number bigint GENERATED ALWAYS AS IDENTITY, events bigint NOT NULL, what text NOT NULL, sample float8)";

/// The log, and what was measured with it, in the schema.
pub(super) struct Kept {
    own: Schema,
    /// How many events of the sample it has.
    pub(super) events: u64,
}

impl Kept {
    /// What is there, or nothing yet.
    pub(super) async fn open(own: &Schema, conn: &mut PgConnection, aggregates: u64) -> anyhow::Result<Self> {
        sqlx::raw_sql(own.sql(TABLES)).execute(&mut *conn).await?;
        let found: Option<i64> =
            sqlx::query_scalar(own.sql("SELECT aggregates FROM evenfold.bench_log")).fetch_optional(&mut *conn).await?;
        match found.map(i64::unsigned_abs) {
            None => {
                let insert = "INSERT INTO evenfold.bench_log VALUES ($1)";
                sqlx::query(own.sql(insert)).bind(i64::try_from(aggregates)?).execute(&mut *conn).await?;
            }
            Some(found) => ensure!(
                found == aggregates,
                "the schema {SCHEMA} has a log of {} aggregates: add --aggregates={found} to go on with it, or --drop to \
                 begin anew",
                thousands(found)
            ),
        }
        let events = Sample::written(own, conn, aggregates).await?;
        Ok(Self { own: own.clone(), events })
    }

    /// Writes what the log lacks.
    pub(super) async fn extend(&mut self, arena: &Arena, sample: Sample) -> anyhow::Result<()> {
        if self.events < sample.events {
            sample.write_from(arena, self.events).await?;
            self.events = sample.events;
        }
        Ok(())
    }

    /// How often everything was measured at a size.
    pub(super) async fn runs(&self, conn: &mut PgConnection, events: u64) -> anyhow::Result<u64> {
        let count = "SELECT coalesce(min(n), 0) FROM (
            SELECT count(*) AS n FROM evenfold.bench_samples WHERE events = $1 GROUP BY what) w";
        let runs: i64 = sqlx::query_scalar(self.own.sql(count)).bind(i64::try_from(events)?).fetch_one(conn).await?;
        Ok(runs.unsigned_abs())
    }

    /// Adds what was measured in one run.
    pub(super) async fn add(
        &self,
        conn: &mut PgConnection,
        events: u64,
        what: &[&str],
        samples: &[Option<f64>],
    ) -> anyhow::Result<()> {
        let insert = "INSERT INTO evenfold.bench_samples (events, what, sample)
            SELECT $1, what, sample FROM unnest($2::text[], $3::float8[]) m (what, sample)";
        sqlx::query(self.own.sql(insert)).bind(i64::try_from(events)?).bind(what).bind(samples).execute(conn).await?;
        Ok(())
    }

    /// The last samples of a row; none of what can't be measured here.
    pub(super) async fn samples(
        &self,
        conn: &mut PgConnection,
        events: u64,
        what: &str,
        runs: u64,
    ) -> anyhow::Result<Vec<f64>> {
        let select = "SELECT sample FROM (
                SELECT sample FROM evenfold.bench_samples WHERE events = $1 AND what = $2 ORDER BY number DESC LIMIT $3
            ) s WHERE sample IS NOT NULL";
        Ok(sqlx::query_scalar(self.own.sql(select))
            .bind(i64::try_from(events)?)
            .bind(what)
            .bind(i64::try_from(runs)?)
            .fetch_all(conn)
            .await?)
    }
}
