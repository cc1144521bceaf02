//! What the workers of a process do.

use super::{build, float};
use evenfold::projection::{Buckets, Counted, ProcessWorker};
use evenfold_http::histogram::Counts;
use evenfold_http::metrics::{counter_family, gauge_family, histogram};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::time::Duration;

/// What was counted longer ago is not shown: it would look as if it were so now.
const COUNTED_WITHIN: Duration = Duration::from_secs(150);

/// The figures of these workers, at one moment.
pub(crate) struct WorkerFigures(pub(crate) Vec<ProcessWorker>);

/// A figure of a worker that only grows: its name without the prefix `evenfold_`, what it is, and its value.
pub type Total = (&'static str, &'static str, fn(&ProcessWorker) -> f64);

/// A figure of a worker that goes up and down, and may be unknown.
pub type Gauge = (&'static str, &'static str, fn(&ProcessWorker) -> Option<f64>);

/// What workers have done.
pub const TOTALS: [Total; 7] = [
    ("worker_applied_events", "Events that were applied and committed", |w| float(w.progress.applied())),
    ("worker_received_events", "Events that the database has sent, also those that were read again", |w| {
        float(w.progress.received())
    }),
    ("worker_parked_events", "Events that could not be applied, and those behind them", |w| float(w.progress.parked())),
    ("worker_batches", "Batches that were committed", |w| float(w.progress.batches())),
    ("worker_coordination_seconds", "Time for fences, checkpoints, commits and waiting for the database", |w| {
        w.progress.coordination().as_secs_f64()
    }),
    ("worker_compute_seconds", "Time for decoding and folding", |w| w.progress.compute().as_secs_f64()),
    ("worker_reconnects", "How often a lost connection was made anew", |w| float(w.progress.reconnects())),
];

/// How it is with them.
pub const GAUGES: [Gauge; 6] = [
    (
        "worker_behind_events",
        "Committed events that are not applied, when that was last counted in the database",
        |w| counted(w).map(|counted| float(counted.lag.events)),
    ),
    ("worker_behind_seconds", "Age of the oldest of them", |w| counted(w).map(|counted| counted.lag.age.as_secs_f64())),
    ("worker_parked_aggregates", "Aggregates that are parked", |w| {
        counted(w).map(|counted| float(counted.parked_aggregates))
    }),
    ("worker_position", "The position of the last event that was applied; absent before the first", |w| {
        let position = w.progress.position().get().unsigned_abs();
        (w.progress.batches() > 0).then(|| float(position))
    }),
    ("worker_missing_positions", "Positions without an event, of a log that others write", |w| {
        Some(float(w.progress.missing_positions()))
    }),
    ("worker_step_age_seconds", "Time since the last step that has succeeded", |w| {
        Some(w.progress.step_age().as_secs_f64())
    }),
];

fn counted(worker: &ProcessWorker) -> Option<Counted> {
    worker.progress.counted().filter(|counted| counted.at.elapsed() < COUNTED_WITHIN)
}

/// Whose a figure is: of a replica that waits for a partition, none's.
#[must_use]
pub fn labels(worker: &ProcessWorker) -> [(&'static str, String); 2] {
    let class = worker.partition.map_or_else(|| "none".to_owned(), |partition| partition.to_string());
    [("projection", worker.projection.clone().unwrap_or_default()), ("class", class)]
}

impl fmt::Debug for WorkerFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkerFigures").field(&self.0.len()).finish()
    }
}

impl Collector for WorkerFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(workers) = self;
        for (name, help, of) in TOTALS {
            counter_family(&mut encoder, name, help, workers.iter().map(|w| (labels(w), of(w))))?;
        }
        for (name, help, of) in GAUGES {
            gauge_family(&mut encoder, name, help, workers.iter().filter_map(|w| Some((labels(w), of(w)?))))?;
        }
        let phases = workers.iter().map(|w| {
            let [projection, class] = labels(w);
            ([projection, class, ("phase", w.progress.phase().name().to_owned())], 1.0)
        });
        gauge_family(&mut encoder, "worker_phase", "What the worker is doing: 1 for the phase that it is in", phases)?;
        let sizes = |w: &ProcessWorker| counts(&w.progress.batch_events(), 1.0);
        histograms(&mut encoder, "worker_batch_events", "Events of one batch", workers, sizes)?;
        let times = |w: &ProcessWorker| counts(&w.progress.batch_micros(), 1e-6);
        let help = "How long a batch took, from reading its events to its commit";
        histograms(&mut encoder, "worker_batch_duration_seconds", help, workers, times)?;
        build(&mut encoder)
    }
}

/// A histogram of each worker.
fn histograms(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    workers: &[ProcessWorker],
    of: impl Fn(&ProcessWorker) -> Counts,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for worker in workers {
        let [(p, projection), (c, class)] = labels(worker);
        histogram(&mut family, &[(p, projection.as_str()), (c, class.as_str())], &of(worker))?;
    }
    Ok(())
}

/// In the unit of the figure, of which one that was counted is so much.
fn counts(counted: &Buckets, unit: f64) -> Counts {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| float(bound) * unit);
    Counts {
        sum: float(counted.sum) * unit,
        count: counted.buckets.iter().map(|(_, count)| count).sum(),
        buckets: counted.buckets.iter().map(|&(upper, count)| (bound(upper), count)).collect(),
    }
}
