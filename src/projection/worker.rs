//! One worker of one partition, as a state machine that is moved one step at a time.
//!
//! ```text
//!                 read the row                      read, apply, commit
//!   ┌─────────┐ ─────────────────────► ┌─────────┐ ───────────┐
//!   │ Unknown │                        │ Holding │            │ the row had our revision
//!   └─────────┘ ◄───────────────────── └─────────┘ ◄──────────┘
//!        ▲   │     a failure, or the row had another revision
//!        │   │ the row's last writer is another worker, which was faster than us
//!        │   ▼
//!   ┌────────────┐
//!   │ StandingBy │ until the row has not moved for a while
//!   └────────────┘
//! ```

use super::{Batch, BoxError, Phase, Progress, Projection, definition};
use crate::checkpoint::{self, Checkpoint, Held, RegisterError};
use crate::class::Class;
use crate::log::{self, EventBuffer, Fence, Interest};
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// An empty window is not written each time, but this often, so that a restart does not read far back.
const WRITE_EMPTY_WINDOW_AFTER: Duration = Duration::from_secs(10);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The most events of one batch, which is one transaction. At least 1.
    pub batch_size: usize,
    /// How long another worker's checkpoint must not have moved before this one takes the partition over.
    pub takeover_after: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { batch_size: 5_000, takeover_after: Duration::from_secs(2) }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The projection's checkpoints are of another number of partitions now. Final.
    #[error(
        "partition {class} of the projection {projection} is no more: start with the number of partitions it has now"
    )]
    Superseded {
        /// The projection.
        projection: String,
        /// The partition.
        class: Class,
    },
    /// The database's. Trying again is right.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The projection's own. Trying again is right.
    #[error("the projection failed: {0}")]
    Projection(#[source] BoxError),
}

/// A batch that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Events that were applied.
    pub events: u64,
    /// Events that were parked.
    pub parked: u64,
    /// The position of the last of them.
    pub position: i64,
    /// Whether that was all: everything that was committed when the window was opened is applied.
    pub caught_up: bool,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Committed a batch.
    Applied(Applied),
    /// Found nothing to apply.
    CaughtUp,
    /// Found its checkpoint moved, by another worker or an operator: nothing of the batch was kept.
    Outrun,
    /// Left the partition to another worker.
    StandingBy,
}

enum State {
    Unknown,
    StandingBy { revision: i64, since: Instant },
    Holding(Holding),
}

struct Holding {
    checkpoint: Checkpoint,
    revision: i64,
    any_parked: bool,
    written: Instant,
    written_floor: i64,
}

/// Applies the events of one partition to one projection.
pub struct Worker<P> {
    id: Uuid,
    class: Class,
    projection: P,
    interest: Interest,
    options: WorkerOptions,
    /// Below the batch size after a batch that was cut short by its bytes.
    limit: usize,
    state: State,
    outrun: bool,
    events: EventBuffer,
    progress: Arc<Progress>,
}

impl<P: Projection> Worker<P> {
    /// A worker for this partition. Nothing happens before [`register`](Self::register).
    pub fn new(class: Class, projection: P, options: WorkerOptions) -> Self {
        Self {
            id: Uuid::new_v4(),
            class,
            interest: projection.interest(),
            projection,
            limit: options.batch_size.max(1),
            options,
            state: State::Unknown,
            outrun: false,
            events: EventBuffer::default(),
            progress: Arc::default(),
        }
    }

    /// Begins the projection, or checks that it was begun with the same settings and number of partitions.
    ///
    /// # Errors
    ///
    /// See [`RegisterError`].
    ///
    /// # Cancel safety
    ///
    /// One transaction.
    pub async fn register(&self, conn: &mut PgConnection) -> Result<(), RegisterError> {
        checkpoint::register(conn, self.projection.name(), &definition(&self.projection), self.class).await
    }

    /// Who this is, in checkpoints and heartbeats.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its partition.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Its projection.
    #[must_use]
    pub fn projection(&self) -> &P {
        &self.projection
    }

    /// What it has done so far.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Does the next thing: reads its checkpoint, or applies one batch, or finds that there is nothing to do.
    ///
    /// # Errors
    ///
    /// See [`WorkerError`]. Nothing was applied that is not committed; the next step starts from the checkpoint. After
    /// [`WorkerError::Database`] give the next step a new connection.
    ///
    /// # Cancel safety
    ///
    /// A dropped step has committed its batch or not; the next step finds out. Give it a new connection.
    pub async fn step(&mut self, conn: &mut PgConnection) -> Result<Step, WorkerError> {
        // Taken out, so that whatever ends this step early, an error or a drop, leaves `Unknown` behind.
        match std::mem::replace(&mut self.state, State::Unknown) {
            State::Unknown => self.take_up(conn, None).await,
            State::StandingBy { revision, since } => self.take_up(conn, Some((revision, since))).await,
            State::Holding(holding) => self.advance(conn, holding).await,
        }
    }

    /// Reads the row, and decides who works on it.
    async fn take_up(
        &mut self,
        conn: &mut PgConnection,
        standing_by: Option<(i64, Instant)>,
    ) -> Result<Step, WorkerError> {
        self.projection.forget();
        let name = self.projection.name();
        let Some(Held { checkpoint, revision, owner }) = checkpoint::load(conn, name, self.class).await? else {
            return Err(WorkerError::Superseded { projection: name.to_owned(), class: self.class });
        };
        // Outrun by another worker, not by an operator who retries what is parked: leave it alone while it moves.
        let (seen, since) = standing_by.unwrap_or((revision, Instant::now()));
        let contested = (self.outrun || standing_by.is_some()) && owner.is_some_and(|owner| owner != self.id);
        if contested && (seen != revision || since.elapsed() < self.options.takeover_after) {
            let since = if seen == revision { since } else { Instant::now() };
            self.state = State::StandingBy { revision, since };
            self.progress.set_phase(Phase::StandingBy);
            return Ok(Step::StandingBy);
        }
        let any_parked = checkpoint::has_parked(conn, name, self.class).await?;
        let (written, written_floor) = (Instant::now(), checkpoint.floor());
        self.outrun = false;
        self.advance(conn, Holding { checkpoint, revision, any_parked, written, written_floor }).await
    }

    /// Opens a window if none is open, reads its next events, and applies them.
    async fn advance(&mut self, conn: &mut PgConnection, mut holding: Holding) -> Result<Step, WorkerError> {
        let started = Instant::now();
        if !holding.checkpoint.has_open_window() {
            // After the row was read or written, never before.
            let fence = Fence::take(conn).await?;
            let unchanged = holding.checkpoint.is_unchanged_at(&fence);
            holding.checkpoint.open(fence);
            if unchanged {
                holding.checkpoint.close();
                return self.rest(conn, holding, started).await;
            }
        }
        let Some(window) = holding.checkpoint.window() else {
            return self.rest(conn, holding, started).await;
        };
        let read = log::read(conn, window, self.class, &self.interest, self.limit, &mut self.events).await?;
        let count = self.events.len();
        // A batch cut short by its bytes: ask for no more rows than fit, so that few are sent for nothing.
        self.limit = if !read.complete && count < self.limit { count } else { self.limit.saturating_mul(2) }
            .clamp(1, self.options.batch_size.max(1));
        if let Some(position) = self.events.last_position() {
            holding.checkpoint.advance_to(position);
        }
        if read.complete {
            holding.checkpoint.close();
        }
        if count == 0 {
            return self.rest(conn, holding, started).await;
        }
        self.progress.set_phase(Phase::Applying);
        self.apply(conn, holding, read, started).await
    }

    /// Applies the batch that was read, in one transaction with the checkpoint.
    async fn apply(
        &mut self,
        conn: &mut PgConnection,
        mut holding: Holding,
        read: log::Read,
        started: Instant,
    ) -> Result<Step, WorkerError> {
        let name = self.projection.name().to_owned();
        let mut tx = conn.begin().await?;
        // First of all: whoever comes second waits here, finds another revision, and has written nothing.
        let Some(revision) =
            checkpoint::commit(&mut tx, &name, self.class, &holding.checkpoint, holding.revision, self.id).await?
        else {
            tx.rollback().await?;
            self.outrun = true;
            return Ok(Step::Outrun);
        };
        let parked = if holding.any_parked {
            checkpoint::parked_among(&mut tx, &name, &self.events).await?
        } else {
            HashSet::new()
        };
        let mut batch = Batch::new(&self.events, parked);
        self.projection.apply(&mut tx, &mut batch).await.map_err(WorkerError::Projection)?;
        let to_park = batch.to_park();
        if !to_park.is_empty() {
            checkpoint::park(&mut tx, &name, &to_park).await?;
            holding.any_parked = true;
            warn_of(&to_park, self.class);
        }
        tx.commit().await?;

        let parked = to_park.len() as u64;
        let events = self.events.len() as u64 - parked;
        let position = self.events.last_position().unwrap_or_default();
        if tracing::enabled!(tracing::Level::DEBUG) {
            for event in batch.events() {
                tracing::debug!(partition = %self.class, position = event.position, aggregate_type = event.aggregate_type,
                    aggregate_id = event.aggregate_id, version = event.version, event_type = event.event_type, "applied");
            }
        }
        self.progress.add_batch(events, parked, position);
        self.progress.add_time(started.elapsed(), read.decoding + batch.folding());
        let caught_up = !holding.checkpoint.has_open_window();
        holding.written = Instant::now();
        holding.written_floor = holding.checkpoint.floor();
        self.state = State::Holding(Holding { revision, ..holding });
        Ok(Step::Applied(Applied { events, parked, position, caught_up }))
    }

    /// Nothing was there to apply. The window's end is remembered, and written now and then.
    async fn rest(&mut self, conn: &mut PgConnection, holding: Holding, started: Instant) -> Result<Step, WorkerError> {
        self.progress.set_phase(Phase::CaughtUp);
        self.progress.add_time(started.elapsed(), Duration::ZERO);
        let due = holding.written.elapsed() >= WRITE_EMPTY_WINDOW_AFTER;
        if due && holding.written_floor != holding.checkpoint.floor() {
            return self.write(conn, holding).await;
        }
        self.state = State::Holding(holding);
        Ok(Step::CaughtUp)
    }

    async fn write(&mut self, conn: &mut PgConnection, holding: Holding) -> Result<Step, WorkerError> {
        let Holding { checkpoint, revision, .. } = &holding;
        let name = self.projection.name();
        if let Some(revision) = checkpoint::commit(conn, name, self.class, checkpoint, *revision, self.id).await? {
            let (written, written_floor) = (Instant::now(), checkpoint.floor());
            self.state = State::Holding(Holding { revision, written, written_floor, ..holding });
            Ok(Step::CaughtUp)
        } else {
            self.outrun = true;
            Ok(Step::Outrun)
        }
    }

    /// Writes down how far it has looked, so that the next worker need not look again. Nothing is lost without it.
    ///
    /// # Cancel safety
    ///
    /// One statement.
    pub async fn finish(&mut self, conn: &mut PgConnection) -> Result<(), WorkerError> {
        if let State::Holding(holding) = std::mem::replace(&mut self.state, State::Unknown)
            && holding.written_floor != holding.checkpoint.floor()
        {
            self.write(conn, holding).await?;
        }
        Ok(())
    }
}

fn warn_of(parked: &[checkpoint::ParkedEvent<'_>], class: Class) {
    for checkpoint::ParkedEvent { event, reason } in parked {
        tracing::warn!(partition = %class, aggregate_type = event.aggregate_type, aggregate_id = event.aggregate_id,
            version = event.version, position = event.position, %reason, "parked");
    }
}
