//! Several partitions in one process: each with a worker of its own, whose failure is its own.

use super::run::{run_woken, wake};
use super::shared::Shared;
use super::wake::Wake;
use super::{Progress, Projection, Report, RunError, RunOptions, Worker, WorkerError};
use crate::class::Class;
use crate::database::Database;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The pause before a partition that failed is started again: doubled with each failure up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Workers that run side by side.
pub struct Pool {
    members: Vec<Member>,
    tasks: JoinSet<(Class, Result<Report, RunError>)>,
}

/// One partition of a pool.
#[derive(Debug, Clone)]
pub struct Member {
    /// Which one.
    pub partition: Class,
    /// What its worker has done, across restarts.
    pub progress: Arc<Progress>,
}

impl Pool {
    /// Starts a worker for each partition, made by `make`, which is called again after a failure.
    ///
    /// A worker that ends with an error is started again after a growing pause, without end: only one that is superseded,
    /// or whose projection was begun otherwise, is not. The others go on meanwhile.
    pub fn start<P: Projection>(
        database: &Database,
        partitions: &[Class],
        make: impl Fn(Class) -> Worker<P> + Clone + Send + 'static,
        options: &RunOptions,
        shutdown: &CancellationToken,
    ) -> Self {
        let mut pool = Self { members: Vec::new(), tasks: JoinSet::new() };
        let (shared, wake) = (Shared::new(partitions.len()), wake(database, options));
        for &partition in partitions {
            let progress = Arc::<Progress>::default();
            pool.members.push(Member { partition, progress: Arc::clone(&progress) });
            let (make, shared) = (make.clone(), Arc::clone(&shared));
            let make = move || make(partition).with_progress(Arc::clone(&progress)).sharing(&shared);
            let (database, options, wake) = (database.clone(), options.clone(), wake.clone());
            let shutdown = shutdown.clone();
            pool.tasks.spawn(async move { (partition, supervise(&database, make, &options, &wake, shutdown).await) });
        }
        pool
    }

    /// The partitions, in the order in which they were given.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Waits for the next worker that ends for good. None when all have.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a dropped wait.
    pub async fn ended(&mut self) -> Option<(Class, Result<Report, RunError>)> {
        loop {
            match self.tasks.join_next().await? {
                Ok(ended) => return Some(ended),
                // The supervisor has no code of the projection's in it.
                Err(error) => tracing::error!(%error, "a partition's supervisor ended"),
            }
        }
    }
}

/// Runs a worker, and another one when it fails.
async fn supervise<P: Projection>(
    database: &Database,
    make: impl Fn() -> Worker<P>,
    options: &RunOptions,
    wake: &Wake,
    shutdown: CancellationToken,
) -> Result<Report, RunError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let worker = make();
        let partition = worker.class();
        let (database, options, wake) = (database.clone(), options.clone(), wake.clone());
        let token = shutdown.clone();
        // A task of its own, so that a projection that panics takes down nothing else.
        let ended = tokio::spawn(async move { run_woken(&database, worker, &options, &wake, token).await }).await;
        let why = match ended {
            Ok(Ok(report)) => return Ok(report),
            Ok(Err(error)) if is_final(&error) => return Err(error),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(%partition, "{why}; starting this partition again in {pause:.1?}");
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(Report::default());
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn is_final(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Register(_)
            | RunError::Schema(_)
            | RunError::Worker(WorkerError::Superseded { .. } | WorkerError::Register(_))
    )
}
