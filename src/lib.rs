//! evenfold folds an event log kept in PostgreSQL into read models, exactly once and in order, by N identical workers
//! that never talk to each other: all they share is the database.
//!
//! # Five minutes
//!
//! Events are [appended](append) in the caller's own transaction. A [`Projection`] says what a batch of them does to a
//! read model; a [`Worker`] hands it those of its partition, and commits what it writes together with its checkpoint.
//!
//! ```no_run
//! use evenfold::{Batch, BoxError, Class, Database, NewEvent, Projection, RunOptions, Worker, WorkerOptions};
//! use evenfold::{append, migrate, run};
//! use sqlx::PgConnection;
//!
//! struct Parcels;
//!
//! impl Projection for Parcels {
//!     fn name(&self) -> &str {
//!         "parcels"
//!     }
//!
//!     async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
//!         sqlx::raw_sql("CREATE TABLE parcels (of text PRIMARY KEY, sent bigint)").execute(conn).await?;
//!         Ok(())
//!     }
//!
//!     async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
//!         for event in batch.events().filter(|event| event.event_type == "order-shipped") {
//!             sqlx::query("INSERT INTO parcels VALUES ($1, 1) ON CONFLICT (of) DO UPDATE SET sent = parcels.sent + 1")
//!                 .bind(event.aggregate_id)
//!                 .execute(&mut *conn)
//!                 .await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # async fn f() -> Result<(), BoxError> {
//! let database = Database::at("postgres://user@localhost/shop")?;
//! let mut conn = database.connect_to_server().await?.0;
//! migrate(database.schema(), &mut conn).await?;
//! append(&mut conn, &[NewEvent::new("order", "4711", "order-shipped", &1)?]).await?;
//!
//! // Partition 0 of 4, until everything is applied. In production each runs until its process is stopped.
//! let worker = Worker::new(Class::partition(0, 4)?, Parcels, WorkerOptions::default());
//! let stop = tokio_util::sync::CancellationToken::new();
//! let report = run(&database, worker, &RunOptions::default().until_caught_up(true), stop).await?;
//! println!("{} events are in the read model", report.applied);
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! - To write: [`append`], or an [`Appender`] for many callers at once; [`load`] reads one aggregate to decide on the
//!   next event, which is appended [with the version](NewEvent::expecting) that was read.
//! - To fold: [`Projection`], [`run`] for one partition, [`Pool`] for several in one process and
//!   [`Process`] for several projections, [`run_replica`] for
//!   whichever partition nobody has.
//! - To read your own writes: [`wait_until`] a projection has applied them.
//! - To operate: [`migrate`], [`status`]; the crate `evenfold-cli` makes a command line of projections, with these and
//!   more.
//! - To try: [`counters`], the projection that is built in.
//! - In another schema than `evenfold`: [`Log`] and [`Database::in_schema`].
//!
//! A worker reads the log by windows between snapshots, which can't miss an event whatever the order in which
//! transactions commit; `docs/design.md` has the argument. The modules that do so are public for evenfold's own
//! packages and tests: they are not documented here, and change without notice.

#[doc(hidden)]
pub mod checkpoint;
#[doc(hidden)]
pub mod class;
#[doc(hidden)]
pub mod counter;
pub mod counters;
#[doc(hidden)]
pub mod database;
#[doc(hidden)]
pub mod event;
#[doc(hidden)]
pub mod hash;
#[doc(hidden)]
pub mod import;
mod invariant;
#[doc(hidden)]
pub mod lease;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod number;
#[doc(hidden)]
pub mod projection;
#[doc(hidden)]
pub mod schema;
#[doc(hidden)]
pub mod shadow;
#[doc(hidden)]
pub mod state_table;

pub use checkpoint::{ClassStatus, RegisterError, Status, Takeover, status};
pub use class::{Class, ClassError};
pub use database::{ConnectError, Database, InvalidSchema, Schema, SchemaError};
pub use event::{Aggregate, Envelope, Event, ExpectedVersion, InvalidEvent, NewEvent, RecordedEvent};
pub use log::{AppendError, Appended, Appender, AppenderOptions, EventStream, Interest, LoadError, Log, append, load};
pub use number::{Position, Version};
pub use projection::{
    Batch, BoxError, Fatal, LinkTo, Pool, PoolError, PoolWorker, Process, Projection, Replica, Report, RunError,
    RunOptions, Target, WaitError, Worker, WorkerError, WorkerOptions, run, run_replica, wait_until,
};
pub use schema::{Migrated, migrate};

/// The documents' Rust is compiled as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../docs/guide/first-steps.md")]
    pub struct FirstSteps;

    #[doc = include_str!("../docs/guide/projections.md")]
    pub struct Projections;
}
