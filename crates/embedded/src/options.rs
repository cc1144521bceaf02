//! Which server is meant, and how it is to be run.

use std::path::PathBuf;

/// Which server is meant, and how it is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The directory of the database, by convention `.evenfold/pg`; made where it does not exist.
    pub data_dir: PathBuf,
    /// Whether commits survive a crash of the server or the machine; true by default. A server that runs
    /// without is switched over by the first who asks for it, and not back while it runs.
    pub durable: bool,
    /// The directory of `initdb`, `pg_ctl` and `postgres` (`EVENFOLD_PG_BIN`). By default the first of
    /// `PATH` and the usual places whose version is 13 or newer and fits an existing database.
    pub bin_dir: Option<PathBuf>,
}

impl Options {
    /// The same with this [`data_dir`](Self::data_dir).
    #[must_use]
    pub fn data_dir(self, data_dir: PathBuf) -> Self {
        Self { data_dir, ..self }
    }

    /// The same with this [`durable`](Self::durable).
    #[must_use]
    pub fn durable(self, durable: bool) -> Self {
        Self { durable, ..self }
    }

    /// The same with this [`bin_dir`](Self::bin_dir).
    #[must_use]
    pub fn bin_dir(self, bin_dir: Option<PathBuf>) -> Self {
        Self { bin_dir, ..self }
    }
}

impl Options {
    /// A durable server with its database in `data_dir`, run by the binaries that are found.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), durable: true, bin_dir: None }
    }
}
