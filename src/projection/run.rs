//! A worker's life: connect, check, step until told to stop, survive the database.

use super::heart::Heart;
use super::pace::{Pace, Pause};
use super::wake::{Sleeper, Wake};
use super::{Applied, Phase, Progress, Projection, Report, Step, Worker, WorkerError};
use crate::checkpoint::{RegisterError, Registered};
use crate::database::{ConnectError, Database, back_off};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often a worker that may not take over looks whether it may.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(1);

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Whether to end when nothing is left to apply.
    pub until_caught_up: bool,
    /// The longest pause after finding nothing to apply. It is shorter while events come, and ends when a writer
    /// [notifies](crate::log::CHANNEL).
    pub poll_interval: Duration,
    /// How long to rest after catching up with the log, however much is appended meanwhile: it is applied together then, which
    /// costs less. Zero by default.
    pub rest: Duration,
    /// How long one step (reading, applying and committing one batch) may take before its connection is given up.
    pub database_timeout: Duration,
    /// The pause between two heartbeats.
    pub heartbeat_interval: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            until_caught_up: false,
            poll_interval: Duration::from_millis(50),
            rest: Duration::ZERO,
            database_timeout: Duration::from_mins(1),
            heartbeat_interval: Duration::from_secs(2),
        }
    }
}

/// Why a worker did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The projection was begun otherwise.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The partition is no more.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Runs a worker until `shutdown`, or until nothing is left if so told. Once it has started, a failing database only
/// makes it wait: it tries again for ever, and says so in its log and its [`Progress`].
///
/// # Errors
///
/// See [`RunError`]: what is wrong at the start, and when the partition is no more.
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
    let wake = wake(database, options);
    let outcome = run_woken(database, worker, options, &wake, shutdown).await;
    wake.close().await;
    outcome
}

/// What wakes the workers of a process, and is to be passed on to all of them.
pub(super) fn wake(database: &Database, options: &RunOptions) -> Wake {
    // Who ends when nothing is left never waits for more.
    if options.until_caught_up { Wake::never() } else { Wake::listening(database) }
}

/// [`run`], as one of several workers of a process.
pub(super) async fn run_woken<P: Projection>(
    database: &Database,
    mut worker: Worker<P>,
    options: &RunOptions,
    wake: &Wake,
    shutdown: CancellationToken,
) -> Result<Report, RunError> {
    let started = Instant::now();
    let database = database.named(&format!("evenfold {} {}", worker.projection().name(), worker.class())).by_index();
    worker = worker.reading_ahead(&database);
    let conn = database.connect().await?;
    let Some(conn) = join(&database, conn, &mut worker, options, &shutdown).await? else {
        return Ok(worker.progress().report(started));
    };
    let stop_heart = CancellationToken::new();
    // A dropped run leaves nothing behind that says that it is at work.
    let _stopped = stop_heart.clone().drop_guard();
    let heart = Heart {
        database: database.clone(),
        worker: worker.id(),
        projection: worker.projection().name().to_owned(),
        class: worker.class(),
        interest: worker.projection().interest(),
        interval: options.heartbeat_interval,
        progress: worker.progress(),
    };
    let heart = tokio::spawn(heart.run(stop_heart.clone()));
    let outcome = work(&database, conn, &mut worker, options, wake.sleeper(), &shutdown).await;
    stop_heart.cancel();
    if let Err(panic) = heart.await {
        tracing::error!(partition = %worker.class(), %panic, "the heartbeat panicked");
    }
    outcome?;
    Ok(worker.progress().report(started))
}

/// Registers the worker, and waits while it may not take over. Gives nothing if it was told to stop meanwhile.
async fn join<P: Projection>(
    database: &Database,
    conn: PgConnection,
    worker: &mut Worker<P>,
    options: &RunOptions,
    shutdown: &CancellationToken,
) -> Result<Option<PgConnection>, RunError> {
    let mut first = Some(conn);
    let mut told = None;
    loop {
        let started = first.is_some();
        let attempt = async {
            let mut conn = match first.take() {
                Some(conn) => conn,
                None => database.connect().await?,
            };
            let registered = worker.register(&mut conn).await?;
            Ok::<_, RunError>((registered, conn))
        };
        match attempt.await {
            Ok((Registered::Ready, conn)) => return Ok(Some(conn)),
            Ok((Registered::Superseded { by, retry_in }, _)) => {
                if options.until_caught_up {
                    let projection = worker.projection().name().to_owned();
                    return Err(WorkerError::Superseded { projection, partition: worker.class(), by }.into());
                }
                worker.progress().set_phase(Phase::Superseded(by));
                if told != Some(by) {
                    tracing::warn!(partition = %worker.class(), "superseded: the projection has gone on with {by} \
                        partitions; waiting, to take over in {retry_in:.0?}, or at once with --takeover");
                    told = Some(by);
                }
            }
            // Once it waits, a database that fails is waited for as well.
            Err(error @ (RunError::Connect(_) | RunError::Register(RegisterError::Database(_)))) if !started => {
                tracing::warn!(partition = %worker.class(), %error, "trying again");
            }
            Err(error) => return Err(error),
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(SUPERSEDED_PAUSE)).await.is_none() {
            return Ok(None);
        }
    }
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
    let mut failures = 0;
    let mut caught_up = 0;
    // Looked at between steps only: a step that has begun is finished, and its batch committed.
    while !shutdown.is_cancelled() {
        let outcome = match conn.take() {
            Some(conn) => step(worker, conn, options).await,
            None => match database.connect().await {
                Ok(conn) => step(worker, conn, options).await,
                Err(error) => Outcome::Failed(error.to_string()),
            },
        };
        let pause = match outcome {
            Outcome::Stepped(step, kept) => {
                if failures > 0 {
                    tracing::info!(partition = %worker.class(), "the database is back");
                    failures = 0;
                }
                conn = Some(kept);
                log_step(worker, step, &progress);
                // Once more after catching up, for what was appended meanwhile; not for ever, under steady writing.
                caught_up += u32::from(matches!(step, Step::Applied(Applied { caught_up: true, .. })));
                if options.until_caught_up && (step == Step::CaughtUp || caught_up > 1) {
                    break;
                }
                pace.after(step, Instant::now(), sleeper.workers())
            }
            Outcome::Final(error) => return Err(error),
            Outcome::Failed(why) => {
                let pause = back_off(failures);
                failures += 1;
                tracing::warn!(partition = %worker.class(), failures, "{why}; trying again in {pause:.1?}");
                progress.set_phase(Phase::Retrying(why));
                Pause::Fixed(pause)
            }
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
        Ok(Err(error @ (WorkerError::Superseded { .. } | WorkerError::Register(_)))) => Outcome::Final(error),
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        // sqlx has no timeout of its own: on a connection that went silent, a step would wait for ever.
        Err(_) => Outcome::Failed(format!(
            "a batch took longer than {:?}: lower --batch-size or raise --database-timeout-ms if the database is just slow",
            options.database_timeout
        )),
    }
}

fn log_step<P: Projection>(worker: &Worker<P>, step: Step, progress: &Progress) {
    let partition = worker.class();
    match step {
        Step::Applied(Applied { events, parked, position, .. }) => {
            // No lag: the last count of it is older than this batch.
            tracing::info!(%partition, events, parked, position, applied_total = progress.applied(), "applied");
        }
        Step::Outrun => {
            tracing::info!(%partition, "the checkpoint was moved by someone else; nothing of this batch was kept");
        }
        Step::Converged => tracing::debug!(%partition, "checkpoints converge after a change of partitions"),
        Step::StandingBy => tracing::debug!(%partition, "another worker has this partition"),
        Step::CaughtUp => tracing::trace!(%partition, "caught up"),
    }
}
