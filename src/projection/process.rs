//! What the workers of a process have in common, whatever they fold.

use super::connections::Connections;
use super::pool::{Pool, PoolError};
use super::replica::{Replica, run_replica_in};
use super::run::run_in;
use super::{ProcessWorker, Projection, Report, RunError, RunOptions, Worker};
use crate::class::Class;
use crate::database::Database;
use tokio_util::sync::CancellationToken;

/// Several projections in one process, which share two connections in addition to those of their workers: one that
/// listens for appends, and one on which all of their heartbeats are written. [`Pool::start`] and [`run`](super::run)
/// have one of their own.
///
/// ```no_run
/// # use evenfold::{BoxError, Class, Database, Process, Projection, RunOptions, Worker, WorkerOptions};
/// # use tokio_util::sync::CancellationToken;
/// # async fn f<P: Projection + Clone + Sync>(database: &Database, revenue: P, stock: P) -> Result<(), BoxError> {
/// let (process, options, stop) = (Process::new(database), RunOptions::default(), CancellationToken::new());
/// let all = [Class::partition(0, 2)?, Class::partition(1, 2)?];
/// let of_revenue = move |class| Worker::new(class, revenue.clone(), WorkerOptions::default());
/// let of_stock = move |class| Worker::new(class, stock.clone(), WorkerOptions::default());
/// let mut revenue = process.pool(&all, of_revenue, &options, &stop)?;
/// let mut stock = process.pool(&all, of_stock, &options, &stop)?;
/// while revenue.ended().await.is_some() {}
/// while stock.ended().await.is_some() {}
/// process.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Process {
    connections: Connections,
}

impl Process {
    /// No worker yet, and no connection: both come with the first worker.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { connections: Connections::new(database) }
    }

    /// [`Pool::start`], in this process.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::start`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn pool<P: Projection>(
        &self,
        partitions: &[Class],
        make: impl Fn(Class) -> Worker<P> + Clone + Send + 'static,
        options: &RunOptions,
        shutdown: &CancellationToken,
    ) -> Result<Pool, PoolError> {
        Pool::start_in(&self.connections, partitions, make, options, shutdown)
    }

    /// [`run`](super::run), in this process.
    ///
    /// # Errors
    ///
    /// Those of [`run`](super::run).
    ///
    /// # Cancel safety
    ///
    /// That of [`run`](super::run).
    pub async fn run<P: Projection>(
        &self,
        worker: Worker<P>,
        options: &RunOptions,
        shutdown: CancellationToken,
    ) -> Result<Report, RunError> {
        run_in(&self.connections, worker, options, shutdown).await
    }

    /// [`run_replica`](super::run_replica), in this process.
    ///
    /// # Errors
    ///
    /// Those of [`run_replica`](super::run_replica).
    ///
    /// # Cancel safety
    ///
    /// That of [`run_replica`](super::run_replica).
    pub async fn run_replica<P: Projection>(
        &self,
        replica: &Replica,
        make: impl Fn(Class) -> Worker<P>,
        options: &RunOptions,
        shutdown: &CancellationToken,
    ) -> Result<Report, RunError> {
        run_replica_in(&self.connections, replica, make, options, shutdown).await
    }

    /// The workers that are at work, are restarted, or have ended with an error, and replicas that wait for a
    /// partition: what each has done, and what keeps it from doing more.
    #[must_use]
    pub fn workers(&self) -> Vec<ProcessWorker> {
        self.connections.listing.all()
    }

    /// Closes the connections that are shared, once all workers have ended: so that whoever owns the server can stop
    /// it. A process that is dropped closes them by itself, some time later.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has ended them, and not waited until they are closed.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}
