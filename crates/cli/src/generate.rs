//! `generate`: sample events, written by many at once.

use super::confirm::{answerable, confirm};
use super::output::{per_second, print, thousands};
use super::progress::bar;
use super::session::Session;
use super::{Global, signals};
use crate::config::{UsageError, number};
use anyhow::anyhow;
use clap::Args;
use evenfold::database::Database;
use evenfold::event::NewEvent;
use evenfold::log::Log;
use indicatif::ProgressBar;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often the bar is drawn, also while nothing is appended.
const TICK: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct GenerateArgs {
    /// How many events: 1 to 1000000000
    #[arg(long, default_value = "1000000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    pub(super) events: u64,
    /// Over how many aggregates, at random: 1 to 100000000, and at least one per writer
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=100_000_000)))]
    pub(super) aggregates: u64,
    /// How many connections write at the same time: 1 to 64
    #[arg(long, default_value = "8", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=64)))]
    pub(super) writers: u64,
    /// Events of one transaction: 1 to 10000
    #[arg(long, default_value = "50", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=10_000)))]
    pub(super) batch_size: u64,
    /// Events per second, all writers together: 1 to 10000000 [default: as fast as the database takes them]
    #[arg(long, value_name = "PER_SECOND", value_parser = |t: &str| number::<u64>(t, &(1..=10_000_000)))]
    pub(super) rate: Option<u64>,
    /// Writes the same aggregates, amounts and batches again; only the order between writers is chance
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
}

/// `generate` by itself: the demonstrations write to a log of their own.
#[derive(Debug, Args)]
pub(super) struct GenerateCommand {
    #[command(flatten)]
    sample: GenerateArgs,
    /// Write to the database of the URL without being asked: a log keeps its events for ever
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(global: &Global, command: GenerateCommand) -> anyhow::Result<()> {
    let args = command.sample;
    args.check()?;
    let events = thousands(args.events);
    let what =
        format!("append {events} sample events to the log in the database of the URL, which keeps them for ever");
    // Asked for once it is known which database it is, and refused before where nobody could answer.
    let asks = global.database_url.is_some() && !command.yes;
    if asks {
        answerable(&what)?;
    }
    let session = Session::open(global).await?;
    if asks {
        confirm(&what)?;
    }
    let shutdown = signals::shutdown()?;
    drop(session.connect().await?);
    let bar = bar("appended", args.events);
    bar.enable_steady_tick(TICK);
    let started = Instant::now();
    let outcome = generate(&session.database, args, &bar, shutdown).await;
    bar.finish_and_clear();
    session.close().await?;
    let written = outcome?;
    let took = started.elapsed();
    print(&format!("appended {} events in {took:.1?}, {}\n", thousands(written), per_second(written, took)))
}

impl GenerateArgs {
    pub(super) fn check(&self) -> Result<(), UsageError> {
        if self.aggregates < self.writers {
            let Self { aggregates, writers, .. } = self;
            return Err(UsageError(format!(
                "--aggregates must be at least --writers, and {aggregates} is below {writers}"
            )));
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct SampleEvents {
    amount: i64,
    source: &'static str,
    note: String,
}

/// Writes sample events with all writers at once, and gives the number written: fewer than asked only when it is to
/// stop.
pub(super) async fn generate(
    database: &Database,
    args: GenerateArgs,
    bar: &ProgressBar,
    shutdown: CancellationToken,
) -> anyhow::Result<u64> {
    let written = Arc::new(AtomicU64::new(0));
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let database = database.named("evenfold generate");
    let mut writers = JoinSet::new();
    for index in 0..args.writers {
        let share = args.events / args.writers + u64::from(index < args.events % args.writers);
        let writer = Writer { index, share, args, random: fastrand::Rng::with_seed(seed.wrapping_add(index)) };
        writers.spawn(writer.write(database.clone(), Arc::clone(&written), bar.clone(), shutdown.clone()));
    }
    while let Some(outcome) = writers.join_next().await {
        let outcome = outcome.map_err(anyhow::Error::from).and_then(|outcome| outcome);
        outcome.map_err(|error| {
            let before = thousands(written.load(Ordering::Relaxed));
            anyhow!("{error}; {before} events had been appended by then, and stay in the log")
        })?;
    }
    Ok(written.load(Ordering::Relaxed))
}

struct Writer {
    index: u64,
    share: u64,
    args: GenerateArgs,
    random: fastrand::Rng,
}

impl Writer {
    async fn write(
        mut self,
        database: Database,
        written: Arc<AtomicU64>,
        bar: ProgressBar,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let (log, mut conn) = (Log::in_schema(database.schema().clone()), database.connect().await?);
        let started = Instant::now();
        let mut done = 0;
        while done < self.share && !shutdown.is_cancelled() {
            let size = self.args.batch_size.min(self.share - done);
            let batch = (0..size).map(|n| self.sample(done + n)).collect::<Result<Vec<_>, _>>()?;
            log.append(&mut conn, &batch).await?;
            done += size;
            written.fetch_add(size, Ordering::Relaxed);
            bar.inc(size);
            if let Some(rate) = self.args.rate {
                // When this many were due, counted from the start: a late batch does not delay all later ones.
                let due = started + Duration::from_nanos(done * self.args.writers * 1_000_000_000 / rate);
                shutdown.run_until_cancelled(tokio::time::sleep_until(due.into())).await;
            }
        }
        Ok(())
    }

    /// Each writer has aggregates of its own, so that they do not wait for each other's commits. Their positions
    /// interleave all the same, which is what a reader has to cope with.
    fn sample(&mut self, number: u64) -> Result<NewEvent, evenfold::event::InvalidEvent> {
        let GenerateArgs { aggregates, writers, .. } = self.args;
        let own = aggregates / writers + u64::from(self.index < aggregates % writers);
        let aggregate = self.random.u64(0..own) * writers + self.index;
        let amount = self.random.i64(-5..=10);
        let event_type = if amount < 0 { "decremented" } else { "incremented" };
        let sample = SampleEvents { amount, source: "generate", note: format!("sample {number}") };
        NewEvent::new("counter", format!("counter-{aggregate:08}"), event_type, &sample)
    }
}
