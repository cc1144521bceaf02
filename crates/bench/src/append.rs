//! How many events per second writers append, each in a transaction of its own or in one for whatever waits.

use super::{Bench, Runs, steps};
use clap::Args;
use evenfold::event::NewEvent;
use evenfold::hash::IdHash;
use evenfold::log::{Appender, AppenderOptions, Log};
use evenfold::schema::Schema;
use evenfold_cli::bench::arena::{Arena, within};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::sample::settle;
use evenfold_cli::bench::stats;
use evenfold_cli::config::number;
use serde::Serialize;
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

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
}

impl AppendArgs {
    pub(super) fn about(&self) -> String {
        let Self { writers, seconds, runs } = self;
        format!("{writers} writers, one event per append, {seconds} s each; {}.", runs.describe())
    }
}

/// How an event gets into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By one statement of the writer's, who knows the version and asks for nothing: the yardstick.
    Insert,
    /// By `log::append`, on the writer's connection.
    Append,
    /// By the [`Appender`] of all writers, of which each has so many callers that wait at the same time, as the
    /// requests that a service serves do.
    Grouped(u32),
}

/// What is measured next to the yardstick: its name, and how many times the yardstick it should be.
const WAYS: [(Way, &str, f64); 3] = [
    (Way::Append, "append", 1.0),
    (Way::Grouped(50), "grouped, 50 each", 8.0),
    (Way::Grouped(250), "grouped, 250 each", 8.0),
];

pub(super) async fn run(bench: Bench<'_>, args: &AppendArgs) -> anyhow::Result<Vec<Figure>> {
    within(bench.session, bench.shutdown, "append", async |arena| measure(arena, args).await).await
}

async fn measure(arena: &Arena, args: &AppendArgs) -> anyhow::Result<Vec<Figure>> {
    let mut conn = arena.database.connect().await?;
    let (mut inserted, mut appended) = (vec![], WAYS.map(|_| vec![]));
    let steps = steps(args.runs.runs * (1 + WAYS.len() as u64));
    for run in 0..args.runs.runs {
        settle(&mut conn).await?;
        inserted.push(rate(arena, args, Way::Insert, run).await?);
        steps.inc(1);
        for ((way, ..), rates) in WAYS.iter().zip(&mut appended) {
            settle(&mut conn).await?;
            rates.push(rate(arena, args, *way, run).await?);
            steps.inc(1);
        }
    }
    steps.finish_and_clear();
    let figures = WAYS.iter().zip(appended).map(|((_, name, least), samples)| Figure {
        what: (*name).to_owned(),
        unit: Unit::PerSecond,
        samples,
        against: "INSERT",
        yardstick: inserted.clone(),
        goal: Goal::AtLeast(*least),
    });
    Ok(figures.collect())
}

/// Events per second of all writers together.
async fn rate(arena: &Arena, args: &AppendArgs, way: Way, run: u64) -> anyhow::Result<f64> {
    let appender = Appender::start(&arena.database, AppenderOptions::default());
    let mut callers = Vec::new();
    let (callers_each, aggregates) = match way {
        Way::Grouped(callers) => (callers, AGGREGATES / u64::from(callers)),
        _ => (1, AGGREGATES),
    };
    for number in 0..args.writers * callers_each {
        let sink = match way {
            Way::Insert => Sink::Insert(arena.database.schema().clone(), arena.database.connect().await?),
            Way::Append => {
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
    let rate = stats::sample(total) / started.elapsed().as_secs_f64();
    appender.close().await;
    Ok(rate)
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
                insert(own, conn, &id, version, &serde_json::to_string(&payload)?).await?;
            }
            Sink::Append(log, conn) => drop(log.append(conn, &[event(id)?]).await?),
            Sink::Grouped(appender) => drop(appender.append(vec![event(id)?]).await?),
        }
        self.done += 1;
        Ok(())
    }
}

/// Into the log itself, so that table, indexes and triggers are the same.
async fn insert(
    own: &Schema,
    conn: &mut PgConnection,
    id: &str,
    version: i64,
    payload: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(own.sql(
        "INSERT INTO evenfold.events (version, hash, event_id, aggregate_type, aggregate_id, event_type, payload)
         VALUES ($1, $2, $3, 'counter', $4, 'incremented', $5::text::json)",
    ))
    .bind(version)
    .bind(IdHash::of(id).to_sql())
    .bind(uuid::Uuid::new_v4())
    .bind(id)
    .bind(payload)
    .execute(conn)
    .await?;
    Ok(())
}
