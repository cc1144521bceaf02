use super::output::{print, thousands};
use super::session::Session;
use super::{Global, signals};
use clap::Args;
use evenfold::config::{UsageError, number};
use evenfold::database::Database;
use evenfold::event::NewEvent;
use evenfold::log;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

pub(super) async fn run(global: &Global, args: GenerateArgs) -> anyhow::Result<()> {
    args.check()?;
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    drop(session.connect().await?);
    let bar = bar("appended", args.events);
    let started = Instant::now();
    let outcome = generate(&session.database, args, &bar, shutdown).await;
    bar.finish_and_clear();
    session.close().await?;
    let written = outcome?;
    #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
    let rate = written as f64 / started.elapsed().as_secs_f64();
    print(&format!("appended {} events in {:.1?}, {rate:.0} per second\n", thousands(written), started.elapsed()))
}

/// A progress bar that fits into 80 columns, and is not drawn where standard error is no terminal.
pub(super) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} [{bar:24}] {human_pos}/{human_len} {rate:>11}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // A formatter can only fail where it writes to.
            let _ = out.write_str(&rate(state.per_sec()));
        })
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style).with_prefix(what)
}

/// indicatif's own has a dozen decimals, with which a bar does not fit.
#[expect(clippy::cast_possible_truncation, reason = "a rate to look at")]
fn rate(per_second: f64) -> String {
    format!("{}/s", thousands(per_second.round() as i64))
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
struct Sample {
    amount: i64,
    source: &'static str,
    note: String,
}

/// Writes sample events with all writers at once, and gives the number written: fewer than asked only when told to
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
        outcome??;
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
        let mut conn = database.connect().await?;
        let started = Instant::now();
        let mut done = 0;
        while done < self.share && !shutdown.is_cancelled() {
            let size = self.args.batch_size.min(self.share - done);
            let batch = (0..size).map(|n| self.sample(done + n)).collect::<Result<Vec<_>, _>>()?;
            log::append(&mut conn, &batch).await?;
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
        let sample = Sample { amount, source: "generate", note: format!("sample {number}") };
        NewEvent::new("counter", format!("counter-{aggregate:08}"), event_type, &sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_short() {
        for (per_second, text) in [(0.0, "0/s"), (0.4, "0/s"), (27_518.895_622_570_594, "27,519/s")] {
            assert_eq!(rate(per_second), text);
        }
    }
}
