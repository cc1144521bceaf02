//! One transaction of a worker: one chunk of events, or several while it is far behind.

use super::warnings::ParkedLog;
use super::{Holding, State, Worker, lowest_floor};
use crate::checkpoint::{self, Checkpoint, CheckpointMove, CheckpointRow};
use crate::class::Class;
use crate::event::{Aggregate, Event};
use crate::log::Between;
use crate::number::{Position, Revision, Version};
use crate::projection::chunk::Chunk;
use crate::projection::traced::{self, Committed, Links};
use crate::projection::{Applied, AtOnce, Batch, BoxError, Projection, Step, WorkerError};
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tracing::{Instrument, Span};

/// No further chunk is added to a transaction after this time: until it ends, nobody sees what it has applied, and
/// whoever wants the worker to stop waits.
const LONGEST: Duration = Duration::from_secs(1);

/// A chunk that was read: for which rows, and how far it takes them.
pub(super) struct Work {
    pub(super) rows: Vec<usize>,
    pub(super) checkpoint: Checkpoint,
    /// What its window is between.
    pub(super) between: Between,
    pub(super) chunk: Chunk,
    pub(super) started: Instant,
}

impl Work {
    /// Whether it is all that there is, so that its transaction may be one statement.
    fn may_be_one_statement(&self, holding: &Holding) -> bool {
        self.rows.len() == 1 && !self.checkpoint.has_open_window() && !holding.any_parked
    }
}

/// What was applied in the transaction so far.
#[derive(Default)]
pub(super) struct Sum {
    events: usize,
    parked: u64,
    first: Option<Position>,
    position: Position,
    compute: Duration,
    warnings: ParkedLog,
    /// Empty unless it is asked for.
    logged: Vec<AppliedEvent>,
}

impl Sum {
    /// Events up to this position, of which none was read.
    pub(super) fn of_span(events: usize, (first, position): (Position, Position)) -> Self {
        Self { events, first: Some(first), position, ..Self::default() }
    }

    /// A chunk that was applied, but for what of it was parked.
    fn add(&mut self, chunk: &Chunk, batch: &Batch<'_>) {
        self.events += chunk.events.len();
        self.first = self.first.or_else(|| chunk.events.events().next().map(|event| event.position));
        self.position = chunk.events.last_position().unwrap_or(self.position);
        self.compute += chunk.decoding + batch.folding();
        if tracing::enabled!(tracing::Level::DEBUG) {
            self.logged.extend(batch.events().map(AppliedEvent::of));
        }
    }
}

impl<P: Projection> Worker<P> {
    /// Applies the chunk that was read, and what is read ahead as far as one transaction goes, with the checkpoint.
    pub(super) async fn apply(
        &mut self,
        conn: &mut PgConnection,
        holding: Holding,
        work: Work,
    ) -> Result<Step, WorkerError> {
        let span = traced::batch(self.projection.name(), self.class);
        let outcome = self.apply_within(&span, conn, holding, work).instrument(span.clone()).await;
        outcome.inspect_err(|error| traced::failed(&span, error))
    }

    async fn apply_within(
        &mut self,
        span: &Span,
        conn: &mut PgConnection,
        mut holding: Holding,
        mut work: Work,
    ) -> Result<Step, WorkerError> {
        let name = self.projection.name().to_owned();
        let (mut sum, mut links) = (Sum::default(), Links::new(self.options.links));
        if work.may_be_one_statement(&holding) && self.projection.may_apply_at_once(work.chunk.events.len()) {
            match self.apply_at_once(conn, &mut holding, &work, &mut sum).await? {
                AtOnce::NotPossible => {}
                AtOnce::Outrun => {
                    self.outrun = true;
                    return Ok(Step::Outrun);
                }
                AtOnce::Committed(_) => {
                    links.add(span, &work.chunk.events);
                    return Ok(self.after_commit(span, holding, work, sum));
                }
            }
        }
        let mut tx = conn.begin().await?;
        loop {
            let rows: Vec<&CheckpointRow> = work.rows.iter().map(|&index| &holding.rows[index]).collect();
            // First of all: whoever comes second waits here, finds another revision, and has written nothing.
            let Some(revisions) =
                checkpoint::commit(&self.schema, &mut tx, &name, &rows, &work.checkpoint, self.id).await?
            else {
                tx.rollback().await?;
                self.outrun = true;
                return Ok(Step::Outrun);
            };
            self.move_rows(&mut holding, &work.rows, &work.checkpoint, &revisions);
            links.add(span, &work.chunk.events);
            let next = self.following(&work, &sum).await;
            if !self.apply_chunk(&mut tx, &mut holding, &work, next.is_none(), &mut sum).await? {
                tx.rollback().await?;
                // The rows are read again, since those here are ahead of them.
                return Ok(Step::Converged);
            }
            let Some((chunk, checkpoint)) = next else { break };
            self.recycle(std::mem::replace(&mut work.chunk, chunk));
            work.checkpoint = checkpoint;
        }
        tx.commit().instrument(traced::commit()).await?;
        Ok(self.after_commit(span, holding, work, sum))
    }

    fn after_commit(&mut self, span: &Span, holding: Holding, work: Work, mut sum: Sum) -> Step {
        self.projection.committed();
        self.warnings.committed(std::mem::take(&mut sum.warnings), Instant::now());
        debug_each(&sum.logged, self.class);
        self.recycle(work.chunk);
        self.applied(span, holding, (work.started, work.checkpoint.has_open_window()), &sum)
    }

    /// Applies a chunk and moves the checkpoint in one statement.
    async fn apply_at_once(
        &mut self,
        conn: &mut PgConnection,
        holding: &mut Holding,
        work: &Work,
        sum: &mut Sum,
    ) -> Result<AtOnce, WorkerError> {
        let (name, Work { checkpoint, between, chunk, .. }) = (self.projection.name().to_owned(), work);
        let (schema, row) = (&self.schema, &holding.rows[work.rows[0]]);
        let to = CheckpointMove { schema, projection: &name, row, checkpoint, owner: self.id };
        let mut batch =
            Batch::new((schema, self.log.layout()), &chunk.events, HashSet::new(), HashSet::new()).between(between);
        let applying = traced::apply(chunk.events.len());
        let outcome = self.projection.apply_at_once(conn, &mut batch, to).instrument(applying).await;
        let outcome = outcome.map_err(|error| failed(&name, chunk, error))?;
        if let AtOnce::Committed(revision) = outcome {
            self.move_rows(holding, &work.rows, checkpoint, &[revision]);
            sum.add(chunk, &batch);
        }
        Ok(outcome)
    }

    /// The rows as a transaction writes them.
    pub(super) fn move_rows(
        &self,
        holding: &mut Holding,
        rows: &[usize],
        checkpoint: &Checkpoint,
        revisions: &[Revision],
    ) {
        for (&index, &revision) in rows.iter().zip(revisions) {
            let class = holding.rows[index].class;
            holding.rows[index] =
                CheckpointRow { class, checkpoint: checkpoint.clone(), revision, owner: Some(self.id) };
        }
    }

    /// The chunk that comes after this one in its transaction, and the checkpoint after it. It is waited for before
    /// this one is applied, so that the projection knows which is the last.
    async fn following(&mut self, work: &Work, sum: &Sum) -> Option<(Chunk, Checkpoint)> {
        let taken = sum.events + work.chunk.events.len();
        let room = self.far_behind && taken + self.limit.most() <= self.options.batch_size;
        // Whatever keeps the next chunk away does not keep this transaction open. Where reading ahead has failed, the
        // next step reads by itself.
        let left = LONGEST.checked_sub(work.started.elapsed()).filter(|_| room)?;
        tokio::time::timeout(left, self.next_ahead()).await.ok().flatten()
    }

    /// Applies a chunk in the caller's transaction. False if it is to be tried again at once.
    async fn apply_chunk(
        &mut self,
        tx: &mut PgConnection,
        holding: &mut Holding,
        Work { chunk, between, .. }: &Work,
        last: bool,
        sum: &mut Sum,
    ) -> Result<bool, WorkerError> {
        let name = self.projection.name().to_owned();
        let (parked, dropped) = if holding.any_parked {
            checkpoint::parked_among(&self.schema, &mut *tx, &name, &chunk.events).await?
        } else {
            (HashSet::new(), HashSet::new())
        };
        let mut batch =
            Batch::new((&self.schema, self.log.layout()), &chunk.events, parked, dropped).between(between).last(last);
        let applying = traced::apply(chunk.events.len());
        let outcome = self.projection.apply(&mut *tx, &mut batch).instrument(applying).await;
        outcome.map_err(|error| failed(&name, chunk, error))?;
        if batch.given_back().is_some() {
            return Ok(false);
        }
        let to_park = batch.to_park();
        if !to_park.is_empty() {
            checkpoint::park(&self.schema, tx, &name, &to_park).await?;
            holding.any_parked = true;
            sum.warnings.add(&to_park);
        }
        sum.parked += to_park.len() as u64;
        sum.add(chunk, &batch);
        Ok(true)
    }

    /// What a committed transaction leaves behind, after which there is more in the window or not.
    pub(super) fn applied(
        &mut self,
        span: &Span,
        mut holding: Holding,
        (started, more): (Instant, bool),
        sum: &Sum,
    ) -> Step {
        let Sum { parked, position, compute, .. } = *sum;
        let (events, elapsed) = (sum.events as u64 - parked, started.elapsed());
        self.progress.add_batch(events, parked, position, elapsed);
        self.progress.add_time(elapsed, compute);
        let positions = (sum.first.unwrap_or(position), position);
        traced::committed(span, &Committed { events, parked, positions, elapsed, compute });
        (holding.written, holding.looked) = (Instant::now(), Instant::now());
        holding.written_floor = lowest_floor(&holding.rows);
        self.progress.set_missing_positions(holding.missing_positions());
        // Few large transactions write a counter less often than many small ones do.
        self.far_behind = more;
        let caught_up = holding.rows.len() == 1 && !more;
        holding.polling = holding.polling.filter(|_| caught_up);
        self.state = State::Holding(holding);
        Step::Applied(Applied { events, parked, position, caught_up })
    }

    /// Keeps the buffer for another chunk.
    fn recycle(&mut self, chunk: Chunk) {
        match &self.ahead {
            Some(ahead) => ahead.give_back(chunk.events),
            None => self.spare = chunk.events,
        }
    }
}

/// Why a chunk was not applied.
fn failed(projection: &str, chunk: &Chunk, error: BoxError) -> WorkerError {
    // A chunk has an event at least, unless its window had none: then there is nothing to name.
    let last = chunk.events.last_position().unwrap_or_default();
    let first = chunk.events.events().next().map_or(last, |event| event.position);
    WorkerError::of(projection, (first, last), error)
}

/// What is logged of an event once it is committed.
struct AppliedEvent {
    position: Position,
    version: Version,
    aggregate: Aggregate,
    event_type: String,
}

impl AppliedEvent {
    fn of(event: Event<'_>) -> Self {
        let Event { position, version, aggregate_type, aggregate_id, event_type, .. } = event;
        let aggregate = Aggregate { aggregate_type: aggregate_type.to_owned(), aggregate_id: aggregate_id.to_owned() };
        Self { position, version, aggregate, event_type: event_type.to_owned() }
    }
}

fn debug_each(logged: &[AppliedEvent], partition: Class) {
    for AppliedEvent { position, version, aggregate: Aggregate { aggregate_type, aggregate_id }, event_type } in logged
    {
        tracing::debug!(%partition, %position, aggregate_type, aggregate_id, %version, event_type, "applied");
    }
}
