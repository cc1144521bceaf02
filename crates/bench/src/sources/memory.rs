//! What memory a worker takes while positions are missing that may still be written.

use super::latency::INSERT;
use super::other_log::OtherLog;
use super::worker::WorkerProcess;
use evenfold::counters;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::sample::start_over;
use evenfold_cli::bench::stats;
use evenfold_cli::tuning::Tuning;
use sqlx::{Connection, PgConnection};
use std::time::Duration;

const MIB: f64 = 1_048_576.0;

/// Events that are there before, and events between which positions are missing.
const EVENTS: i64 = 20_000;

/// For how long a worker looks at what is missing: it asks who holds the lock four times per second.
const LOOKING: Duration = Duration::from_secs(2);

const FILL: &str = "INSERT INTO evenfold.{name} (stream_type, stream_id, stream_version, event_type, payload)
SELECT 'counter', $1 || n, 1, 'incremented', '{\"amount\":1,\"source\":\"bench\"}' FROM generate_series(1, $2) n";

/// Draws positions that nobody will ever use, before each of these events.
const FILL_WITH_GAPS: &str = "INSERT INTO evenfold.{name} (stream_type, stream_id, stream_version, event_type, payload)
SELECT 'counter', $1 || n, 1, 'incremented', '{\"amount\":1,\"source\":\"bench\"}'
FROM generate_series(1, $2) n
WHERE (SELECT count(nextval(pg_get_serial_sequence('evenfold.{name}', 'global_position')))
       FROM generate_series(n * $3 / $2 + 1, (n + 1) * $3 / $2)) >= 0";

/// The peak resident set of a worker process, in MiB, that has caught up when so many positions begin to be missing,
/// each of which a transaction may still write that is open; and that goes on to the end once that has ended.
pub(super) async fn peak(arena: &Arena, tuning: &Tuning, missing: u64) -> anyhow::Result<Option<f64>> {
    let mut conn = arena.database.connect().await?;
    start_over(arena.database.schema(), &mut conn).await?;
    let drop = "SET client_min_messages = warning; DROP TABLE IF EXISTS evenfold.memory_log";
    sqlx::raw_sql(arena.database.schema().sql(drop)).execute(&mut conn).await?;
    let log = OtherLog::create(&arena.database, "memory_log", "json").await?;
    sqlx::query(log.sql(FILL)).bind("before-").bind(EVENTS).execute(&mut conn).await?;
    let mut worker = WorkerProcess::start(arena, &log, tuning)?;
    worker.until("the worker to catch up", async || Ok(applied(arena).await? == EVENTS)).await?;
    let mut holding = log.connect().await?;
    sqlx::raw_sql("SET idle_in_transaction_session_timeout = 0").execute(&mut holding).await?;
    let mut open = holding.begin().await?;
    // It has drawn a position, so any that is missing may be its own.
    sqlx::query(log.sql(INSERT)).bind("open").bind(1_i64).execute(&mut *open).await?;
    sqlx::query(log.sql(FILL_WITH_GAPS))
        .bind("between-")
        .bind(EVENTS)
        .bind(i64::try_from(missing)?)
        .execute(&mut conn)
        .await?;
    tokio::time::sleep(LOOKING).await;
    open.commit().await?;
    worker.until("the worker to go on", async || Ok(applied(arena).await? == 2 * EVENTS + 1)).await?;
    Ok(worker.stop().await?.peak_rss_bytes.map(|bytes| stats::sample(bytes) / MIB))
}

async fn applied(arena: &Arena) -> anyhow::Result<i64> {
    let mut conn: PgConnection = arena.database.connect().await?;
    let (_, events) = counters::totals(arena.database.schema(), &mut conn).await?;
    conn.close().await?;
    Ok(events)
}
