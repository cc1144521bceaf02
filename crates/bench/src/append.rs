//! How many events per second writers append, each in a transaction of its own or in one for whatever waits.

mod plain;

use super::{Bench, Runs, steps};
use anyhow::ensure;
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::Class;
use evenfold::counters::{NAME, totals};
use evenfold::event::NewEvent;
use evenfold::log::{Appender, AppenderOptions, Log};
use evenfold::projection::{Pool, Target, Worker, wait_until};
use evenfold::schema::Schema;
use evenfold_cli::bench::arena::{Arena, within};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::sample::settle;
use evenfold_cli::bench::stats;
use evenfold_cli::config::number;
use evenfold_cli::tuning::Tuning;
use serde::Serialize;
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Aggregates of each writer, which no other writer appends to.
const AGGREGATES: u64 = 1000;

#[derive(Debug, Args)]
pub(super) struct AppendArgs {
    /// How many connections append at the same time: 1 to 64
    #[arg(long, default_value = "8", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=64)))]
    writers: u32,
    /// How long each way is measured, in seconds: 1 to 3600
    #[arg(long, default_value = "3", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    #[command(flatten)]
    pub(super) runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

impl AppendArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        Ok(self.tuning.check()?)
    }

    pub(super) fn about(&self) -> String {
        let Self { writers, seconds, runs, .. } = self;
        format!("{writers} writers, one event per append, {seconds} s each; {}.", runs.describe())
    }
}

/// How an event gets into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Into the plainest table, by one statement of the writer's, who knows the version: the yardstick.
    Insert,
    /// By `log::append`, on the writer's connection.
    Append,
    /// The same, while a worker folds them.
    Folded,
    /// By the [`Appender`] of all writers, of which each has so many callers that wait at the same time, as the
    /// requests that a service serves do.
    Grouped(u32),
}

/// What is measured next to the yardstick: its name, and how many times the yardstick it should be.
const WAYS: [(Way, &str, f64); 3] = [
    (Way::Append, "append", 1.0),
    (Way::Grouped(50), "grouped, 50 each", 7.0),
    (Way::Grouped(250), "grouped, 250 each", 10.0),
];

/// What was written in one of these ways.
struct Written {
    /// All of it, with what was there before the time began.
    events: u64,
    per_second: f64,
}

/// How long a worker may take for what is left when the writers have ended.
const CATCH_UP: Duration = Duration::from_mins(10);

pub(super) async fn run(bench: Bench<'_>, args: &AppendArgs) -> anyhow::Result<Vec<Figure>> {
    within(bench.session, bench.shutdown, "append", async |arena| measure(arena, args).await).await
}

async fn measure(arena: &Arena, args: &AppendArgs) -> anyhow::Result<Vec<Figure>> {
    let mut conn = arena.database.connect().await?;
    plain::create(arena.database.schema(), &mut conn).await?;
    let (mut inserted, mut appended) = (vec![], WAYS.map(|_| vec![]));
    let (mut plain_bytes, mut bytes) = (vec![], vec![]);
    let steps = steps(args.runs.runs * (2 + WAYS.len() as u64));
    for run in 0..args.runs.runs {
        settle(&mut conn).await?;
        let before = plain::written_ahead(&mut conn).await?;
        let written = write(arena, args, Way::Insert, run).await?;
        plain_bytes.push(per_event(plain::written_ahead(&mut conn).await? - before, written.events));
        inserted.push(written.per_second);
        steps.inc(1);
        for ((way, ..), rates) in WAYS.iter().zip(&mut appended) {
            settle(&mut conn).await?;
            rates.push(write(arena, args, *way, run).await?.per_second);
            steps.inc(1);
        }
        bytes.push(folded(arena, args, &mut conn, run).await?);
        steps.inc(1);
    }
    steps.finish_and_clear();
    let rates = WAYS.iter().zip(appended).map(|((_, name, least), samples)| Figure {
        what: (*name).to_owned(),
        unit: Unit::PerSecond,
        samples,
        against: "INSERT",
        yardstick: inserted.clone(),
        goal: Goal::AtLeast(*least),
    });
    let wal = Figure {
        what: "WAL per event".to_owned(),
        unit: Unit::Bytes,
        samples: bytes,
        against: "INSERT",
        yardstick: plain_bytes,
        goal: Goal::AtMost(1.8),
    };
    Ok(rates.chain([wal]).collect())
}

fn per_event(bytes: u64, events: u64) -> f64 {
    stats::sample(bytes) / stats::sample(events)
}

/// The bytes that are written ahead for each event of writers that append one by one while a worker folds them, until
/// all are folded.
async fn folded(arena: &Arena, args: &AppendArgs, conn: &mut PgConnection, run: u64) -> anyhow::Result<f64> {
    let own = arena.database.schema();
    let tuning = args.tuning.clone();
    // However this ends, the worker does.
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let make = move |class| Worker::new(class, tuning.counters.projection(), tuning.worker_options(Takeover::Now));
    let mut pool = Pool::start(&arena.database, &[Class::partition(0, 1)?], make, &args.tuning.run_options(), &stop)?;
    // What the other ways have written is none of it.
    wait_until(own, conn, NAME, Target::Everything, CATCH_UP).await?;
    let (_, earlier) = totals(own, conn).await?;
    settle(conn).await?;
    let before = plain::written_ahead(conn).await?;
    let written = write(arena, args, Way::Folded, run).await?;
    wait_until(own, conn, NAME, Target::Everything, CATCH_UP).await?;
    let bytes = plain::written_ahead(conn).await? - before;
    let (_, now) = totals(own, conn).await?;
    ensure!(
        now.abs_diff(earlier) == written.events,
        "the counters have not all of the events: this is a mistake in evenfold, please report it"
    );
    drop(guard);
    while let Some((_, report)) = pool.ended().await {
        report?;
    }
    Ok(per_event(bytes, written.events))
}

/// All writers together, each with one event after the other.
async fn write(arena: &Arena, args: &AppendArgs, way: Way, run: u64) -> anyhow::Result<Written> {
    let appender = Appender::start(&arena.database, AppenderOptions::default());
    let mut callers = Vec::new();
    let (callers_each, aggregates) = match way {
        Way::Grouped(callers) => (callers, AGGREGATES / u64::from(callers)),
        _ => (1, AGGREGATES),
    };
    for number in 0..args.writers * callers_each {
        let sink = match way {
            Way::Insert => Sink::Insert(arena.database.schema().clone(), arena.database.connect().await?),
            Way::Append | Way::Folded => {
                Sink::Append(Log::in_schema(arena.database.schema().clone()), arena.database.connect().await?)
            }
            Way::Grouped(_) => Sink::Grouped(appender.clone()),
        };
        let prefix = format!("{way:?}-{run}-{number}");
        let mut caller = Caller { sink, prefix, aggregates, done: 0 };
        // Connects, and prepares the statement.
        caller.write().await?;
        callers.push(caller);
    }
    let prepared = u64::try_from(callers.len())?;
    let started = Instant::now();
    let until = started + Duration::from_secs(args.seconds);
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        tasks.spawn(async move {
            let before = caller.done;
            while Instant::now() < until {
                caller.write().await?;
            }
            Ok::<_, anyhow::Error>(caller.done - before)
        });
    }
    let mut total = 0;
    while let Some(written) = tasks.join_next().await {
        total += written??;
    }
    let per_second = stats::sample(total) / started.elapsed().as_secs_f64();
    appender.close().await;
    Ok(Written { events: prepared + total, per_second })
}

#[derive(Serialize)]
struct Payload {
    amount: i64,
    source: &'static str,
}

/// What events go through.
enum Sink {
    Insert(Schema, PgConnection),
    Append(Log, PgConnection),
    Grouped(Appender),
}

/// Appends one event after the other to its aggregates in turn.
struct Caller {
    sink: Sink,
    prefix: String,
    aggregates: u64,
    /// How many of its events are in the log.
    done: u64,
}

impl Caller {
    async fn write(&mut self) -> anyhow::Result<()> {
        let id = format!("{}-{}", self.prefix, self.done % self.aggregates);
        let payload = Payload { amount: 1, source: "bench" };
        let event = |id| NewEvent::new("counter", id, "incremented", &payload);
        match &mut self.sink {
            Sink::Insert(own, conn) => {
                let version = i64::try_from(self.done / self.aggregates + 1)?;
                plain::insert(own, conn, &id, version, &serde_json::to_string(&payload)?).await?;
            }
            Sink::Append(log, conn) => drop(log.append(conn, &[event(id)?]).await?),
            Sink::Grouped(appender) => drop(appender.append(vec![event(id)?]).await?),
        }
        self.done += 1;
        Ok(())
    }
}
