//! Folding a part of the sample, as a worker folds a batch.

use super::finding::Parked;
use super::outcome::CheckError;
use super::sample::{self, Sampled};
use crate::fault::{Fault, message};
use crate::file::{ProjectionFile, Statement};
use crate::isolate::{Isolated, isolate};
use crate::{run, session, tables};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Where none of this many aggregates can be applied, a worker takes it for the fault of the statement.
const NONE_OF: usize = 10;

/// A file and what it runs.
pub(crate) struct Fold<'a> {
    pub(crate) file: &'a ProjectionFile,
    statements: Vec<Statement>,
}

/// What came of a batch.
pub(crate) enum Outcome {
    /// All of it is applied. How long its statements took.
    Applied(Duration),
    /// All but these events and what comes after them in their aggregates.
    Parked(Vec<Parked>),
    /// Nothing is applied: a statement has failed, and no event is to blame.
    Failed(String),
}

impl<'a> Fold<'a> {
    pub(crate) fn new(file: &'a ProjectionFile) -> Self {
        Self { file, statements: run::statements(file) }
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Applies these events as one batch.
    pub(crate) async fn apply(&self, conn: &mut PgConnection, events: &[&Sampled]) -> Result<Outcome, CheckError> {
        let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
        sample::fill(conn, &positions).await?;
        session::savepoint(conn).await?;
        let begun = Instant::now();
        // Planned anew each time: what a plan was made for is in another schema.
        let outcome = match run::run(conn, &self.statements, usize::MAX).await {
            Ok(()) => Outcome::Applied(begun.elapsed()),
            Err((_, error)) if Fault::of(&error) == Fault::Event => {
                session::undo(conn).await?;
                self.isolate(conn, events).await?
            }
            Err((index, error)) => {
                let outcome = self.failed(index, error)?;
                session::undo(conn).await?;
                outcome
            }
        };
        session::keep(conn).await?;
        Ok(outcome)
    }

    fn failed(&self, index: usize, error: sqlx::Error) -> Result<Outcome, CheckError> {
        let before = run::characters_before(self.file);
        match CheckError::from(tables::refused(self.file, &self.statements[index], before, error)) {
            CheckError::Refused(sentence) => Ok(Outcome::Failed(sentence)),
            other => Err(other),
        }
    }

    async fn isolate(&self, conn: &mut PgConnection, events: &[&Sampled]) -> Result<Outcome, CheckError> {
        let run: Vec<String> = self.statements.iter().map(|statement| statement.sql.clone()).collect();
        let Isolated { refused, aggregates } = match isolate(conn, &run).await {
            Ok(isolated) => isolated,
            Err(error) if Fault::of(&error) == Fault::Nobody => return Err(error.into()),
            Err(error) => {
                session::undo(conn).await?;
                return Ok(Outcome::Failed(format!("{}: {}", self.file.called, message(&error))));
            }
        };
        if refused.len() == aggregates && aggregates >= NONE_OF {
            let why = refused.into_values().next().unwrap_or_default();
            return Ok(Outcome::Failed(format!(
                "{}: none of {aggregates} aggregates can be applied, one of them because: {why}",
                self.file.called
            )));
        }
        Ok(Outcome::Parked(parked(events, refused)))
    }
}

fn parked(events: &[&Sampled], mut refused: HashMap<i64, String>) -> Vec<Parked> {
    let parked = |event: &&Sampled| {
        let reason = refused.remove(&event.position)?;
        let Sampled { position, version, aggregate, event_type } = (*event).clone();
        Some(Parked { position, version, aggregate, event_type, reason })
    };
    events.iter().filter_map(parked).collect()
}

/// The events that are left when some are parked: those of their aggregates that come after them are as well.
pub(crate) fn without(events: Vec<Sampled>, parked: &[Parked]) -> Vec<Sampled> {
    let from: HashMap<_, _> = parked.iter().map(|event| (&event.aggregate, event.version)).collect();
    events.into_iter().filter(|event| from.get(&event.aggregate).is_none_or(|from| event.version < *from)).collect()
}
