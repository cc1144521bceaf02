//! Several partitions in one process: each with a worker of its own, whose failure is its own.
//!
//! The workers are the shards of an actor group: each runs inside the actor of its partition, which the group's supervisor
//! restarts when the projection panics.

use super::run::{run_woken, wake};
use super::shared::Shared;
use super::wake::Wake;
use super::{Phase, Progress, Projection, Report, RunError, RunOptions, Trouble, Worker, WorkerError};
use crate::class::Class;
use crate::database::Database;
use crate::group::{ActorGroup, AskError, GroupOptions, GroupOptionsError, Shard};
use crate::hash::KeyHash;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Workers that run side by side.
pub struct Pool {
    members: Vec<Member>,
    tasks: JoinSet<(Class, Result<Report, RunError>)>,
    wake: Wake,
    /// The actors are not the pool's tasks: they are told when it is dropped.
    _dropped: DropGuard,
}

/// One partition of a pool.
#[derive(Debug, Clone)]
pub struct Member {
    /// Which one.
    pub partition: Class,
    /// What its worker has done, across restarts.
    pub progress: Arc<Progress>,
}

impl Member {
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
    /// Whatever fails in the database or the projection is tried again after a growing pause of up to ten seconds, without
    /// end, from the first connection on, while the other partitions go on: see [`Member::trouble`]. A worker ends with an
    /// error only for what must be changed in this process ([`RunError::is_final`]).
    ///
    /// # Errors
    ///
    /// [`GroupOptionsError`] for no partition at all, or more than [`MAX_SHARDS`](crate::group::MAX_SHARDS).
    ///
    /// # Cancel safety
    ///
    /// A pool whose start is dropped has started no worker; one that is dropped later ends as a killed process would.
    pub async fn start<P: Projection>(
        database: &Database,
        partitions: &[Class],
        make: impl Fn(Class) -> Worker<P> + Clone + Send + Sync + 'static,
        options: &RunOptions,
        shutdown: &CancellationToken,
    ) -> Result<Self, GroupOptionsError> {
        let (shared, wake) = (Shared::new(partitions.len()), wake(database, options));
        let members: Vec<Member> =
            partitions.iter().map(|&partition| Member { partition, progress: Arc::default() }).collect();
        let dropped = CancellationToken::new();
        let group = GroupOptions {
            id: "workers".to_owned(),
            shards: u32::try_from(members.len()).unwrap_or(u32::MAX),
            mailbox: 1,
            ..GroupOptions::default()
        };
        let partition = {
            let (members, database, options) = (members.clone(), database.clone(), options.clone());
            let (shutdown, dropped, wake) = (shutdown.clone(), dropped.clone(), wake.clone());
            move |shard: u32| {
                let Member { partition, progress } = members[shard as usize].clone();
                let (make, shared) = (make.clone(), Arc::clone(&shared));
                let make = move || make(partition).with_progress(Arc::clone(&progress)).sharing(&shared);
                let run = Run { database: database.clone(), options: options.clone(), wake: wake.clone() };
                Partition { make, run, shutdown: shutdown.clone(), dropped: dropped.clone() }
            }
        };
        let group = ActorGroup::start(group, partition).await?;
        let mut pool = Self { members, tasks: JoinSet::new(), wake, _dropped: dropped.drop_guard() };
        for (shard, member) in (0..).zip(pool.members.clone()) {
            let (group, shutdown) = (group.clone(), shutdown.clone());
            pool.tasks.spawn(async move { (member.partition, supervise(&group, shard, &member, shutdown).await) });
        }
        Ok(pool)
    }

    /// The partitions, in the order in which they were given.
    #[must_use]
    pub fn members(&self) -> &[Member] {
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
        self.wake.close().await;
        None
    }
}

/// Has a partition's actor run a worker, and another one when that panics.
async fn supervise<S: Shard<Message = (), Reply = Result<Report, RunError>>>(
    group: &ActorGroup<S>,
    shard: u32,
    member: &Member,
    shutdown: CancellationToken,
) -> Result<Report, RunError> {
    loop {
        let why = match group.ask_shard(shard, (), Duration::MAX).await {
            Ok(ended) => {
                if let Err(error) = &ended {
                    if let RunError::Worker(WorkerError::Superseded { by, .. }) = error {
                        member.progress.set_phase(Phase::Superseded(*by));
                    }
                    member.progress.ended(&error.to_string());
                }
                return ended;
            }
            Err(AskError::Panicked) => "the projection panicked".to_owned(),
            // The group ends with the last of these tasks.
            Err(error) => error.to_string(),
        };
        let pause = member.progress.failed(member.partition, &why);
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(Report::default());
        }
    }
}

/// A partition as a shard: what it is asked is to run a worker to its end.
struct Partition<F> {
    make: F,
    run: Run,
    shutdown: CancellationToken,
    dropped: CancellationToken,
}

struct Run {
    database: Database,
    options: RunOptions,
    wake: Wake,
}

impl<P: Projection, F: Fn() -> Worker<P> + Send + 'static> Shard for Partition<F> {
    type Message = ();
    type Reply = Result<Report, RunError>;
    type Item = ();

    async fn handle(&mut self, (): ()) -> Self::Reply {
        let Run { database, options, wake } = &self.run;
        let worker = run_woken(database, (self.make)(), options, wake, None, self.shutdown.clone());
        self.dropped.run_until_cancelled(worker).await.unwrap_or_else(|| Ok(Report::default()))
    }

    /// What a worker knows, it reads again from the database when it starts.
    async fn recover(&mut self) {}

    /// Events are divided by the database's classes, not by the group: it always has one shard for each partition.
    fn give(&mut self, _: &(dyn Fn(KeyHash) -> bool + Send + Sync)) -> Vec<(KeyHash, ())> {
        Vec::new()
    }

    fn take(&mut self, _: Vec<(KeyHash, ())>) {}
}
