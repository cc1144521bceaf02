//! Several partitions in one process: each with a worker of its own, whose failure is its own.

use super::connections::Connections;
use super::listing::{Listed, ProcessWorker};
use super::run::run_on;
use super::shared::Shared;
use super::{Phase, Progress, Projection, Report, RunError, RunOptions, Trouble, Worker, WorkerError};
use crate::class::Class;
use crate::database::Database;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The most partitions that one pool works on.
pub const MAX_WORKERS: u32 = 1024;

/// Why a pool was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// It was given no partition.
    #[error("a pool needs at least one partition")]
    Empty,
    /// It was given more than [`MAX_WORKERS`].
    #[error("a pool works on at most {MAX_WORKERS} partitions, not {0}: run several processes")]
    TooMany(usize),
}

/// Workers that run side by side.
pub struct Pool {
    members: Vec<PoolWorker>,
    tasks: JoinSet<(Class, Result<Report, RunError>)>,
    /// Of this pool alone, so that it ends with it.
    connections: Option<Connections>,
}

/// One partition of a pool.
#[derive(Debug, Clone)]
pub struct PoolWorker {
    /// Which one.
    pub partition: Class,
    /// What its worker has done, across restarts.
    pub progress: Arc<Progress>,
}

impl PoolWorker {
    /// Why nobody in this process works on the partition, and when it is tried again; none if somebody does, or if a
    /// worker of another process is at it and this one waits.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.progress.trouble()
    }
}

impl Pool {
    /// Starts a worker for each partition, made by `make`, which is called again after a panic.
    ///
    /// Whatever fails in the database or the projection is tried again after a growing pause of up to ten seconds,
    /// without end, from the first connection on, while the other partitions go on: see [`PoolWorker::trouble`]. A
    /// worker ends with an error only for what must be changed in this process ([`RunError::is_final`]).
    ///
    /// # Errors
    ///
    /// [`PoolError`] for no partition at all, or more than [`MAX_WORKERS`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. A pool that is dropped ends as a killed process would.
    pub fn start<P: Projection>(
        database: &Database,
        partitions: &[Class],
        make: impl Fn(Class) -> Worker<P> + Clone + Send + 'static,
        options: &RunOptions,
        shutdown: &CancellationToken,
    ) -> Result<Self, PoolError> {
        let connections = Connections::new(database);
        let pool = Self::start_in(&connections, partitions, make, options, shutdown)?;
        Ok(Self { connections: Some(connections), ..pool })
    }

    /// [`start`](Self::start), as one of several pools of a process.
    pub(super) fn start_in<P: Projection>(
        connections: &Connections,
        partitions: &[Class],
        make: impl Fn(Class) -> Worker<P> + Clone + Send + 'static,
        options: &RunOptions,
        shutdown: &CancellationToken,
    ) -> Result<Self, PoolError> {
        match partitions.len() {
            0 => return Err(PoolError::Empty),
            n if n > MAX_WORKERS as usize => return Err(PoolError::TooMany(n)),
            _ => {}
        }
        let shared = Shared::new(partitions.len());
        let members: Vec<PoolWorker> =
            partitions.iter().map(|&partition| PoolWorker { partition, progress: Arc::default() }).collect();
        let mut tasks = JoinSet::new();
        for member in &members {
            let PoolWorker { partition, progress } = member.clone();
            let (make, shared) = (make.clone(), Arc::clone(&shared));
            let make = move || make(partition).with_progress(Arc::clone(&progress)).sharing(&shared);
            let member = member.clone();
            let listed = connections.listing.enter(ProcessWorker {
                projection: None,
                partition: Some(partition),
                progress: Arc::clone(&member.progress),
            });
            let run = Run { connections: connections.clone(), options: options.clone(), shutdown: shutdown.clone() };
            tasks.spawn(async move { (partition, supervise(make, &run, &member, listed).await) });
        }
        Ok(Self { members, tasks, connections: None })
    }

    /// The partitions, in the order in which they were given.
    #[must_use]
    pub fn members(&self) -> &[PoolWorker] {
        &self.members
    }

    /// The partitions that nobody in this process works on, and why.
    #[must_use]
    pub fn troubles(&self) -> Vec<(Class, Trouble)> {
        self.members.iter().filter_map(|member| Some((member.partition, member.trouble()?))).collect()
    }

    /// Waits for the next worker that ends for good. None when all have, and have no connection any more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a dropped wait.
    pub async fn ended(&mut self) -> Option<(Class, Result<Report, RunError>)> {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(ended) => return Some(ended),
                // The supervisor has no code of the projection's in it.
                Err(error) => tracing::error!(%error, "a partition's supervisor ended"),
            }
        }
        if let Some(connections) = &self.connections {
            connections.close().await;
        }
        None
    }
}

/// What the workers of a pool have in common.
struct Run {
    connections: Connections,
    options: RunOptions,
    shutdown: CancellationToken,
}

/// Runs a worker to its end, and another one after each panic: in a task of its own, so that a panic ends nothing else.
async fn supervise<P: Projection>(
    make: impl Fn() -> Worker<P> + Clone + Send + 'static,
    run: &Run,
    member: &PoolWorker,
    listed: Listed,
) -> Result<Report, RunError> {
    loop {
        let Run { connections, options, shutdown } = run;
        let (make, connections, options, shutdown) =
            (make.clone(), connections.clone(), options.clone(), shutdown.clone());
        // Also what the user's code does while a worker is made can panic.
        let worker = async move { run_on(&connections, make(), &options, None, shutdown).await };
        match AbortOnDropHandle::new(tokio::spawn(worker)).await {
            Ok(ended) => {
                if let Err(error) = &ended {
                    if let RunError::Worker(WorkerError::Superseded { by, .. }) = error {
                        member.progress.set_phase(Phase::Superseded(*by));
                    }
                    member.progress.ended(&error.to_string());
                    listed.stay();
                }
                return ended;
            }
            // The runtime ends: nobody is left to start another one.
            Err(error) if error.is_cancelled() => return Ok(Report::default()),
            Err(_) => {
                let pause = member.progress.failed(member.partition, "the projection panicked");
                if run.shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return Ok(Report::default());
                }
            }
        }
    }
}
