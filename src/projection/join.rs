//! How a worker comes by its partition: it registers, with its first heartbeat, and waits while it may not take over.

use super::beating::Pulse;
use super::{Phase, Projection, RunError, RunOptions, Worker, WorkerError};
use crate::checkpoint::{self, Registered};
use crate::database::Database;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a worker that may not take over looks whether it may.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(1);

/// Registers the worker, as often as it takes, and gives the connection. Gives nothing if it is to stop
/// meanwhile.
pub(super) async fn join<P: Projection>(
    database: &Database,
    mut conn: Option<PgConnection>,
    worker: &mut Worker<P>,
    pulse: &Pulse,
    options: &RunOptions,
    shutdown: &CancellationToken,
) -> Result<Option<PgConnection>, RunError> {
    let (partition, progress) = (worker.class(), worker.progress());
    let (mut superseded, mut lost) = (None, false);
    while !shutdown.is_cancelled() {
        let attempt =
            tokio::time::timeout(options.database_timeout, attempt(database, (conn.take(), lost), worker, pulse));
        lost = true;
        let pause = match attempt.await {
            Ok(Ok((Registered::Ready, conn))) => return Ok(Some(conn)),
            Ok(Ok((Registered::Superseded { by, retry_in }, good))) => {
                if options.until_caught_up {
                    let projection = worker.projection().name().to_owned();
                    return Err(WorkerError::Superseded { projection, partition, by }.into());
                }
                progress.recovered(partition);
                progress.stepped();
                progress.set_phase(Phase::Superseded(by));
                if superseded.replace(by) != Some(by) {
                    tracing::warn!(%partition, "superseded: the projection has gone on with {by} partitions; waiting, to \
                        take over when none of their workers is alive, or in {retry_in:.0?}, or at once with --takeover");
                }
                conn = Some(good);
                SUPERSEDED_PAUSE
            }
            Ok(Err(error)) if error.is_final() => return Err(error),
            Ok(Err(error)) => progress.failed(partition, &error.to_string()),
            Err(_) => {
                let limit = options.database_timeout;
                progress.failed(partition, &format!("registering took longer than {limit:?}: somebody may hold a lock"))
            }
        };
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
    }
    Ok(None)
}

/// Registers, and leaves a heartbeat in the same transaction: at no moment has the projection a number of partitions of
/// which no worker seems to be alive, just because its first one has not got around to a heartbeat.
///
/// Without a connection it makes one, which is noted where an earlier one was lost.
async fn attempt<P: Projection>(
    database: &Database,
    (conn, lost): (Option<PgConnection>, bool),
    worker: &mut Worker<P>,
    pulse: &Pulse,
) -> Result<(Registered, PgConnection), RunError> {
    let mut conn = if let Some(conn) = conn {
        conn
    } else {
        let conn = database.connect().await?;
        if lost {
            worker.progress().add_reconnect();
        }
        conn
    };
    let mut tx = conn.begin().await.map_err(WorkerError::Database)?;
    let registered = worker.register(&mut tx).await?;
    if registered == Registered::Ready {
        checkpoint::beat(database.schema(), &mut tx, &pulse.beat(0.0, None)).await.map_err(WorkerError::Database)?;
    }
    tx.commit().await.map_err(WorkerError::Database)?;
    Ok((registered, conn))
}
