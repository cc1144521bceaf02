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

mod advance;
mod span;
mod transaction;
mod warnings;

use super::ahead::{ReadAhead, Readiness};
use super::chunk::{CHUNK, Limit};
use super::own_tables::{TablesBefore, mark_tables};
use super::shared::Shared;
use super::source::WorkerLog;
use super::spans::Spans;
use super::{BoxError, Fatal, Phase, Progress, Projection, Step, WorkerError, WorkerOptions, definition, interest_of};
use crate::checkpoint::{self, CheckpointRow, RegisterError, Registered, Takeover};
use crate::class::{Class, is_exact_cover};
use crate::database::{self, Database, Schema};
use crate::log::{EventBuffer, Interest, Source};
use crate::number::{Position, Revision};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;
use warnings::Warnings;

/// How many chunks a transaction has that is as large as it may be.
const CHUNKS: usize = 8;

enum State {
    Unknown,
    StandingBy { newest: Revision, since: Instant },
    Holding(Holding),
}

struct Holding {
    /// All of the partition, and usually one row. What they say is ahead of the database by empty windows only.
    rows: Vec<CheckpointRow>,
    any_parked: bool,
    /// Once everything there was is applied: the last position that had been handed out at a moment before now.
    polling: Option<Position>,
    written: Instant,
    written_floor: Position,
    /// When the rows were last seen to be as they are here.
    looked: Instant,
}

/// Applies the events of one partition to one projection.
pub struct Worker<P> {
    id: Uuid,
    class: Class,
    schema: Schema,
    log: WorkerLog,
    projection: P,
    interest: Interest,
    options: WorkerOptions,
    limit: Limit,
    spans: Spans,
    /// While spans are applied.
    second: Option<PgConnection>,
    /// Whether the last transaction has left more to apply.
    far_behind: bool,
    readiness: Readiness,
    ahead: Option<ReadAhead>,
    shared: Option<Arc<Shared>>,
    spare: EventBuffer,
    state: State,
    joined: bool,
    outrun: bool,
    warnings: Warnings,
    progress: Arc<Progress>,
}

impl<P: Projection> Worker<P> {
    /// A worker for this partition. Nothing happens before it is [run](crate::run).
    pub fn new(class: Class, projection: P, options: WorkerOptions) -> Self {
        let name = projection.name().to_owned();
        Self {
            id: Uuid::new_v4(),
            class,
            schema: Schema::default(),
            log: projection.source().map_or_else(|| WorkerLog::own(&Schema::default()), WorkerLog::of),
            interest: interest(&projection, &options),
            projection,
            limit: Limit::new(options.batch_size),
            spans: Spans::new(options.batch_size),
            second: None,
            far_behind: false,
            readiness: Readiness::default(),
            ahead: None,
            shared: None,
            spare: EventBuffer::default(),
            options,
            state: State::Unknown,
            joined: false,
            outrun: false,
            warnings: Warnings::new(&name, class),
            progress: Arc::default(),
        }
    }

    /// The same worker, with its checkpoint and its log in this schema. Those that are [run](super::run) are in their
    /// database's.
    #[must_use]
    pub fn in_schema(self, schema: Schema) -> Self {
        let name = self.name_ahead();
        let log = self.log.in_schema(&schema, &name);
        Self { schema, log, ..self }
    }

    /// The same worker, which reads on a second connection to this database, in its schema, while it is far behind.
    #[doc(hidden)]
    #[must_use]
    pub fn reading_ahead(self, database: &Database) -> Self {
        let mut worker = self.in_schema(database.schema().clone());
        let WorkerOptions { batch_size, .. } = worker.options;
        worker.limit = Limit::new(if batch_size < 2 * CHUNKS { batch_size } else { (batch_size / CHUNKS).min(CHUNK) });
        let logs = worker.log.database().unwrap_or(database);
        worker.readiness = Readiness::with(&logs.named(&worker.name_ahead()));
        worker
    }

    /// What connections in addition to the worker's own are called.
    fn name_ahead(&self) -> String {
        format!("evenfold {} {} ahead", self.projection.name(), self.class)
    }

    /// The same worker, which reads together with others of its pool.
    pub(super) fn sharing(mut self, shared: &Arc<Shared>) -> Self {
        self.shared = Some(Arc::clone(shared));
        self
    }

    /// The same worker, which adds what it does to what another has done before it.
    #[doc(hidden)]
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
    #[doc(hidden)]
    pub async fn register(&mut self, conn: &mut PgConnection) -> Result<Registered, RegisterError> {
        let (name, definition) = (self.projection.name().to_owned(), definition(&self.projection));
        let takeover = if self.joined { Takeover::Never } else { self.options.topology };
        let mut tx = conn.begin().await?;
        let outcome = async {
            let (registered, begun) =
                checkpoint::register(&self.schema, &mut tx, &name, &definition, self.class, takeover).await?;
            if begun {
                if self.log.layout().foreign().is_some() {
                    checkpoint::begin_elsewhere(&self.schema, &mut tx, &name).await?;
                }
                let before = TablesBefore::now(&mut tx).await?;
                let created = self.projection.create(&mut tx).await;
                created.map_err(|error| not_created(&name, error))?;
                let made = before.made_since(&mut tx).await?;
                mark_tables(&mut tx, &name, &made).await?;
            }
            Ok(registered)
        };
        match outcome.await {
            Ok(registered) => {
                tx.commit().await?;
                self.joined |= registered == Registered::Ready;
                Ok(registered)
            }
            Err(error) => {
                // A transaction that is merely dropped keeps its locks until the connection is used again.
                let _ = tx.rollback().await;
                Err(error)
            }
        }
    }

    /// Who this is, in checkpoints and heartbeats.
    #[doc(hidden)]
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its partition.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The log that it folds, where others write it.
    pub(super) fn source(&self) -> Option<&Source> {
        self.log.source()
    }

    /// Its projection.
    #[must_use]
    pub fn projection(&self) -> &P {
        &self.projection
    }

    /// What it has done so far.
    #[doc(hidden)]
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Forgets what it remembers of the database: it reads its checkpoint again before it does anything else. For
    /// whoever gives it another connection without a step having failed.
    #[doc(hidden)]
    pub fn forget(&mut self) {
        self.state = State::Unknown;
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
    #[doc(hidden)]
    pub async fn step(&mut self, conn: &mut PgConnection) -> Result<Step, WorkerError> {
        self.warnings.flush_if_due(Instant::now());
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
        standing_by: Option<(Revision, Instant)>,
    ) -> Result<Step, WorkerError> {
        self.projection.forget();
        (self.ahead, self.second) = (None, None);
        self.log.connect().await?;
        if self.readiness.is_wanted() {
            self.readiness.only(database::identity(self.log.conn(&mut *conn)).await?);
        }
        let rows = self.rows(conn).await?;
        self.log.check_server(&self.schema, &mut *conn, self.projection.name()).await?;
        // After the rows were read: they may have a window that is open, up to a fence that another worker has taken.
        self.log.need_all_shown().await?;
        // Revisions only ever grow: the newest one shows whether any row has moved.
        let newest = rows.iter().map(|row| row.revision).max().unwrap_or_default();
        let (seen, since) = standing_by.unwrap_or((newest, Instant::now()));
        // Outrun by another worker, not by an operator who retries what is parked: leave it alone while it moves.
        let others = rows.iter().any(|row| row.owner.is_some_and(|owner| owner != self.id));
        let contested = others && (self.outrun || standing_by.is_some());
        if contested && (seen != newest || since.elapsed() < self.options.takeover_after) {
            let since = if seen == newest { since } else { Instant::now() };
            self.state = State::StandingBy { newest, since };
            self.progress.set_phase(Phase::StandingBy);
            return Ok(Step::StandingBy);
        }
        let any_parked = checkpoint::has_parked(&self.schema, conn, self.projection.name(), self.class).await?;
        let (written, written_floor) = (Instant::now(), lowest_floor(&rows));
        self.outrun = false;
        self.advance(conn, Holding { rows, any_parked, polling: None, written, written_floor, looked: written }).await
    }

    /// The rows inside the partition, which are all of it, unless the number of partitions was changed. Where they are
    /// several, they may be what such a change has cut this partition into: only a worker with the present number may
    /// put them together again, or it would merge what its successors have split, and they would split it again.
    async fn rows(&mut self, conn: &mut PgConnection) -> Result<Vec<CheckpointRow>, WorkerError> {
        let name = self.projection.name().to_owned();
        let mut present = false;
        for _ in 0..2 {
            let rows = checkpoint::load(&self.schema, conn, &name, self.class).await?;
            // Not before: a rebuild that changes the definition gives the rows new revisions in the same transaction.
            let definition = definition(&self.projection);
            checkpoint::check_definition(&self.schema, conn, &name, &definition).await.map_err(WorkerError::refused)?;
            let classes: Vec<Class> = rows.iter().map(|row| row.class).collect();
            if is_exact_cover(self.class, &classes) && (present || classes == [self.class]) {
                return Ok(rows);
            }
            match self.register(conn).await {
                Ok(Registered::Ready) => present = true,
                Ok(Registered::Superseded { by, .. }) => {
                    return Err(WorkerError::Superseded { projection: name, partition: self.class, by });
                }
                Err(error) => return Err(WorkerError::refused(error)),
            }
        }
        Err(WorkerError::Moving)
    }
}

/// What is read: in addition to what the projection is given, what a batch is linked to.
fn interest<P: Projection>(projection: &P, options: &WorkerOptions) -> Interest {
    let interest = interest_of(projection);
    // The metadata of logs that others write may be what no event can be applied with.
    if options.links.is_some() && projection.source().is_none() { interest.with_envelope() } else { interest }
}

/// Why the projection was not begun.
fn not_created(projection: &str, error: BoxError) -> RegisterError {
    let projection = projection.to_owned();
    match error.downcast::<Fatal>() {
        Ok(reason) => RegisterError::Unfit { projection, reason: reason.0 },
        Err(error) => RegisterError::Create { projection, error },
    }
}

fn lowest_floor(rows: &[CheckpointRow]) -> Position {
    rows.iter().map(|row| row.checkpoint.floor()).min().unwrap_or_default()
}
