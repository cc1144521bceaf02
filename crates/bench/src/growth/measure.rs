//! What is measured with a log of one size.

use super::super::latency;
use super::super::schedule::{Destination, Schedule, milliseconds};
use anyhow::ensure;
use evenfold::checkpoint::{self, Extent, Takeover};
use evenfold::class::Class;
use evenfold::counters::{NAME, mismatches};
use evenfold::event::NewEvent;
use evenfold::log::{self, EventBuffer, Fence, Interest, Log, Slice};
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::child;
use evenfold_cli::bench::sample::start_over;
use evenfold_cli::bench::stats::{median, percentile, sample};
use evenfold_cli::tuning::Tuning;
use serde_json::json;
use sqlx::PgConnection;
use std::time::Instant;

/// Looks and appends of one run.
const TIMES: usize = 300;

/// Events per second while the latency is measured.
const RATE: u64 = 100;

const MIB: f64 = 1_048_576.0;

/// A projection that has applied nothing and is never folded.
const BEHIND: &str = "behind";

/// How many rows there are.
pub(super) const ROWS: usize = 14;

/// One sample of each row, in the order of the rows.
pub(super) async fn all(
    arena: &Arena,
    conn: &mut PgConnection,
    tuning: &Tuning,
    (events, seconds): (u64, u64),
) -> anyhow::Result<[Option<f64>; ROWS]> {
    let own = arena.database.schema();
    start_over(own, conn).await?;
    let folded = child::fold(arena, tuning, 1).await?;
    let (rate, memory) = folded.first().map_or((None, None), |done| {
        let rate = sample(done.applied) * 1_000.0 / sample(done.elapsed_ms.max(1));
        (Some(rate), done.peak_rss_bytes.map(|bytes| sample(bytes) / MIB))
    });
    let started = Instant::now();
    let differ = mismatches(own, conn, &tuning.counters.amount_pointer, 1).await?;
    let verified = sample(events) / started.elapsed().as_secs_f64();
    ensure!(
        differ.is_empty(),
        "the counters do not agree with the log: this is a mistake in evenfold, please report it"
    );
    let start = workers(arena, tuning, 1).await?;
    let append = appends(arena, conn).await?;
    let latencies = latency(arena, tuning, seconds).await?;
    let look = looks(arena).await?;
    let counted = counted(arena, conn).await?;
    workers(arena, tuning, 2).await?;
    let change = workers(arena, tuning, 3).await?;
    workers(arena, tuning, 1).await?;
    let [table, indexes] = bytes(arena, conn).await?;
    let [lag, lag_behind, status, status_behind] = counted.map(Some);
    Ok([
        look,
        percentile(&latencies, 0.5),
        append,
        rate,
        memory,
        Some(start),
        Some(change),
        lag,
        lag_behind,
        status,
        status_behind,
        Some(verified),
        Some(table),
        Some(indexes),
    ])
}

/// How long worker processes take that have next to nothing to apply, in seconds.
async fn workers(arena: &Arena, tuning: &Tuning, total: u32) -> anyhow::Result<f64> {
    let started = Instant::now();
    child::fold(arena, tuning, total).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// What a heartbeat counts, and what `evenfold status` asks for: of the counters, which are caught up, and of a
/// projection that is behind by the whole log; in milliseconds.
async fn counted(arena: &Arena, conn: &mut PgConnection) -> anyhow::Result<[f64; 4]> {
    let own = arena.database.schema();
    for statement in [
        "INSERT INTO evenfold.projections (name, definition) VALUES ($1, 'everything') ON CONFLICT DO NOTHING",
        "INSERT INTO evenfold.checkpoints (projection, modulus, residue, seen, floor, next_xid, owner)
         VALUES ($1, 1, 0, '1:1:', 0, '1', gen_random_uuid()) ON CONFLICT DO NOTHING",
    ] {
        sqlx::query(own.sql(statement)).bind(BEHIND).execute(&mut *conn).await?;
    }
    // Heartbeats and the command have such connections.
    let conn = &mut arena.database.by_index().connect().await?;
    let mut took = [0.0; 4];
    let (whole, interest) = (Class::partition(0, 1)?, Interest::everything());
    for (at, projection) in [NAME, BEHIND].into_iter().enumerate() {
        let started = Instant::now();
        checkpoint::lag(own, conn, None, projection, whole, &interest).await?;
        took[at] = milliseconds(started.elapsed());
        let started = Instant::now();
        checkpoint::status_within(Extent::Bounded, own, conn, None, projection).await?;
        took[at + 2] = milliseconds(started.elapsed());
    }
    Ok(took)
}

/// Looks that find nothing, on a worker's connection: how long one takes, in milliseconds.
async fn looks(arena: &Arena) -> anyhow::Result<Option<f64>> {
    let own = arena.database.schema();
    let mut conn = arena.database.by_index().connect().await?;
    let mut fence = Fence::take(own, &mut conn).await?;
    let (slice, interest) = (Slice::of(&[Class::partition(0, 1)?]), Interest::everything());
    let (mut took, mut found) = (Vec::with_capacity(TIMES), EventBuffer::default());
    for _ in 0..TIMES {
        let started = Instant::now();
        let polled = log::poll(own, &mut conn, (&fence, fence.floor), &slice, &interest, 1, &mut found).await?;
        took.push(milliseconds(started.elapsed()));
        ensure!(found.is_empty(), "somebody else writes into the benchmark's log");
        fence = polled.fence;
    }
    Ok(median(&took))
}

/// Single appends to aggregates of the log, one after the other: how long one takes, in milliseconds.
async fn appends(arena: &Arena, conn: &mut PgConnection) -> anyhow::Result<Option<f64>> {
    let log = Log::in_schema(arena.database.schema().clone());
    let mut took = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let id = format!("appended-{:08}", fastrand::u32(..));
        let event = NewEvent::new("counter", id, "incremented", &json!({ "amount": 1, "source": "bench" }))?;
        let started = Instant::now();
        log.append(conn, &[event]).await?;
        took.push(milliseconds(started.elapsed()));
    }
    Ok(median(&took))
}

async fn latency(arena: &Arena, tuning: &Tuning, seconds: u64) -> anyhow::Result<Vec<f64>> {
    let (worker, options) = (tuning.worker_options(Takeover::Now), tuning.run_options());
    let into = Destination::Own(Log::in_schema(arena.database.schema().clone()));
    let load = Schedule::steady(RATE, seconds);
    let of = (tuning.counters.projection(), worker, options);
    latency::latencies(arena, &arena.database, of, (&load, &into)).await
}

/// The bytes per event of the log's table and of its indexes.
async fn bytes(arena: &Arena, conn: &mut PgConnection) -> anyhow::Result<[f64; 2]> {
    let sizes = "SELECT pg_table_size('evenfold.events'), pg_indexes_size('evenfold.events'),
        greatest(pg_sequence_last_value('evenfold.events_position_seq'::regclass), 1)";
    let (table, indexes, events): (i64, i64, i64) =
        sqlx::query_as(arena.database.schema().sql(sizes)).fetch_one(conn).await?;
    Ok([table, indexes].map(|bytes| sample(bytes.unsigned_abs()) / sample(events.unsigned_abs())))
}
