//! The projections that a program knows, without their types: what the commands need of them.

use crate::config::UsageError;
use clap::builder::Resettable;
use clap::{ArgMatches, Args, Command};
use evenfold::class::Class;
use evenfold::database::Database;
use evenfold::event::Aggregate;
use evenfold::log::Source;
use evenfold::projection::parked::{self, Retried, RetriedTogether, RetryAll, RetryError};
use evenfold::projection::{
    Pool, PoolError, Process, Projection, Replica, Report, RunError, RunOptions, Sourced, Worker, WorkerOptions,
};
use evenfold::schema::Schema;
use evenfold::shadow::{RebuildError, RebuildOptions, TablesRebuilt, Verified, VerifyError, rebuild, verify};
use futures_util::future::{BoxFuture, LocalBoxFuture};
use sqlx::PgConnection;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A projection whose settings are not known yet.
pub(crate) trait Entry: Send + Sync {
    /// The name under which its checkpoints are kept.
    fn name(&self) -> &str;

    /// Whether it is a file of SQL, which is its definition.
    fn is_file(&self) -> bool;

    /// Adds the flags of its settings.
    fn flags(&self, command: Command) -> Command;

    /// The projection with the settings that were given; an error for settings that can't be.
    fn configure(&self, matches: &ArgMatches, batch_size: Option<usize>) -> Result<Box<dyn Configured>, UsageError>;
}

/// A projection with its settings.
pub(crate) trait Configured: Send + Sync {
    /// Works on one partition until it is to stop.
    fn run<'a>(&'a self, on: On<'a>, partition: Class) -> BoxFuture<'a, Result<Report, RunError>>;

    /// Works on whichever partition no other replica has.
    fn run_replica<'a>(&'a self, on: On<'a>, replica: &'a Replica) -> BoxFuture<'a, Result<Report, RunError>>;

    /// Starts a worker for each of these partitions.
    fn pool(&self, on: On<'_>, partitions: &[Class]) -> Result<Pool, PoolError>;

    /// For events that are parked.
    fn parked(&self, source: Option<Source>) -> Box<dyn Parked>;

    /// Folds what is applied again, and compares.
    fn verify<'a>(
        &'a self,
        own: &'a Schema,
        conn: &'a mut PgConnection,
        source: Option<&'a Source>,
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<Verified, VerifyError>>;

    /// Folds the log anew, and puts what it makes in the place of what is in use.
    fn rebuild<'a>(
        &'a self,
        on: (&'a Database, Option<&'a Source>),
        options: &'a RebuildOptions,
        shutdown: &'a CancellationToken,
        watch: &'a (dyn Fn(u64) + Sync),
    ) -> LocalBoxFuture<'a, Result<TablesRebuilt, RebuildError>>;
}

/// What applies parked events.
pub(crate) trait Parked: Send {
    fn retry<'a>(
        &'a mut self,
        own: &'a Schema,
        conn: &'a mut PgConnection,
        aggregate: &'a Aggregate,
    ) -> Tried<'a, Retried>;

    fn retry_next<'a>(
        &'a mut self,
        all: &'a mut RetryAll,
        own: &'a Schema,
        conn: &'a mut PgConnection,
    ) -> Tried<'a, Option<RetriedTogether>>;

    fn drop_first<'a>(
        &'a mut self,
        own: &'a Schema,
        conn: &'a mut PgConnection,
        aggregate: &'a Aggregate,
    ) -> Tried<'a, Retried>;
}

pub(crate) type Tried<'a, T> = LocalBoxFuture<'a, Result<T, RetryError>>;

/// Where and how workers work.
#[derive(Clone)]
pub(crate) struct On<'a> {
    pub(crate) process: &'a Process,
    pub(crate) worker: WorkerOptions,
    pub(crate) run: &'a RunOptions,
    pub(crate) shutdown: &'a CancellationToken,
    /// The log, if others write it.
    pub(crate) source: Option<&'a Source>,
}

/// Makes the projection of its settings.
type Make<A, P> = Arc<dyn Fn(&A) -> P + Send + Sync>;

/// What of the settings goes together, with the batch size where there is one.
type Check<A> = fn(&A, Option<usize>) -> Result<(), UsageError>;

pub(crate) struct Registered<A, P> {
    name: String,
    make: Make<A, P>,
    check: Check<A>,
    is_file: bool,
}

impl<A: Args + Send + Sync + 'static, P: Projection> Registered<A, P> {
    pub(crate) fn new(name: String, make: impl Fn(&A) -> P + Send + Sync + 'static, check: Check<A>) -> Self {
        Self { name, make: Arc::new(make), check, is_file: false }
    }

    /// The same, which is a file of SQL.
    pub(crate) fn of_file(self) -> Self {
        Self { is_file: true, ..self }
    }
}

impl<A: Args + Send + Sync + 'static, P: Projection> Entry for Registered<A, P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_file(&self) -> bool {
        self.is_file
    }

    fn flags(&self, command: Command) -> Command {
        // The comment of the settings' type is not what the command is about.
        let (about, long) = (command.get_about().cloned(), command.get_long_about().cloned());
        A::augment_args(command).about(Resettable::from(about)).long_about(Resettable::from(long))
    }

    fn configure(&self, matches: &ArgMatches, batch_size: Option<usize>) -> Result<Box<dyn Configured>, UsageError> {
        let settings = A::from_arg_matches(matches).map_err(|error| UsageError(error.to_string()))?;
        (self.check)(&settings, batch_size)?;
        Ok(Box::new(Settled { settings: Arc::new(settings), make: Arc::clone(&self.make) }))
    }
}

struct Settled<A, P> {
    settings: Arc<A>,
    make: Make<A, P>,
}

impl<A: Send + Sync + 'static, P: Projection> Settled<A, P> {
    fn projection(&self, source: Option<Source>) -> Sourced<P> {
        Sourced::new((self.make)(&self.settings), source)
    }

    fn worker(&self, on: &On<'_>) -> impl Fn(Class) -> Worker<Sourced<P>> + Clone + Send + use<A, P> {
        let (settings, make) = (Arc::clone(&self.settings), Arc::clone(&self.make));
        let (options, source) = (on.worker.clone(), on.source.cloned());
        move |class| Worker::new(class, Sourced::new(make(&settings), source.clone()), options.clone())
    }
}

impl<A: Send + Sync + 'static, P: Projection> Configured for Settled<A, P> {
    fn run<'a>(&'a self, on: On<'a>, partition: Class) -> BoxFuture<'a, Result<Report, RunError>> {
        let worker = self.worker(&on)(partition);
        Box::pin(on.process.run(worker, on.run, on.shutdown.clone()))
    }

    fn run_replica<'a>(&'a self, on: On<'a>, replica: &'a Replica) -> BoxFuture<'a, Result<Report, RunError>> {
        Box::pin(on.process.run_replica(replica, self.worker(&on), on.run, on.shutdown))
    }

    fn pool(&self, on: On<'_>, partitions: &[Class]) -> Result<Pool, PoolError> {
        on.process.pool(partitions, self.worker(&on), on.run, on.shutdown)
    }

    fn parked(&self, source: Option<Source>) -> Box<dyn Parked> {
        Box::new(Retrying(self.projection(source)))
    }

    fn verify<'a>(
        &'a self,
        own: &'a Schema,
        conn: &'a mut PgConnection,
        source: Option<&'a Source>,
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<Verified, VerifyError>> {
        Box::pin(async move { verify(own, conn, &mut self.projection(source.cloned()), limit).await })
    }

    fn rebuild<'a>(
        &'a self,
        (database, source): (&'a Database, Option<&'a Source>),
        options: &'a RebuildOptions,
        shutdown: &'a CancellationToken,
        watch: &'a (dyn Fn(u64) + Sync),
    ) -> LocalBoxFuture<'a, Result<TablesRebuilt, RebuildError>> {
        let source = source.cloned();
        let (settings, make) = (Arc::clone(&self.settings), Arc::clone(&self.make));
        let make = move || Sourced::new(make(&settings), source.clone());
        Box::pin(rebuild(database, make, options, shutdown, watch))
    }
}

struct Retrying<P>(P);

impl<P: Projection> Parked for Retrying<P> {
    fn retry<'a>(
        &'a mut self,
        own: &'a Schema,
        conn: &'a mut PgConnection,
        aggregate: &'a Aggregate,
    ) -> Tried<'a, Retried> {
        Box::pin(parked::retry(own, conn, &mut self.0, aggregate))
    }

    fn retry_next<'a>(
        &'a mut self,
        all: &'a mut RetryAll,
        own: &'a Schema,
        conn: &'a mut PgConnection,
    ) -> Tried<'a, Option<RetriedTogether>> {
        Box::pin(all.next(own, conn, &mut self.0))
    }

    fn drop_first<'a>(
        &'a mut self,
        own: &'a Schema,
        conn: &'a mut PgConnection,
        aggregate: &'a Aggregate,
    ) -> Tried<'a, Retried> {
        Box::pin(parked::drop_first(own, conn, &mut self.0, aggregate))
    }
}
