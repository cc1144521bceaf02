//! Readings for tests.

use crate::reading::{ProjectionReading, Reading};
use evenfold::checkpoint::{ClassStatus, Status};
use evenfold::number::Position;
use std::time::Instant;

/// A reading of one projection with so many classes, all of which are caught up.
pub(crate) fn reading(at: f64, classes: usize) -> Reading {
    let class = |n: usize| ClassStatus {
        class: format!("{n}/{classes}"),
        position: Position::new(100),
        behind: 0,
        estimated: false,
        behind_seconds: 0.0,
        owner: Some("host:1".to_owned()),
        state: Some("caught up".to_owned()),
        heartbeat_seconds: Some(1.0),
        per_second: Some(10.0),
        applied: Some(100),
        coordination_seconds: Some(1.0),
        compute_seconds: Some(3.0),
        parked: 0,
        moved_seconds: 2.0,
        idle: None,
        late: None,
    };
    let status = Status {
        projection: "counters".to_owned(),
        total_partitions: i64::try_from(classes).ok(),
        superseded: Vec::new(),
        cover_complete: true,
        oldest_append_open_seconds: None,
        waiting: Vec::new(),
        events: Some(100),
        parked_events: 0,
        missing_positions: None,
        classes: (0..classes).map(class).collect(),
    };
    let projection = ProjectionReading { status, log: None, uncounted: None, rebuilds: None };
    Reading { projections: vec![projection], ..failed(at).without_error() }
}

/// A reading of a database that could not be asked.
pub(crate) fn failed(at: f64) -> Reading {
    Reading {
        counted_at: at,
        took_seconds: 0.01,
        database: "evenfold at localhost:5432".to_owned(),
        schema: "evenfold".to_owned(),
        error: Some("connection refused".to_owned()),
        projections: Vec::new(),
        began: Instant::now(),
    }
}

impl Reading {
    fn without_error(self) -> Self {
        Self { error: None, ..self }
    }
}
