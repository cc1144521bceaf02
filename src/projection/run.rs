//! A worker's life: connect, check, step until it is to stop, survive the database.

use super::connections::Connections;
use super::heart::Heart;
use super::join::join;
use super::listing::ProcessWorker;
use super::pace::{Pace, Pause};
use super::peer::Peer;
use super::traced;
use super::wake::Sleeper;
use super::{Applied, Progress, Projection, Report, RunError, RunOptions, Step, Worker, WorkerError};
use crate::database::Database;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How long looking for another worker with the same partition may take. Nothing depends on it but a line of the log.
const PEER_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a worker until `shutdown`, or until nothing is left if that is wanted. Once it has connected, a failing
/// database only makes it wait: it tries again for ever, and says so in its log and its [`Progress`].
///
/// # Errors
///
/// See [`RunError`]: what is wrong with the first connection, and later on what [is final](RunError::is_final).
///
/// # Cancel safety
///
/// A dropped run has committed its last batch or not, as a killed process would have. Cancel `shutdown` instead, to
/// let it finish the batch.
pub async fn run<P: Projection>(
    database: &Database,
    worker: Worker<P>,
    options: &RunOptions,
    shutdown: CancellationToken,
) -> Result<Report, RunError> {
    let shared = Connections::new(database);
    let outcome = run_in(&shared, worker, options, shutdown).await;
    shared.close().await;
    outcome
}

/// [`run`], as one of several workers of a process.
pub(super) async fn run_in<P: Projection>(
    shared: &Connections,
    worker: Worker<P>,
    options: &RunOptions,
    shutdown: CancellationToken,
) -> Result<Report, RunError> {
    // What is wrong now is for whoever starts the process, and more likely a mistake than a failure that passes.
    let first = own(&shared.database, &worker, options).connect().await?;
    let (projection, partition) = (Some(worker.projection().name().to_owned()), Some(worker.class()));
    let _listed = shared.listing.enter(ProcessWorker { projection, partition, progress: worker.progress() });
    run_on(shared, worker, options, Some(first), shutdown).await
}

/// The database as a worker uses it.
fn own<P: Projection>(database: &Database, worker: &Worker<P>, options: &RunOptions) -> Database {
    let own = database.named(&format!("evenfold {} {}", worker.projection().name(), worker.class())).by_index();
    // Whoever removes rows from a log, because a checkpoint shows that they were applied, must not be on disk sooner
    // than that: of one server, where one commit is on disk all before it are.
    let is_elsewhere = worker.projection().source().is_some_and(|source| !source.database().is_where(database));
    // One that ends when nothing is left says so by ending: that is to be true of the disk as well.
    let waits = options.synchronous_commit || options.until_caught_up || is_elsewhere;
    if waits { own } else { own.committing_asynchronously() }
}

/// The same, on this connection first if there is one, and waiting for a database that is not there where there is
/// none.
pub(super) async fn run_on<P: Projection>(
    shared: &Connections,
    mut worker: Worker<P>,
    options: &RunOptions,
    first: Option<PgConnection>,
    shutdown: CancellationToken,
) -> Result<Report, RunError> {
    let started = Instant::now();
    let database = own(&shared.database, &worker, options);
    shared.listing.name(&worker.progress(), worker.projection().name());
    worker = worker.reading_ahead(&database);
    let heart = Heart::start(&shared.heartbeats, &worker, options);
    let span = traced::worker(worker.projection().name(), worker.class());
    let joined = join(&database, first, &mut worker, heart.pulse(), options, &shutdown).instrument(span.clone());
    let outcome = match joined.await {
        Ok(Some(conn)) => {
            heart.joined();
            work(&database, conn, &mut worker, options, shared.wake(options).sleeper(), &shutdown)
                .instrument(span)
                .await
                .map_err(RunError::Worker)
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    heart.stop().await;
    outcome?;
    Ok(worker.progress().report(started))
}

async fn work<P: Projection>(
    database: &Database,
    conn: PgConnection,
    worker: &mut Worker<P>,
    options: &RunOptions,
    mut sleeper: Sleeper,
    shutdown: &CancellationToken,
) -> Result<(), WorkerError> {
    let progress = worker.progress();
    let mut pace = Pace::new(options.poll_interval, options.rest);
    let mut conn = Some(conn);
    let mut peer = Peer::of(database.schema(), worker.id(), worker.projection().name(), worker.class());
    let mut caught_up = 0;
    // Looked at between steps only: a step that has begun is finished, and its batch committed.
    while !shutdown.is_cancelled() {
        let outcome = match conn.take() {
            Some(conn) => step(worker, conn, options).await,
            None => match shutdown.run_until_cancelled(database.connect()).await {
                // However the one before was lost: this one may lead to another server, or to an earlier state of it.
                Some(Ok(conn)) => {
                    progress.add_reconnect();
                    worker.forget();
                    step(worker, conn, options).await
                }
                Some(Err(error)) => Outcome::Failed(error.to_string()),
                None => break,
            },
        };
        let pause = match outcome {
            Outcome::Stepped(step, mut kept) => {
                progress.recovered(worker.class());
                progress.stepped();
                log_step(worker, step, &progress);
                let looked = tokio::time::timeout(PEER_TIMEOUT, peer.after(step, &mut kept)).await;
                // A connection on which that has failed may be in the middle of an answer.
                conn = matches!(looked, Ok(Ok(()))).then_some(kept);
                // Once more after catching up, for what was appended meanwhile; not for ever, under steady writing.
                caught_up += u32::from(matches!(step, Step::Applied(Applied { caught_up: true, .. })));
                if options.until_caught_up && (step == Step::CaughtUp || caught_up > 1) {
                    break;
                }
                pace.after(step, Instant::now(), sleeper.workers())
            }
            Outcome::Final(error) => return Err(error),
            Outcome::Failed(why) => Pause::Fixed(progress.failed(worker.class(), &why)),
        };
        if shutdown.run_until_cancelled(rest(pause, &mut pace, &mut sleeper)).await.is_none() {
            break;
        }
    }
    if let Some(mut conn) = conn {
        // Only saves the next worker a look: if it fails, nothing is lost.
        let _ = tokio::time::timeout(options.database_timeout, worker.finish(&mut conn)).await;
        let _ = tokio::time::timeout(options.database_timeout, conn.close()).await;
    }
    Ok(())
}

/// Pauses up to this one are worth a thread's time.
const SHORT: Duration = Duration::from_millis(4);

async fn rest(pause: Pause, pace: &mut Pace, sleeper: &mut Sleeper) {
    match pause {
        Pause::None => {}
        Pause::Fixed(pause) => tokio::time::sleep(pause).await,
        Pause::UntilWoken(pause) => {
            tokio::select! {
                () = sleeper.woken() => pace.woken(Instant::now()),
                () = exactly(pause) => {}
            }
        }
    }
}

/// Sleeps. The runtime's timers count whole milliseconds and wait for one more: a pause of one would take two or three,
/// by far the most of an event's latency. So a short one is left to a thread.
async fn exactly(pause: Duration) {
    if pause > SHORT {
        tokio::time::sleep(pause).await;
    } else {
        // It ends by itself, also if this is dropped.
        let _ = tokio::task::spawn_blocking(move || std::thread::sleep(pause)).await;
    }
}

enum Outcome {
    Stepped(Step, PgConnection),
    /// To be tried again, on a new connection.
    Failed(String),
    Final(WorkerError),
}

/// One step, within its time. The connection is given back only if it is still good.
async fn step<P: Projection>(worker: &mut Worker<P>, mut conn: PgConnection, options: &RunOptions) -> Outcome {
    match tokio::time::timeout(options.database_timeout, worker.step(&mut conn)).await {
        Ok(Ok(step)) => Outcome::Stepped(step, conn),
        Ok(Err(error)) if error.is_final() => Outcome::Final(error),
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        // sqlx has no timeout of its own: on a connection that went silent, a step would wait for ever.
        Err(_) => Outcome::Failed(format!(
            "a batch took longer than {:?}: lower --batch-size or raise --database-timeout-ms if the database is just slow",
            options.database_timeout
        )),
    }
}

fn log_step<P: Projection>(worker: &Worker<P>, step: Step, progress: &Progress) {
    let (projection, partition) = (worker.projection().name(), worker.class());
    match step {
        Step::Applied(Applied { events, parked, position, .. }) => {
            // No lag: the last count of it is older than this batch.
            let applied_total = progress.applied();
            tracing::info!(%partition, events, parked, %position, applied_total, projection, "applied");
        }
        Step::Outrun => {
            tracing::info!(%partition, projection, "the checkpoint was moved by someone else; nothing of this batch was kept");
        }
        Step::Converged => tracing::debug!(%partition, "checkpoints converge after a change of partitions"),
        Step::StandingBy => tracing::debug!(%partition, "another worker has this partition"),
        Step::CaughtUp => tracing::trace!(%partition, "caught up"),
    }
}
