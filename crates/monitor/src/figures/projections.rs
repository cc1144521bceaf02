//! How projections stand, as it was counted in the database.

use super::{build, float};
use crate::reading::{ProjectionReading, Reading};
use evenfold::checkpoint::ClassStatus;
use evenfold_http::metrics::{counter_family, gauge, gauge_family};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;

/// The figures of a reading. Where the database could not be asked, there are none of projections: old ones would look
/// as if they were so now.
#[derive(Debug)]
pub(crate) struct ProjectionFigures(pub(crate) Arc<Reading>);

type OfClass = (&'static str, &'static str, fn(&ProjectionReading, &ClassStatus) -> Option<f64>);

type OfProjection = (&'static str, &'static str, fn(&ProjectionReading) -> Option<f64>);

const PRESENT: [OfClass; 7] = [
    ("projection_behind_events", "Committed events that are not applied", |p, class| {
        p.uncounted.is_none().then(|| float(class.behind))
    }),
    ("projection_behind_seconds", "Age of the oldest of them", |p, class| {
        p.uncounted.is_none().then_some(class.behind_seconds)
    }),
    ("projection_position", "The position up to which the class was looked at", |_, class| {
        Some(float(class.position.get().unsigned_abs()))
    }),
    (
        "projection_worker_up",
        "Whether a worker is at work on the class: 1, or 0 where nobody is or can be",
        |_, class| Some(if class.idle.is_none() { 1.0 } else { 0.0 }),
    ),
    ("projection_heartbeat_age_seconds", "Time since the last heartbeat; absent without one", |_, class| {
        class.heartbeat_seconds
    }),
    ("projection_checkpoint_age_seconds", "Time since the checkpoint was written last", |_, class| {
        Some(class.moved_seconds)
    }),
    ("projection_parked_aggregates", "Aggregates that are parked", |_, class| Some(float(class.parked.unsigned_abs()))),
];

const TOTALS: [OfClass; 3] = [
    ("projection_applied_events", "Events that the worker of the class has applied since it started", |_, class| {
        class.applied.map(float)
    }),
    (
        "projection_coordination_seconds",
        "Time that it has spent on fences, checkpoints, commits and waiting for the database",
        |_, class| class.coordination_seconds,
    ),
    ("projection_compute_seconds", "Time that it has spent on decoding and folding", |_, class| class.compute_seconds),
];

const OF_PROJECTIONS: [OfProjection; 4] = [
    ("projection_begun", "Whether a worker has begun the projection: 1, or 0", |p| {
        Some(if p.status.total_partitions.is_some() { 1.0 } else { 0.0 })
    }),
    ("projection_partitions", "The number of partitions", |p| {
        p.status.total_partitions.map(|total| float(total.unsigned_abs()))
    }),
    ("projection_cover_complete", "Whether the classes hold every hash once: 1, or 0", |p| {
        Some(if p.status.cover_complete { 1.0 } else { 0.0 })
    }),
    ("projection_missing_positions", "Positions without an event, of a log that others write", |p| {
        p.status.missing_positions.map(float)
    }),
];

impl Collector for ProjectionFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(reading) = self;
        let up = i64::from(reading.error.is_none());
        gauge(&mut encoder, "monitor_database_up", "Whether the database could be asked: 1, or 0", &up)?;
        let age = reading.age().as_secs_f64();
        gauge(&mut encoder, "monitor_counted_age_seconds", "Time since the projections were counted last", &age)?;
        gauge(&mut encoder, "monitor_count_duration_seconds", "How long that took", &reading.took_seconds)?;
        build(&mut encoder)?;
        if reading.error.is_none() { self.projections(&mut encoder) } else { Ok(()) }
    }
}

impl ProjectionFigures {
    fn projections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (rebuilds, all): (Vec<_>, Vec<_>) = self.0.projections.iter().partition(|p| p.rebuilds.is_some());
        let classes = || all.iter().flat_map(|p| p.status.classes.iter().map(move |class| (p, class)));
        for (name, help, of) in PRESENT {
            let figures = classes().filter_map(|(p, class)| Some((labels(p, class), of(p, class)?)));
            gauge_family(encoder, name, help, figures)?;
        }
        for (name, help, of) in TOTALS {
            let figures = classes().filter_map(|(p, class)| Some((labels(p, class), of(p, class)?)));
            counter_family(encoder, name, help, figures)?;
        }
        for (name, help, of) in OF_PROJECTIONS {
            gauge_family(encoder, name, help, all.iter().filter_map(|p| Some(([name_of(p)], of(p)?))))?;
        }
        let left = rebuilds.iter().filter_map(|p| Some(([("projection", p.rebuilds.clone()?)], float(p.behind()?))));
        let help = "Committed events that a rebuild that is under way, or was stopped, has not applied";
        gauge_family(encoder, "projection_rebuild_behind_events", help, left)?;
        let waiting = all.iter().flat_map(|p| {
            p.status.waiting.iter().map(|(total, workers)| {
                ([name_of(p), ("partitions", total.to_string())], float(workers.unsigned_abs()))
            })
        });
        let help = "Workers that wait because another number of partitions has replaced theirs, by theirs";
        gauge_family(encoder, "projection_waiting_workers", help, waiting)?;
        let oldest = all.iter().filter_map(|p| p.status.oldest_append_open_seconds).fold(0.0, f64::max);
        let help = "Age of the oldest transaction that has appended and is still open; 0 without one";
        gauge(encoder, "log_oldest_open_append_seconds", help, &oldest)
    }
}

fn name_of(p: &ProjectionReading) -> (&'static str, String) {
    ("projection", p.status.projection.clone())
}

fn labels(p: &ProjectionReading, class: &ClassStatus) -> [(&'static str, String); 2] {
    [name_of(p), ("class", class.class.clone())]
}
