//! What a file does with the relation `batch`, and running it.

use crate::file::{Apply, ProjectionFile, Statement};
use crate::isolate::anonymous;
use sqlx::{AssertSqlSafe, PgConnection};

/// A batch of no more events is planned for once, and not for each one like it.
const SMALL: usize = 1_000;

/// What is run for a batch.
pub(crate) fn statements(file: &ProjectionFile) -> Vec<Statement> {
    match &file.apply {
        Apply::Statements(statements) => statements.clone(),
        Apply::EachEvent(body) => vec![Statement { sql: each_event(&body.sql), at: body.at }],
    }
}

/// The body, once for each event.
fn each_event(body: &str) -> String {
    anonymous(&format!(
        "DECLARE event record;\nBEGIN\nFOR event IN SELECT * FROM pg_temp.batch ORDER BY position LOOP\n{body}\nEND LOOP;\nEND"
    ))
}

/// How many characters of a statement's text are in front of what the file has. A body's place is one of the block that
/// it is in, and not known.
pub(crate) fn characters_before(file: &ProjectionFile) -> usize {
    if matches!(file.apply, Apply::EachEvent(_)) { usize::MAX } else { 0 }
}

/// Runs it for a batch of so many events; gives the statement that has failed.
pub(crate) async fn run(
    conn: &mut PgConnection,
    statements: &[Statement],
    events: usize,
) -> Result<(), (usize, sqlx::Error)> {
    for (index, statement) in statements.iter().enumerate() {
        // A plan for one event is none for twenty thousand, which cost more than a plan does. Another text is another
        // statement to the session, which would take the plan that it has.
        let ran = if events <= SMALL {
            sqlx::query(AssertSqlSafe(statement.sql.clone())).execute(&mut *conn).await
        } else {
            let sql = format!("{}\n-- of many events", statement.sql);
            sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(&mut *conn).await
        };
        ran.map_err(|error| (index, error))?;
    }
    Ok(())
}
