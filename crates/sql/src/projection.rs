//! A file as a projection.

use crate::fault::{Fault, is_deadlock, message};
use crate::file::{Apply, ProjectionFile, Statement};
use crate::isolate::{Isolated, anonymous, isolate};
use crate::{batch, gate, session, tables};
use evenfold::{Batch, BoxError, Fatal, Interest, Projection};
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::HashMap;
use std::sync::Arc;

/// Where none of this many aggregates can be applied, it is the statement and not the events.
const NONE_OF: usize = 10;

/// From this many circles of locks on, the partitions of the projection take turns.
const CIRCLES: u32 = 3;

/// A projection that is a file of SQL.
///
/// Each batch is the relation `batch` to its statements, which run in the worker's transaction. An error that is an
/// event's fault parks its aggregate; one that passes has the batch tried again; any other is [`Fatal`], and parks
/// nothing.
#[derive(Debug, Clone)]
pub struct SqlProjection {
    file: Arc<ProjectionFile>,
    /// What is run for a batch.
    run: Arc<Vec<Statement>>,
    /// Whether what is run is known to be allowed.
    checked: bool,
    /// Whether `batch` has events of this transaction.
    filled: bool,
    circles: u32,
}

impl SqlProjection {
    /// The projection of this file.
    #[must_use]
    pub fn new(file: ProjectionFile) -> Self {
        let run = match &file.apply {
            Apply::Statements(statements) => statements.clone(),
            Apply::EachEvent(body) => vec![Statement { sql: each_event(&body.sql), at: body.at }],
        };
        Self { file: Arc::new(file), run: Arc::new(run), checked: false, filled: false, circles: 0 }
    }

    fn is_each_event(&self) -> bool {
        matches!(self.file.apply, Apply::EachEvent(_))
    }

    async fn check(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        batch::make(conn).await?;
        // What a body of PL/pgSQL writes is known when it has run.
        if let Apply::Statements(statements) = &self.file.apply {
            gate::check(conn, &self.file, statements).await?;
        }
        self.checked = true;
        Ok(())
    }

    /// Runs what is run for a batch; gives the statement that has failed.
    async fn run(&self, conn: &mut PgConnection) -> Result<(), (usize, sqlx::Error)> {
        for (index, statement) in self.run.iter().enumerate() {
            // Planned anew each time: a plan for one event is none for twenty thousand.
            let query = sqlx::query(AssertSqlSafe(statement.sql.clone())).persistent(false);
            query.execute(&mut *conn).await.map_err(|error| (index, error))?;
        }
        Ok(())
    }

    /// What an error means that is not an event's fault.
    fn failed(&mut self, index: usize, error: sqlx::Error) -> BoxError {
        if is_deadlock(&error) {
            self.circles += 1;
            if self.circles == CIRCLES {
                tracing::warn!(
                    projection = self.file.name,
                    "partitions wait for each other in a circle: write rows in the order of their key (ORDER BY); until \
                     this worker ends they take turns"
                );
            }
        }
        // The place is one of the block that the body is in.
        let before = if self.is_each_event() { usize::MAX } else { 0 };
        tables::refused(&self.file, &self.run[index], before, error)
    }

    /// Applies a batch that has failed as far as it can be, and refuses the events that it has failed for.
    async fn isolate(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        let run: Vec<String> = self.run.iter().map(|statement| statement.sql.clone()).collect();
        let Isolated { mut refused, aggregates } = match isolate(conn, &run).await {
            Ok(isolated) => isolated,
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

/// The body, once for each event.
fn each_event(body: &str) -> String {
    anonymous(&format!(
        "DECLARE event record;\nBEGIN\nFOR event IN SELECT * FROM pg_temp.batch ORDER BY position LOOP\n{body}\nEND LOOP;\nEND"
    ))
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
        self.check(conn).await
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        if self.checked {
            batch::make(conn).await?;
        } else {
            self.check(conn).await?;
        }
        let events = batch::fill(conn, batch, self.filled).await?;
        self.filled = true;
        if events == 0 {
            return Ok(());
        }
        if self.circles >= CIRCLES {
            sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('evenfold.sql.' || $1, 0))")
                .bind(&self.file.name)
                .execute(&mut *conn)
                .await?;
        }
        let before = session::begin(conn).await?;
        let rows = if self.is_each_event() { Some(gate::rows(conn).await?) } else { None };
        match self.run(conn).await {
            Ok(()) => {}
            Err((_, error)) if Fault::of(&error) == Fault::Event => {
                session::undo(conn).await?;
                self.isolate(conn, batch).await?;
            }
            Err((index, error)) => return Err(self.failed(index, error)),
        }
        if let Some(rows) = rows {
            gate::check_written(conn, &self.file, &rows).await?;
        }
        session::end(conn, before).await?;
        Ok(())
    }

    fn committed(&mut self) {
        self.filled = false;
    }

    fn forget(&mut self) {
        self.filled = false;
    }
}
