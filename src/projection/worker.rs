//! One worker of one partition, as a state machine that is moved one step at a time.
//!
//! ```text
//!                 read the rows                     read, apply, commit; merge
//!   ┌─────────┐ ─────────────────────► ┌─────────┐ ───────────┐
//!   │ Unknown │                        │ Holding │            │ the rows had our revisions
//!   └─────────┘ ◄───────────────────── └─────────┘ ◄──────────┘
//!        ▲   │     a failure, or a row had another revision
//!        │   │ a row's last writer is another worker, which was faster than us
//!        │   ▼
//!   ┌────────────┐
//!   │ StandingBy │ until the rows have not moved for a while
//!   └────────────┘
//! ```
//!
//! A partition usually has one row. After a change of the number of partitions it may have several, which converge:
//! [`checkpoint::next`] decides at every step what they need.

use super::{Applied, Batch, Phase, Progress, Projection, Step, WorkerError, definition};
use crate::checkpoint::{self, Checkpoint, Held, Next, RegisterError, Registered, Takeover};
use crate::class::{Class, is_exact_cover};
use crate::log::{self, EventBuffer, Fence, Interest, Slice};
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// An empty window is not written each time, but this often, so that a restart does not read far back.
const WRITE_EMPTY_WINDOW_AFTER: Duration = Duration::from_secs(10);

/// How long workers with a number of partitions that was replaced wait before they may take over again.
pub const GRACE: Duration = Duration::from_mins(10);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The most events of one batch, which is one transaction. At least 1.
    pub batch_size: usize,
    /// How long another worker's checkpoint must not have moved before this one takes the partition over; and how often a
    /// worker with nothing to apply looks whether its own has.
    pub takeover_after: Duration,
    /// Whether, and when, this worker's number of partitions may replace one that has replaced it.
    pub topology: Takeover,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self { batch_size: 20_000, takeover_after: Duration::from_secs(2), topology: Takeover::After(GRACE) }
    }
}

enum State {
    Unknown,
    StandingBy { newest: i64, since: Instant },
    Holding(Holding),
}

struct Holding {
    /// All of the partition, and usually one row. What they say is ahead of the database by empty windows only.
    rows: Vec<Held>,
    any_parked: bool,
    written: Instant,
    written_floor: i64,
    /// When the rows were last seen to be as they are here.
    looked: Instant,
}

/// A batch that was read: for which rows, and how far it takes them.
struct Batched {
    rows: Vec<usize>,
    checkpoint: Checkpoint,
    decoding: Duration,
    started: Instant,
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
    joined: bool,
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
            joined: false,
            outrun: false,
            events: EventBuffer::default(),
            progress: Arc::default(),
        }
    }

    /// The same worker, which adds what it does to what another has done before it.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Begins the projection, or joins it: see [`checkpoint::register`]. A worker that has joined once never takes over
    /// again, whatever its options say: two sets of workers that may would replace each other in turn.
    ///
    /// # Errors
    ///
    /// See [`RegisterError`].
    ///
    /// # Cancel safety
    ///
    /// One transaction.
    pub async fn register(&mut self, conn: &mut PgConnection) -> Result<Registered, RegisterError> {
        let (name, definition) = (self.projection.name(), definition(&self.projection));
        let takeover = if self.joined { Takeover::After(Duration::MAX) } else { self.options.topology };
        let registered = checkpoint::register(conn, name, &definition, self.class, takeover).await?;
        self.joined |= registered == Registered::Ready;
        Ok(registered)
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
            State::StandingBy { newest, since } => self.take_up(conn, Some((newest, since))).await,
            State::Holding(holding) => self.advance(conn, holding).await,
        }
    }

    /// Reads the rows, and decides who works on them.
    async fn take_up(
        &mut self,
        conn: &mut PgConnection,
        standing_by: Option<(i64, Instant)>,
    ) -> Result<Step, WorkerError> {
        self.projection.forget();
        let rows = self.rows(conn).await?;
        // Revisions only ever grow: the newest one tells whether any row has moved.
        let newest = rows.iter().map(|held| held.revision).max().unwrap_or_default();
        let (seen, since) = standing_by.unwrap_or((newest, Instant::now()));
        // Outrun by another worker, not by an operator who retries what is parked: leave it alone while it moves.
        let others = rows.iter().any(|held| held.owner.is_some_and(|owner| owner != self.id));
        let contested = others && (self.outrun || standing_by.is_some());
        if contested && (seen != newest || since.elapsed() < self.options.takeover_after) {
            let since = if seen == newest { since } else { Instant::now() };
            self.state = State::StandingBy { newest, since };
            self.progress.set_phase(Phase::StandingBy);
            return Ok(Step::StandingBy);
        }
        let any_parked = checkpoint::has_parked(conn, self.projection.name(), self.class).await?;
        let (written, written_floor) = (Instant::now(), lowest_floor(&rows));
        self.outrun = false;
        self.advance(conn, Holding { rows, any_parked, written, written_floor, looked: written }).await
    }

    /// The rows inside the partition, which are all of it, unless the number of partitions was changed. Where they are
    /// several, they may be what such a change has cut this partition into: only a worker with the present number may
    /// put them together again, or it would merge what its successors have split, and they would split it again.
    async fn rows(&mut self, conn: &mut PgConnection) -> Result<Vec<Held>, WorkerError> {
        let name = self.projection.name().to_owned();
        let mut present = false;
        for _ in 0..2 {
            let rows = checkpoint::load(conn, &name, self.class).await?;
            let classes: Vec<Class> = rows.iter().map(|held| held.class).collect();
            if is_exact_cover(self.class, &classes) && (present || classes == [self.class]) {
                return Ok(rows);
            }
            match self.register(conn).await {
                Ok(Registered::Ready) => present = true,
                Ok(Registered::Superseded { by, .. }) => {
                    return Err(WorkerError::Superseded { projection: name, partition: self.class, by });
                }
                Err(RegisterError::Database(error)) => return Err(WorkerError::Database(error)),
                Err(error) => return Err(WorkerError::Register(error)),
            }
        }
        Err(WorkerError::Moving)
    }

    /// Does what the rows need next: merges them, or opens a window if none is open, reads its next events, and applies
    /// them.
    async fn advance(&mut self, conn: &mut PgConnection, mut holding: Holding) -> Result<Step, WorkerError> {
        let started = Instant::now();
        let rows: Vec<(Class, &Checkpoint)> = holding.rows.iter().map(|held| (held.class, &held.checkpoint)).collect();
        let (rows, mut checkpoint) = match checkpoint::next(self.class, &rows) {
            Next::Merge(checkpoint) => return self.merge(conn, holding, checkpoint).await,
            Next::Finish(rows) => (rows.clone(), holding.rows[rows[0]].checkpoint.clone()),
            Next::CatchUp(rows, upto) => {
                let mut checkpoint = holding.rows[rows[0]].checkpoint.clone();
                checkpoint.open(upto);
                (rows, checkpoint)
            }
            Next::Fence => {
                // After the row was read or written, never before.
                let fence = Fence::take(conn).await?;
                let mut checkpoint = holding.rows[0].checkpoint.clone();
                // Unchanged is what it was when the floor was read. The snapshot is later, and may show an event above
                // the floor: the checkpoint must not move up to it unread.
                if checkpoint.is_unchanged_at(&fence) {
                    return self.rest(conn, holding, started).await;
                }
                checkpoint.open(fence);
                (vec![0], checkpoint)
            }
        };
        let classes: Vec<Class> = rows.iter().map(|&index| holding.rows[index].class).collect();
        let decoding = self.read(conn, &mut checkpoint, &Slice::of(&classes)).await?;
        if self.events.is_empty() {
            for &index in &rows {
                holding.rows[index].checkpoint = checkpoint.clone();
            }
            return self.rest(conn, holding, started).await;
        }
        self.progress.set_phase(Phase::Applying);
        self.apply(conn, holding, Batched { rows, checkpoint, decoding, started }).await
    }

    /// Reads the next events of the open window, and moves the checkpoint past them.
    async fn read(
        &mut self,
        conn: &mut PgConnection,
        checkpoint: &mut Checkpoint,
        slice: &Slice,
    ) -> Result<Duration, WorkerError> {
        let Some(window) = checkpoint.window() else {
            self.events.clear();
            return Ok(Duration::ZERO);
        };
        let read = log::read(conn, window, slice, &self.interest, self.limit, &mut self.events).await?;
        let count = self.events.len();
        self.progress.add_received(count);
        // A batch cut short by its bytes: ask for no more rows than fit, so that few are sent for nothing.
        self.limit = if !read.complete && count < self.limit { count } else { self.limit.saturating_mul(2) }
            .clamp(1, self.options.batch_size.max(1));
        if let Some(position) = self.events.last_position() {
            checkpoint.advance_to(position);
        }
        if read.complete {
            checkpoint.close();
        }
        Ok(read.decoding)
    }

    /// Applies the batch that was read, in one transaction with the checkpoint.
    async fn apply(
        &mut self,
        conn: &mut PgConnection,
        mut holding: Holding,
        batched: Batched,
    ) -> Result<Step, WorkerError> {
        let Batched { rows, checkpoint, decoding, started } = batched;
        let name = self.projection.name().to_owned();
        let held: Vec<&Held> = rows.iter().map(|&index| &holding.rows[index]).collect();
        let mut tx = conn.begin().await?;
        // First of all: whoever comes second waits here, finds another revision, and has written nothing.
        let Some(revisions) = checkpoint::commit(&mut tx, &name, &held, &checkpoint, self.id).await? else {
            tx.rollback().await?;
            self.outrun = true;
            return Ok(Step::Outrun);
        };
        let (parked, dropped) = if holding.any_parked {
            checkpoint::parked_among(&mut tx, &name, &self.events).await?
        } else {
            (HashSet::new(), HashSet::new())
        };
        let mut batch = Batch::new(&self.events, parked, dropped);
        self.projection.apply(&mut tx, &mut batch).await.map_err(WorkerError::Projection)?;
        let to_park = batch.to_park();
        if !to_park.is_empty() {
            checkpoint::park(&mut tx, &name, &to_park).await?;
            holding.any_parked = true;
            warn_of(&to_park, self.class);
        }
        self.projection.flush(&mut tx).await.map_err(WorkerError::Projection)?;
        tx.commit().await?;

        self.projection.committed();
        let parked = to_park.len() as u64;
        let events = self.events.len() as u64 - parked;
        let position = self.events.last_position().unwrap_or_default();
        debug_each(&batch, self.class);
        self.progress.add_batch(events, parked, position);
        self.progress.add_time(started.elapsed(), decoding + batch.folding());
        for (&index, revision) in rows.iter().zip(revisions) {
            let class = holding.rows[index].class;
            holding.rows[index] = Held { class, checkpoint: checkpoint.clone(), revision, owner: Some(self.id) };
        }
        (holding.written, holding.looked) = (Instant::now(), Instant::now());
        holding.written_floor = lowest_floor(&holding.rows);
        let caught_up = holding.rows.len() == 1 && !checkpoint.has_open_window();
        self.state = State::Holding(holding);
        Ok(Step::Applied(Applied { events, parked, position, caught_up }))
    }

    /// Puts one row in the place of all of the partition's rows.
    async fn merge(
        &mut self,
        conn: &mut PgConnection,
        holding: Holding,
        checkpoint: Checkpoint,
    ) -> Result<Step, WorkerError> {
        let mut tx = conn.begin().await?;
        let rows: Vec<&Held> = holding.rows.iter().collect();
        let name = self.projection.name();
        let Some(merged) = checkpoint::merge(&mut tx, name, &rows, self.class, checkpoint, self.id).await? else {
            tx.rollback().await?;
            self.outrun = true;
            return Ok(Step::Outrun);
        };
        tx.commit().await?;
        let written_floor = merged.checkpoint.floor();
        let holding = Holding { rows: vec![merged], written: Instant::now(), written_floor, ..holding };
        self.state = State::Holding(holding);
        Ok(Step::Converged)
    }

    /// Nothing was there to apply. The window's end is remembered, and written now and then.
    async fn rest(&mut self, conn: &mut PgConnection, holding: Holding, started: Instant) -> Result<Step, WorkerError> {
        self.progress.add_time(started.elapsed(), Duration::ZERO);
        if holding.rows.len() > 1 {
            // Behind by nothing that concerns them: on to the next group, or the merge, which writes it all.
            self.state = State::Holding(holding);
            return Ok(Step::Converged);
        }
        self.progress.set_phase(Phase::CaughtUp);
        if holding.written.elapsed() >= WRITE_EMPTY_WINDOW_AFTER {
            return self.write(conn, holding).await;
        }
        if holding.looked.elapsed() >= self.options.takeover_after {
            return self.look(conn, holding).await;
        }
        self.state = State::Holding(holding);
        Ok(Step::CaughtUp)
    }

    /// Looks whether the rows are still as they were: a worker with nothing to commit would not notice that it was
    /// superseded.
    async fn look(&mut self, conn: &mut PgConnection, mut holding: Holding) -> Result<Step, WorkerError> {
        let now = checkpoint::load(conn, self.projection.name(), self.class).await?;
        let keys = |rows: &[Held]| rows.iter().map(|held| (held.class, held.revision)).collect::<Vec<_>>();
        if keys(&now) != keys(&holding.rows) {
            self.outrun = true;
            return Ok(Step::Outrun);
        }
        holding.looked = Instant::now();
        self.state = State::Holding(holding);
        Ok(Step::CaughtUp)
    }

    async fn write(&mut self, conn: &mut PgConnection, mut holding: Holding) -> Result<Step, WorkerError> {
        let floor = lowest_floor(&holding.rows);
        if let [held] = holding.rows.as_mut_slice()
            && holding.written_floor != floor
        {
            let written = checkpoint::commit(conn, self.projection.name(), &[held], &held.checkpoint, self.id).await?;
            let Some(&[revision]) = written.as_deref() else {
                self.outrun = true;
                return Ok(Step::Outrun);
            };
            held.revision = revision;
        }
        (holding.written, holding.written_floor) = (Instant::now(), floor);
        holding.looked = holding.written;
        self.state = State::Holding(holding);
        Ok(Step::CaughtUp)
    }

    /// Writes down how far it has looked, so that the next worker need not look again. Nothing is lost without it.
    ///
    /// # Cancel safety
    ///
    /// One statement.
    pub async fn finish(&mut self, conn: &mut PgConnection) -> Result<(), WorkerError> {
        if let State::Holding(holding) = std::mem::replace(&mut self.state, State::Unknown) {
            self.write(conn, holding).await?;
        }
        Ok(())
    }
}

fn lowest_floor(rows: &[Held]) -> i64 {
    rows.iter().map(|held| held.checkpoint.floor()).min().unwrap_or_default()
}

fn debug_each(batch: &Batch<'_>, partition: Class) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        for event in batch.events() {
            tracing::debug!(%partition, position = event.position, aggregate_type = event.aggregate_type,
                aggregate_id = event.aggregate_id, version = event.version, event_type = event.event_type, "applied");
        }
    }
}

fn warn_of(parked: &[checkpoint::ParkedEvent<'_>], class: Class) {
    for checkpoint::ParkedEvent { event, reason } in parked {
        tracing::warn!(partition = %class, aggregate_type = event.aggregate_type, aggregate_id = event.aggregate_id,
            version = event.version, position = event.position, %reason, "parked");
    }
}
