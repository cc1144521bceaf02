//! How all projections of a database stood at a moment.

use evenfold::checkpoint::Status;
use serde::Serialize;
use std::time::{Duration, Instant, SystemTime};

/// How all projections of a database stood at a moment, or why that is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// When the counting began, as Unix time in seconds.
    pub counted_at: f64,
    /// How long it took, in seconds.
    pub took_seconds: f64,
    /// Which database, and where; nothing of the user and the password.
    pub database: String,
    /// The schema that evenfold's tables are in.
    pub schema: String,
    /// Why the database could not be asked; then there are no projections here, whatever there are in the database.
    pub error: Option<String>,
    /// One entry for each projection that was begun, in the order of their names.
    pub projections: Vec<ProjectionReading>,
    /// When the counting began, by this process's clock.
    #[serde(skip)]
    pub began: Instant,
}

/// How a projection stood.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionReading {
    /// What was counted.
    #[serde(flatten)]
    pub status: Status,
    /// The log that it folds, where others write it: what it is called, and its table.
    pub log: Option<String>,
    /// Why it is not known how far it is behind: then the zeros in `status` mean nothing.
    pub uncounted: Option<String>,
    /// The projection that this one is a rebuild of.
    pub rebuilds: Option<String>,
}

/// What the name of a rebuild ends in.
const REBUILD: &str = ".rebuild";

impl ProjectionReading {
    /// What was counted of a projection, and what of it is not known.
    pub(crate) fn new(status: Status, log: Option<String>, uncounted: Option<String>) -> Self {
        let rebuilds = status.projection.strip_suffix(REBUILD).map(str::to_owned);
        Self { status, log, uncounted, rebuilds }
    }

    /// Events that are not applied, of all classes; none where that is not known.
    #[must_use]
    pub fn behind(&self) -> Option<u64> {
        self.uncounted.is_none().then(|| self.status.behind())
    }
}

impl Reading {
    /// A reading that begins now.
    pub(crate) fn begin(schema: &str) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            counted_at: since.as_secs_f64(),
            took_seconds: 0.0,
            database: String::new(),
            schema: schema.to_owned(),
            error: None,
            projections: Vec::new(),
            began: Instant::now(),
        }
    }

    /// How long ago the counting began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}
