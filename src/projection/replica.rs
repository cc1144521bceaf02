//! Identical replicas: each claims a partition that nobody has, and stands by while all are taken.

use super::run::{run_woken, wake};
use super::wake::Wake;
use super::{Projection, Report, RunError, RunOptions, Worker};
use crate::class::Class;
use crate::database::Database;
use crate::lease;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A lease is renewed this many times before it would run out.
const RENEWALS_PER_TERM: u32 = 3;

/// What a replica needs to know beside what a worker does.
#[derive(Debug, Clone)]
pub struct Replica {
    /// The name of the projection.
    pub projection: String,
    /// How many partitions there are.
    pub total_partitions: u32,
    /// How long a lease holds without being renewed.
    pub lease_term: Duration,
}

/// Claims a partition, runs a worker made by `make` for it, and claims another one if the lease is lost. Ends when told
/// to, giving the lease back, or when the worker ends.
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
    // As for a worker: later on a failing database is waited for.
    drop(database.connect().await?);
    let wake = wake(database, options);
    let outcome = work(database, replica, make, options, &wake, shutdown).await;
    wake.close().await;
    outcome
}

async fn work<P: Projection>(
    database: &Database,
    replica: &Replica,
    make: impl Fn(Class) -> Worker<P>,
    options: &RunOptions,
    wake: &Wake,
    shutdown: &CancellationToken,
) -> Result<Report, RunError> {
    let owner = Uuid::new_v4();
    let mut total = Report::default();
    while let Some(partition) = wait_for_partition(database, replica, owner, shutdown).await {
        tracing::info!(%partition, "claimed");
        let worker_stop = shutdown.child_token();
        let renewing = renew(database, replica, partition, owner, &worker_stop);
        let ended = tokio::select! {
            ended = run_woken(database, make(partition), options, wake, None, worker_stop.clone()) => ended,
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

/// Waits for a partition to be free. None if told to stop.
async fn wait_for_partition(
    database: &Database,
    replica: &Replica,
    owner: Uuid,
    shutdown: &CancellationToken,
) -> Option<Class> {
    let Replica { projection, total_partitions, lease_term } = replica;
    let mut told = false;
    loop {
        let claimed = async {
            let mut conn = database.connect().await.map_err(|error| error.to_string())?;
            lease::claim(&mut conn, projection, *total_partitions, owner, *lease_term).await.map_err(|e| e.to_string())
        };
        match claimed.await {
            Ok(Some(partition)) => return Some(partition),
            Ok(None) if told => {}
            Ok(None) => {
                tracing::info!("all {total_partitions} partitions are taken; standing by");
                told = true;
            }
            Err(error) => tracing::warn!(%error, "no partition could be claimed; trying again"),
        }
        shutdown.run_until_cancelled(tokio::time::sleep(*lease_term / RENEWALS_PER_TERM)).await?;
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
    let mut conn = None;
    loop {
        tokio::time::sleep(*lease_term / RENEWALS_PER_TERM).await;
        let attempt = async {
            let mut conn = match conn.take() {
                Some(conn) => conn,
                None => database.connect().await.map_err(|error| error.to_string())?,
            };
            let renewed = lease::renew(&mut conn, projection, partition, owner, *lease_term).await;
            renewed.map(|renewed| (renewed, conn)).map_err(|error| error.to_string())
        };
        match attempt.await {
            Ok((true, good)) => conn = Some(good),
            Ok((false, _)) => {
                tracing::warn!(%partition, "the lease ran out and was taken over");
                worker_stop.cancel();
            }
            // The worker meets the same failure, and waits for the database; its revisions keep it safe.
            Err(error) => tracing::debug!(%partition, %error, "the lease was not renewed"),
        }
    }
}

async fn release(database: &Database, replica: &Replica, partition: Class, owner: Uuid) {
    let released = async {
        let mut conn = database.connect().await.map_err(|error| error.to_string())?;
        lease::release(&mut conn, &replica.projection, partition, owner).await.map_err(|error| error.to_string())
    };
    if let Err(error) = released.await {
        tracing::debug!(%partition, %error, "the lease was not given back; it runs out by itself");
    }
}
