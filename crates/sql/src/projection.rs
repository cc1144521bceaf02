//! A file as a projection.

use crate::deadlocks::{Deadlocks, is_deadlock};
use crate::fault::{Fault, message};
use crate::file::{Apply, ProjectionFile, Statement};
use crate::isolate::{Isolated, isolate};
use crate::session::{self, Session};
use crate::{batch, gate, run, tables};
use evenfold::projection::RowsWritten;
use evenfold::{Batch, BoxError, Fatal, Interest, Projection};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::sync::Arc;

/// Where none of this many aggregates can be applied, it is the statement and not the events.
const NONE_OF: usize = 10;

/// A projection that is a file of SQL.
///
/// Each batch is the relation `batch` to its statements, which run in the worker's transaction. While it is far behind,
/// no event of a projection with `-- apply` leaves the server. An error that is an event's fault parks its aggregate;
/// one that passes has the batch tried again; any other is [`Fatal`], and parks nothing.
#[derive(Debug, Clone)]
pub struct SqlProjection {
    file: Arc<ProjectionFile>,
    /// What is run for a batch.
    run: Arc<Vec<Statement>>,
    /// Whether what is run is known to be allowed.
    checked: bool,
    session: Session,
    deadlocks: Deadlocks,
    /// Whether an event was to blame for a batch that comes again: what fails then is undone by itself.
    careful: bool,
}

impl SqlProjection {
    /// The projection of this file.
    #[must_use]
    pub fn new(file: ProjectionFile) -> Self {
        let run = run::statements(&file);
        let file = Arc::new(file);
        Self {
            file,
            run: Arc::new(run),
            checked: false,
            session: Session::default(),
            deadlocks: Deadlocks::default(),
            careful: false,
        }
    }

    fn is_each_event(&self) -> bool {
        matches!(self.file.apply, Apply::EachEvent(_))
    }

    /// Looks at what is to be run, with the relation `batch` there.
    async fn check(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        // What a body of PL/pgSQL writes is known when it has run.
        if let Apply::Statements(statements) = &self.file.apply
            && let Some(warning) = gate::check(conn, &self.file, statements).await?.warning()
        {
            tracing::warn!(projection = self.file.name, "{}: {warning}", self.file.called);
        }
        self.checked = true;
        Ok(())
    }

    /// What an error means that is not an event's fault.
    fn failed(&self, index: usize, error: sqlx::Error) -> BoxError {
        tables::refused(&self.file, &self.run[index], run::characters_before(&self.file), error)
    }

    /// Applies a batch that has failed as far as it can be, and refuses the events that it has failed for.
    async fn isolate(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        let run: Vec<String> = self.run.iter().map(|statement| statement.sql.clone()).collect();
        let Isolated { mut refused, aggregates } = match isolate(conn, &run).await {
            Ok(isolated) => isolated,
            Err(error) if is_deadlock(&error) => {
                self.deadlocks.met(&self.file, &self.run[0]);
                batch.retry();
                return Ok(());
            }
            Err(error) if Fault::of(&error) == Fault::Nobody => return Err(self.failed(0, error)),
            Err(error) => return Err(Box::new(Fatal(format!("{}: {}", self.file.called, message(&error))))),
        };
        if refused.len() == aggregates
            && aggregates >= NONE_OF
            && !are_parked(conn, batch, &self.file.name, &refused).await?
        {
            let why = refused.into_values().next().unwrap_or_default();
            let sentence = format!(
                "{}: none of {aggregates} aggregates can be applied, one of them because: {why}; correct the file, and \
                 start the worker again",
                self.file.called
            );
            return Err(Box::new(Fatal(sentence)));
        }
        batch.fold(|event| refused.remove(&event.position.get()).map_or(Ok(()), Err));
        // One that is left would neither be applied nor parked.
        if refused.is_empty() { Ok(()) } else { Err("events were refused that are not in the batch".into()) }
    }
}

impl SqlProjection {
    /// Applies a batch of which no event was read, as a whole.
    async fn apply_view(
        &mut self,
        conn: &mut PgConnection,
        batch: &mut Batch<'_>,
        events: usize,
    ) -> Result<(), BoxError> {
        match run::run(conn, &self.run, events).await {
            Ok(()) => {}
            Err((_, error)) if Fault::of(&error) == Fault::Event => {
                self.careful = true;
                batch.retry_as_events();
            }
            Err((index, error)) if is_deadlock(&error) => {
                self.deadlocks.met(&self.file, &self.run[index]);
                batch.retry();
            }
            Err((index, error)) => return Err(self.failed(index, error)),
        }
        Ok(())
    }

    /// Applies a batch of which single events can be refused.
    async fn apply_events(
        &mut self,
        conn: &mut PgConnection,
        batch: &mut Batch<'_>,
        events: usize,
    ) -> Result<(), BoxError> {
        // A batch that is a whole transaction can come again where it fails, which is seldom: a savepoint for each is a
        // round trip. What is kept or tried again is not given back.
        let savepoint = self.careful || !batch.is_last() || batch.is_retried();
        if savepoint {
            session::savepoint(conn).await?;
        }
        let rows = if self.is_each_event() { Some(RowsWritten::now(conn).await?) } else { None };
        match run::run(conn, &self.run, events).await {
            Ok(()) => {}
            Err((_, error)) if Fault::of(&error) == Fault::Event && savepoint => {
                session::undo(conn).await?;
                self.isolate(conn, batch).await?;
            }
            Err((_, error)) if Fault::of(&error) == Fault::Event => {
                self.careful = true;
                batch.retry();
                return Ok(());
            }
            Err((index, error)) if is_deadlock(&error) => {
                self.deadlocks.met(&self.file, &self.run[index]);
                batch.retry();
                return Ok(());
            }
            Err((index, error)) => return Err(self.failed(index, error)),
        }
        if let Some(rows) = rows {
            gate::check_written(conn, &self.file, &rows).await?;
        }
        if !batch.is_last() {
            session::keep(conn).await?;
        }
        Ok(())
    }
}

/// Whether events were parked before, and are tried again: then it is known that they could not be applied.
async fn are_parked(
    conn: &mut PgConnection,
    batch: &Batch<'_>,
    projection: &str,
    refused: &HashMap<i64, String>,
) -> Result<bool, sqlx::Error> {
    let positions: Vec<i64> = refused.keys().copied().collect();
    let sql =
        "SELECT EXISTS (SELECT FROM evenfold.parked_events WHERE projection = $1 AND position = ANY ($2::bigint[]))";
    sqlx::query_scalar(batch.schema().sql(sql)).bind(projection).bind(positions).fetch_one(conn).await
}

impl Projection for SqlProjection {
    fn name(&self) -> &str {
        &self.file.name
    }

    fn interest(&self) -> Interest {
        self.file.interest.clone()
    }

    fn settings(&self) -> String {
        self.file.definition.clone()
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        tables::create(conn, &self.file).await?;
        // Before anything is begun: a file that is corrected later would be another definition.
        batch::make(conn).await?;
        self.check(conn).await?;
        batch::remove(conn).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        if !batch.is_only_in_view() {
            batch.refuse_gaps(conn, &self.file.name).await?;
        }
        let events = if batch.is_only_in_view() { batch.max_len() } else { batch.events().count() };
        if events == 0 {
            return Ok(());
        }
        let settings = self.session.settings(conn).await?;
        batch.make_view_with(conn, settings).await?;
        if !self.checked {
            self.check(conn).await?;
        }
        self.deadlocks.take_turns(conn, &self.file.name).await?;
        if batch.is_only_in_view() {
            self.apply_view(conn, batch, events).await?;
        } else {
            self.apply_events(conn, batch, events).await?;
        }
        if !batch.is_last() {
            self.session.set_back(conn).await?;
        }
        Ok(())
    }

    fn reads_views(&self) -> bool {
        // For each event it costs far more to run a body than to read it; and a body is run in order.
        !self.is_each_event()
    }

    fn makes_views(&self) -> bool {
        true
    }

    fn committed(&mut self) {
        self.careful = false;
    }

    fn forget(&mut self) {
        self.session.forget();
    }
}
