//! Spans: large batches that a projection reads in the database, of which no event is sent to the worker.
//!
//! A span is bounded by positions below the floor of its window's end, so where it ends is known without reading it. It
//! is applied as a whole or not at all: where one of its events could be to blame for something, its events are read
//! and applied like those of any other projection.

use super::transaction::Sum;
use super::{Holding, State, Worker};
use crate::checkpoint::{self, Checkpoint, CheckpointRow};
use crate::log::{self, EventBuffer, Slice, Span};
use crate::number::Position;
use crate::projection::batch::GivenBack;
use crate::projection::traced;
use crate::projection::{Batch, Phase, Projection, Step, WorkerError};
use sqlx::{Connection, PgConnection};
use std::time::Instant;
use tracing::Instrument;

/// A span that is to be applied: for which rows, and how far it takes them.
pub(super) struct SpanWork {
    pub(super) rows: Vec<usize>,
    pub(super) checkpoint: Checkpoint,
    pub(super) span: Span,
    pub(super) started: Instant,
}

impl<P: Projection> Worker<P> {
    /// The next span of the open window, where there is one to be had.
    pub(super) fn next_span(&self, holding: &Holding, checkpoint: &Checkpoint, slice: &Slice) -> Option<Span> {
        // Which events wait is known of those that are read.
        if !self.projection.reads_views() || holding.any_parked || self.log.layout().foreign().is_some() {
            return None;
        }
        let (after, to) = self.spans.next(checkpoint.bounded()?)?;
        Some(Span { between: checkpoint.between()?, after, to, slice: slice.clone() })
    }

    /// Applies a span, with the checkpoint after it, or finds that its events must be read.
    pub(super) async fn apply_span(
        &mut self,
        conn: &mut PgConnection,
        holding: Holding,
        work: SpanWork,
    ) -> Result<Step, WorkerError> {
        let span = traced::batch(self.projection.name(), self.class);
        let outcome = self.apply_span_within(&span, conn, holding, work).instrument(span.clone()).await;
        outcome.inspect_err(|error| traced::failed(&span, error))
    }

    async fn apply_span_within(
        &mut self,
        of_batch: &tracing::Span,
        conn: &mut PgConnection,
        mut holding: Holding,
        work: SpanWork,
    ) -> Result<Step, WorkerError> {
        let SpanWork { rows, mut checkpoint, span, started } = work;
        let name = self.projection.name().to_owned();
        let size = self.spans.begin();
        self.ahead = None;
        self.progress.set_phase(Phase::Applying);
        checkpoint.advance_to(span.to);
        let mut tx = conn.begin().await?;
        let locked: Vec<&CheckpointRow> = rows.iter().map(|&index| &holding.rows[index]).collect();
        let Some(revisions) = checkpoint::commit(&self.schema, &mut tx, &name, &locked, &checkpoint, self.id).await?
        else {
            tx.rollback().await?;
            self.outrun = true;
            return Ok(Step::Outrun);
        };
        let events = match self.apply_in_view(&mut tx, &span).await? {
            Ok(events) => events,
            Err(given_back) => {
                tx.rollback().await?;
                self.projection.forget();
                self.spans.given_back(size, (given_back == GivenBack::AsEvents).then_some(span.to));
                self.state = State::Holding(holding);
                return Ok(Step::Converged);
            }
        };
        tx.commit().instrument(traced::commit()).await?;
        self.projection.committed();
        self.move_rows(&mut holding, &rows, &checkpoint, &revisions);
        self.spans.applied(size, started.elapsed());
        let sum = Sum::of_span(events, (Position::new(span.after.get() + 1), span.to));
        Ok(self.applied(of_batch, holding, (started, checkpoint.has_open_window()), &sum))
    }

    /// Applies a span in the caller's transaction. Gives how many events it has, or how they must come again.
    async fn apply_in_view(
        &mut self,
        tx: &mut PgConnection,
        span: &Span,
    ) -> Result<Result<usize, GivenBack>, WorkerError> {
        let (schema, interest, none) = (self.schema.clone(), self.interest.clone(), EventBuffer::default());
        let layout = self.log.layout().clone();
        let mut batch = Batch::of_span((&schema, &layout), &none, span, &interest);
        let (checked, applied) = if let Some(mut second) = self.second().await {
            // On another processor of the server, if it has one.
            let check = log::check_span(&schema, &mut second, span, &interest);
            let (checked, applied) = tokio::join!(check, self.projection.apply(tx, &mut batch));
            match checked {
                Ok(checked) => {
                    self.second = Some(second);
                    (checked, applied)
                }
                Err(error) => {
                    tracing::debug!(%error, "the second connection has failed");
                    self.readiness.has_failed();
                    return Ok(Err(GivenBack::AsTheyWere));
                }
            }
        } else {
            let checked = log::check_span(&schema, &mut *tx, span, &interest).await?;
            if !checked.sound {
                return Ok(Err(GivenBack::AsEvents));
            }
            (checked, self.projection.apply(tx, &mut batch).await)
        };
        // Also where it has failed: such an event may be why.
        if !checked.sound {
            return Ok(Err(GivenBack::AsEvents));
        }
        if let Err(error) = applied {
            let first = Position::new(span.after.get() + 1);
            return Err(WorkerError::of(self.projection.name(), (first, span.to), error));
        }
        Ok(batch.given_back().map_or(Ok(checked.events), Err))
    }

    /// The connection on which a span is looked at while it is applied.
    async fn second(&mut self) -> Option<PgConnection> {
        if let Some(second) = self.second.take() {
            return Some(second);
        }
        let database = self.readiness.database()?;
        match database.connect().await {
            Ok(second) => Some(second),
            Err(error) => {
                tracing::debug!(%error, "no second connection");
                self.readiness.has_failed();
                None
            }
        }
    }
}
