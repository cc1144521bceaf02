//! The step of a worker that holds its partition: what its rows need next.

use super::span::SpanWork;
use super::transaction::Work;
use super::{Holding, State, Worker, lowest_floor};
use crate::checkpoint::{self, Checkpoint, CheckpointRow, Next};
use crate::class::Class;
use crate::log::{Between, EventBuffer, Fence, Slice};
use crate::projection::ahead::ReadAhead;
use crate::projection::chunk::Chunk;
use crate::projection::rows;
use crate::projection::shared::Reading;
use crate::projection::{Phase, Projection, Step, WorkerError};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

/// An empty window is not written each time, but this often, so that a restart does not read far back.
const WRITE_EMPTY_WINDOW_AFTER: Duration = Duration::from_secs(10);

/// The most events that a look takes along: more than come within a few milliseconds, and so few that whoever is
/// further behind loses nothing by it.
const POLLED: usize = 1_000;

impl Holding {
    /// Positions that have no event yet, of the row that misses the most.
    pub(super) fn missing_positions(&self) -> usize {
        self.rows.iter().map(|row| row.checkpoint.seen().missing().len()).max().unwrap_or_default()
    }

    /// The hashes of these rows.
    fn slice_of(&self, rows: &[usize]) -> Slice {
        let classes: Vec<Class> = rows.iter().map(|&index| self.rows[index].class).collect();
        Slice::of(&classes)
    }
}

impl<P: Projection> Worker<P> {
    /// Does what the rows need next: merges them, or opens a window if none is open, reads its next events, and applies
    /// them.
    pub(super) async fn advance(&mut self, conn: &mut PgConnection, mut holding: Holding) -> Result<Step, WorkerError> {
        let started = Instant::now();
        if !self.log.can_be_read().await? {
            self.state = State::Holding(holding);
            return Ok(Step::Converged);
        }
        let rows: Vec<(Class, &Checkpoint)> = holding.rows.iter().map(|row| (row.class, &row.checkpoint)).collect();
        let next = checkpoint::next(self.class, &rows);
        // Whether there is nothing left where its window has nothing more.
        let mut to_the_end = false;
        let (rows, mut checkpoint) = match next {
            Next::Merge(checkpoint) => return self.merge(conn, holding, checkpoint).await,
            Next::Finish(rows) => (rows.clone(), holding.rows[rows[0]].checkpoint.clone()),
            Next::CatchUp(rows, upto) => {
                let mut checkpoint = holding.rows[rows[0]].checkpoint.clone();
                checkpoint.open(upto);
                (rows, checkpoint)
            }
            Next::Fence if holding.polling.is_some() => return self.poll(conn, holding, started).await,
            Next::Fence => {
                let mut checkpoint = holding.rows[0].checkpoint.clone();
                let Some(whole) = self.open(conn, &mut checkpoint).await? else {
                    return self.rest(conn, holding, started).await;
                };
                to_the_end = whole;
                (vec![0], checkpoint)
            }
        };
        let slice = holding.slice_of(&rows);
        if let Some(span) = self.next_span(&holding, &checkpoint, &slice) {
            return self.apply_span(conn, holding, SpanWork { rows, checkpoint, span, started }).await;
        }
        let between = checkpoint.between();
        let chunk = self.chunk(conn, &mut checkpoint, &slice).await?;
        let Some(between) = between.filter(|_| !chunk.events.is_empty()) else {
            self.spare = chunk.events;
            for &index in &rows {
                holding.rows[index].checkpoint = checkpoint.clone();
            }
            // Otherwise an earlier window has ended, or one that ends too early: what comes after it is in the next
            // one. Or all that was read of this one waits for events that come later.
            if to_the_end && !checkpoint.has_open_window() {
                return self.rest(conn, holding, started).await;
            }
            self.state = State::Holding(holding);
            return Ok(Step::Converged);
        };
        self.progress.set_phase(Phase::Applying);
        self.apply(conn, holding, Work { rows, checkpoint, between, chunk, started }).await
    }

    /// Opens the next window of a checkpoint, if anything can be in it. Gives whether it ends where the log does.
    async fn open(
        &mut self,
        conn: &mut PgConnection,
        checkpoint: &mut Checkpoint,
    ) -> Result<Option<bool>, WorkerError> {
        // After the row was read or written, never before.
        let (fence, whole) = self.log.fence(conn, checkpoint.seen()).await?;
        // Unchanged is what it was when the floor was read. The snapshot is later, and may show an event above the
        // floor: the checkpoint must not move up to it unread.
        if whole && checkpoint.is_unchanged_at(&fence) {
            return Ok(None);
        }
        let fence = self.gather(checkpoint, fence).await;
        checkpoint.open(fence);
        Ok(Some(whole))
    }

    /// Looks whether there is anything new, in one statement, and applies it.
    async fn poll(
        &mut self,
        conn: &mut PgConnection,
        mut holding: Holding,
        started: Instant,
    ) -> Result<Step, WorkerError> {
        let mut checkpoint = holding.rows[0].checkpoint.clone();
        let from = (checkpoint.seen(), holding.polling.unwrap_or(checkpoint.floor()));
        let (slice, limit) = (Slice::of(&[holding.rows[0].class]), POLLED.min(self.limit.most()));
        let mut events = std::mem::take(&mut self.spare);
        let polled = self.log.poll(conn, from, &slice, &self.interest, limit, &mut events).await?;
        self.progress.add_received(events.len());
        let together = self.shared.is_some() || self.projection.reads_views();
        let Some(polled) = polled.filter(|polled| polled.complete || !together) else {
            // There is more, and the rest of the pool may be as far behind: from here on by a fence, and together, or
            // without reading it.
            (holding.polling, self.spare) = (None, events);
            self.state = State::Holding(holding);
            return Ok(Step::Converged);
        };
        let chunk = Chunk { events, complete: polled.complete, decoding: Duration::ZERO };
        let between = Between { seen: checkpoint.seen().clone(), upto: polled.fence.clone() };
        checkpoint.open(polled.fence);
        chunk.advance(&mut checkpoint);
        holding.polling = Some(polled.last_position);
        if chunk.events.is_empty() {
            holding.rows[0].checkpoint = checkpoint;
            self.spare = chunk.events;
            return self.rest(conn, holding, started).await;
        }
        self.progress.set_phase(Phase::Applying);
        self.apply(conn, holding, Work { rows: vec![0], checkpoint, between, chunk, started }).await
    }

    /// Looks whether others of the pool are as far behind, to read together with them. Gives the fence to open the
    /// window up to.
    async fn gather(&mut self, checkpoint: &Checkpoint, fence: Fence) -> Fence {
        let together = self.shared.as_ref().filter(|_| !self.projection.reads_views());
        let Some((shared, database)) = together.zip(self.readiness.database()) else {
            return fence;
        };
        let (database, layout) = (database.clone(), self.log.layout().clone());
        let reading = Reading { database, layout, interest: self.interest.clone(), limit: self.limit.clone() };
        let (upto, ahead) = shared.gather(self.class, checkpoint, fence, &reading).await;
        self.ahead = ahead.map(|ahead| *ahead);
        upto
    }

    /// The next events of the open window, which are on their way already or are read now; moves the checkpoint past
    /// them. Where there are more, they are read ahead.
    async fn chunk(
        &mut self,
        conn: &mut PgConnection,
        checkpoint: &mut Checkpoint,
        slice: &Slice,
    ) -> Result<Chunk, WorkerError> {
        if let Some(ahead) = self.ahead.take().filter(|ahead| ahead.is_for(checkpoint, slice)) {
            self.ahead = Some(ahead);
            if let Some((chunk, after)) = self.next_ahead().await {
                *checkpoint = after;
                return Ok(chunk);
            }
        }
        let chunk = match checkpoint.window() {
            Some(window) => {
                let buffer = std::mem::take(&mut self.spare);
                let layout = self.log.layout().clone();
                let log = (&layout, self.log.conn(conn));
                rows::read(&mut self.limit, log, window, (slice, &self.interest), buffer).await?
            }
            None => Chunk { events: EventBuffer::default(), complete: true, decoding: Duration::ZERO },
        };
        self.progress.add_received(chunk.events.len());
        chunk.advance(checkpoint);
        if let Some(database) = self.readiness.database().filter(|_| checkpoint.has_open_window()) {
            // One in addition to the worker's own: a server has few.
            self.second = None;
            let (log, limit) = ((database, self.log.layout()), self.limit.clone());
            self.ahead = Some(ReadAhead::start(log, checkpoint, slice, &self.interest, limit));
        }
        Ok(chunk)
    }

    /// The next chunk that was read ahead, and the checkpoint after it.
    pub(super) async fn next_ahead(&mut self) -> Option<(Chunk, Checkpoint)> {
        let next = self.ahead.as_mut()?.next().await;
        let goes_on = next.as_ref().is_some_and(|(_, after)| after.has_open_window());
        if !goes_on {
            self.ahead = None;
        }
        match &next {
            Some((chunk, _)) => self.progress.add_received(chunk.events.len()),
            None => self.readiness.has_failed(),
        }
        next
    }

    /// Puts one row in the place of all of the partition's rows.
    async fn merge(
        &mut self,
        conn: &mut PgConnection,
        holding: Holding,
        checkpoint: Checkpoint,
    ) -> Result<Step, WorkerError> {
        let mut tx = conn.begin().await?;
        let rows: Vec<&CheckpointRow> = holding.rows.iter().collect();
        let name = self.projection.name();
        let Some(merged) =
            checkpoint::merge(&self.schema, &mut tx, name, &rows, self.class, checkpoint, self.id).await?
        else {
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
    async fn rest(
        &mut self,
        conn: &mut PgConnection,
        mut holding: Holding,
        started: Instant,
    ) -> Result<Step, WorkerError> {
        self.progress.add_time(started.elapsed(), Duration::ZERO);
        if holding.rows.len() > 1 {
            // Behind by nothing that concerns them: on to the next group, or the merge, which writes it all.
            self.state = State::Holding(holding);
            return Ok(Step::Converged);
        }
        self.progress.set_phase(Phase::CaughtUp);
        self.progress.set_missing_positions(holding.missing_positions());
        if let Some(second) = self.second.take() {
            // Whatever becomes of it.
            let _ = second.close().await;
        }
        // Any floor that was read before the next snapshot is right.
        let floor = lowest_floor(&holding.rows);
        holding.polling.get_or_insert(floor);
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
        let now = checkpoint::load(&self.schema, conn, self.projection.name(), self.class).await?;
        let keys = |rows: &[CheckpointRow]| rows.iter().map(|row| (row.class, row.revision)).collect::<Vec<_>>();
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
        if let [row] = holding.rows.as_mut_slice()
            && holding.written_floor != floor
        {
            let written =
                checkpoint::commit(&self.schema, conn, self.projection.name(), &[row], &row.checkpoint, self.id)
                    .await?;
            let Some(&[revision]) = written.as_deref() else {
                self.outrun = true;
                return Ok(Step::Outrun);
            };
            row.revision = revision;
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
    #[doc(hidden)]
    pub async fn finish(&mut self, conn: &mut PgConnection) -> Result<(), WorkerError> {
        if let State::Holding(holding) = std::mem::replace(&mut self.state, State::Unknown) {
            self.write(conn, holding).await?;
        }
        Ok(())
    }
}
