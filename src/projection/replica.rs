//! Identical replicas: each claims a partition that nobody has, and stands by while all are taken.

use super::connections::Connections;
use super::listing::{Listed, ProcessWorker};
use super::run::run_on;
use super::trouble::{Failures, Retry};
use super::{Phase, Progress, Projection, Report, RunError, RunOptions, Worker};
use crate::class::Class;
use crate::database::{Database, describe};
use crate::lease;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A lease is renewed this many times before it would run out.
const RENEWALS_PER_TERM: u32 = 3;

/// What is asked of the database about a lease may take this long: sqlx has no timeout of its own, and on a connection
/// that went silent a replica would wait for ever.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a replica needs to know in addition to what a worker does.
#[derive(Debug, Clone)]
pub struct Replica {
    /// The name of the projection.
    pub projection: String,
    /// How many partitions there are.
    pub total_partitions: u32,
    /// How long a lease holds without being renewed.
    pub lease_term: Duration,
}

impl Replica {
    fn listed(&self, shared: &Connections, partition: Option<Class>, progress: &Arc<Progress>) -> Listed {
        let (projection, progress) = (Some(self.projection.clone()), Arc::clone(progress));
        shared.listing.enter(ProcessWorker { projection, partition, progress })
    }
}

/// Claims a partition, runs a worker made by `make` for it, and claims another one if the lease is lost. Ends when it
/// is to, giving the lease back, or when the worker ends.
///
/// # Errors
///
/// See [`RunError`]: what is wrong at the start, and when the projection goes on with another number of partitions.
///
/// # Cancel safety
///
/// A dropped replica leaves its lease to run out. Cancel `shutdown` instead.
pub async fn run_replica<P: Projection>(
    database: &Database,
    replica: &Replica,
    make: impl Fn(Class) -> Worker<P>,
    options: &RunOptions,
    shutdown: &CancellationToken,
) -> Result<Report, RunError> {
    let shared = Connections::new(database);
    let outcome = run_replica_in(&shared, replica, make, options, shutdown).await;
    shared.close().await;
    outcome
}

/// [`run_replica`], as one of several of a process.
pub(super) async fn run_replica_in<P: Projection>(
    shared: &Connections,
    replica: &Replica,
    make: impl Fn(Class) -> Worker<P>,
    options: &RunOptions,
    shutdown: &CancellationToken,
) -> Result<Report, RunError> {
    let (database, owner) = (&shared.database, Uuid::new_v4());
    // As for a worker: later on a failing database is waited for.
    drop(database.connect().await?);
    let mut total = Report::default();
    while let Some(partition) = wait_for_partition(shared, replica, owner, shutdown).await {
        tracing::info!(%partition, "claimed");
        let worker_stop = shutdown.child_token();
        let renewing = renew(database, replica, partition, owner, &worker_stop);
        let worker = make(partition);
        let _listed = replica.listed(shared, Some(partition), &worker.progress());
        let ended = tokio::select! {
            ended = run_on(shared, worker, options, None, worker_stop.clone()) => ended,
            // Never ends: a lease that is lost cancels the worker, which then ends above.
            never = renewing => match never {},
        };
        release(database, replica, partition, owner).await;
        total = total.and(ended?);
        if shutdown.is_cancelled() || !worker_stop.is_cancelled() {
            break;
        }
    }
    Ok(total)
}

/// Waits for a partition to be free. None if it is to stop.
async fn wait_for_partition(
    shared: &Connections,
    replica: &Replica,
    owner: Uuid,
    shutdown: &CancellationToken,
) -> Option<Class> {
    let Replica { projection, total_partitions, lease_term } = replica;
    let (database, progress) = (&shared.database, Arc::<Progress>::default());
    let _listed = replica.listed(shared, None, &progress);
    let mut stands_by = false;
    loop {
        let claimed = timed(async {
            let mut conn = database.connect().await.map_err(|error| error.to_string())?;
            lease::claim(database.schema(), &mut conn, projection, *total_partitions, owner, *lease_term)
                .await
                .map_err(|e| describe(&e))
        });
        let pause = match claimed.await {
            Ok(claimed) => {
                progress.stepped();
                progress.set_phase(Phase::StandingBy);
                if let Some(lasted) = progress.note_recovery() {
                    tracing::info!("partitions can be claimed again, after {lasted:.1?}");
                }
                if let Some(partition) = claimed {
                    return Some(partition);
                }
                if !std::mem::replace(&mut stands_by, true) {
                    tracing::info!("all {total_partitions} partitions are taken; standing by");
                }
                *lease_term / RENEWALS_PER_TERM
            }
            Err(why) => {
                let Retry { pause, report, .. } = progress.note_failure(&why);
                if let Some(lasted) = report {
                    tracing::error!("no partition could be claimed{lasted}: {why}; trying again in {pause:.1?}");
                }
                pause
            }
        };
        shutdown.run_until_cancelled(tokio::time::sleep(pause)).await?;
    }
}

/// Renews the lease, and stops the worker when somebody else has it.
async fn renew(
    database: &Database,
    replica: &Replica,
    partition: Class,
    owner: Uuid,
    worker_stop: &CancellationToken,
) -> std::convert::Infallible {
    let Replica { projection, lease_term, .. } = replica;
    let (mut conn, mut failures) = (None, Failures::default());
    loop {
        tokio::time::sleep(*lease_term / RENEWALS_PER_TERM).await;
        let attempt = timed(async {
            let mut conn = match conn.take() {
                Some(conn) => conn,
                None => database.connect().await.map_err(|error| error.to_string())?,
            };
            let renewed = lease::renew(database.schema(), &mut conn, projection, partition, owner, *lease_term).await;
            renewed.map(|renewed| (renewed, conn)).map_err(|error| describe(&error))
        });
        match attempt.await {
            Ok((renewed, good)) => {
                conn = Some(good);
                if let Some(lasted) = failures.recovered(Instant::now()) {
                    tracing::info!(%partition, "leases can be renewed again, after {lasted:.1?}");
                }
                if !renewed {
                    tracing::warn!(%partition, "the lease ran out and was taken over");
                    worker_stop.cancel();
                }
            }
            // The worker goes on, or meets the same failure and waits; its revisions keep it safe, whoever has the
            // lease.
            Err(why) => {
                if let Some(lasted) = failures.failed(&why, Instant::now()).report {
                    tracing::warn!(%partition, "the lease was not renewed{lasted}: {why}; trying again");
                }
            }
        }
    }
}

async fn release(database: &Database, replica: &Replica, partition: Class, owner: Uuid) {
    let released = timed(async {
        let mut conn = database.connect().await.map_err(|error| error.to_string())?;
        lease::release(database.schema(), &mut conn, &replica.projection, partition, owner)
            .await
            .map_err(|error| describe(&error))
    });
    if let Err(error) = released.await {
        tracing::debug!(%partition, %error, "the lease was not given back; it runs out by itself");
    }
}

async fn timed<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("the database did not answer within {TIMEOUT:?}"));
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(late)
}
