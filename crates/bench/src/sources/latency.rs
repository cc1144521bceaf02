//! How long it takes from the commit of an event to that of its counter.

use super::super::latency::latencies;
use super::super::schedule::{Destination, Schedule};
use super::figures::SourceSamples;
use super::other_log::OtherLog;
use evenfold::checkpoint::Takeover;
use evenfold::log::{Log, Source};
use evenfold::projection::Sourced;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::sample::start_over;
use evenfold_cli::bench::stats::percentile;
use evenfold_cli::tuning::Tuning;
use indicatif::ProgressBar;

/// Events per second.
const RATE: u64 = 100;

/// The loads, and what they go into.
pub(super) struct Loads<'a> {
    arena: &'a Arena,
    tuning: &'a Tuning,
    steady: Schedule,
    sparse: Schedule,
    table: OtherLog,
    source: Source,
}

impl<'a> Loads<'a> {
    pub(super) async fn new(arena: &'a Arena, tuning: &'a Tuning, seconds: u64) -> anyhow::Result<Self> {
        let table = OtherLog::create(&arena.database, "latency_log", "json").await?;
        let source = table.source().await?;
        let (steady, sparse) = (Schedule::steady(RATE, seconds), Schedule::sparse(seconds));
        Ok(Self { arena, tuning, steady, sparse, table, source })
    }

    /// Each load once into either log.
    pub(super) async fn measure(&self, samples: &mut SourceSamples, steps: &ProgressBar) -> anyhow::Result<()> {
        samples.steady_own.extend(self.own(&self.steady).await?);
        steps.inc(1);
        samples.steady_sequence.extend(self.sequence(&self.steady).await?);
        steps.inc(1);
        samples.sparse_own.extend(self.own(&self.sparse).await?);
        steps.inc(1);
        samples.sparse_sequence.extend(self.sequence(&self.sparse).await?);
        steps.inc(1);
        Ok(())
    }

    /// As users have it: whoever appends notifies.
    async fn own(&self, load: &Schedule) -> anyhow::Result<Option<f64>> {
        self.p50(load, Destination::Own(Log::in_schema(self.arena.database.schema().clone())), None).await
    }

    async fn sequence(&self, load: &Schedule) -> anyhow::Result<Option<f64>> {
        let insert = self.table.sql(INSERT).as_str().to_owned();
        self.p50(load, Destination::Table(insert), Some(self.source.clone())).await
    }

    async fn p50(&self, load: &Schedule, into: Destination, source: Option<Source>) -> anyhow::Result<Option<f64>> {
        let database = &self.arena.database;
        // The projection begins with one log, and goes on with no other.
        start_over(database.schema(), &mut database.connect().await?).await?;
        let projection = Sourced::new(self.tuning.counters.projection(), source);
        let (worker, options) = (self.tuning.worker_options(Takeover::Now), self.tuning.run_options());
        let taken = latencies(self.arena, database, (projection, worker, options), (load, &into)).await?;
        Ok(percentile(&taken, 0.5))
    }
}

/// As a library appends one event that knows its version.
pub(super) const INSERT: &str =
    "INSERT INTO evenfold.{name} (stream_type, stream_id, stream_version, event_type, payload)
VALUES ('counter', $1, $2, 'incremented', '{\"amount\":1,\"source\":\"bench\"}') RETURNING global_position";
