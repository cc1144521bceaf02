//! What the session is set to while the statements of a projection run.

use sqlx::{AssertSqlSafe, PgConnection, Row};

/// A worker's session plans for the log alone: a join of a batch with itself would not end. These are PostgreSQL's
/// defaults, but for the walk of a whole table, which stays as unattractive as the worker has it: a read model that was
/// never analyzed looks small.
const SETTINGS: [(&str, &str); 6] = [
    ("enable_sort", "on"),
    ("enable_hashjoin", "on"),
    ("enable_mergejoin", "on"),
    ("seq_page_cost", "1"),
    ("random_page_cost", "4"),
    ("plan_cache_mode", "auto"),
];

/// The settings of a session, in a transaction that has another one for the statements of a projection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// What it is set to otherwise, once that was asked for.
    otherwise: Option<Vec<String>>,
}

impl Session {
    /// What it is to be set to for the statements, until the transaction or the savepoint ends.
    pub(crate) async fn settings(
        &mut self,
        conn: &mut PgConnection,
    ) -> Result<&'static [(&'static str, &'static str)], sqlx::Error> {
        if self.otherwise.is_none() {
            let read = SETTINGS.map(|(name, _)| format!("current_setting('{name}')")).join(", ");
            let row = sqlx::query(AssertSqlSafe(format!("SELECT {read}"))).fetch_one(&mut *conn).await?;
            self.otherwise = Some((0..SETTINGS.len()).map(|index| row.try_get(index)).collect::<Result<_, _>>()?);
        }
        Ok(&SETTINGS)
    }

    /// Sets it back, for what else is in the transaction.
    pub(crate) async fn set_back(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some(otherwise) = &self.otherwise else { return Ok(()) };
        sqlx::query(AssertSqlSafe(format!("SELECT {}", set(otherwise)))).execute(conn).await.map(drop)
    }

    /// Another session may be the next one.
    pub(crate) fn forget(&mut self) {
        self.otherwise = None;
    }
}

/// Sets a session for the statements, until its transaction ends.
pub(crate) async fn set_for_statements(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = format!("SELECT {}", set(&SETTINGS.map(|(_, value)| value)));
    sqlx::query(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

fn set(values: &[impl AsRef<str>]) -> String {
    let set = |((name, _), value): (&(&str, &str), &_)| {
        let value: &str = AsRef::as_ref(value);
        format!("set_config('{name}', '{value}', true)")
    };
    SETTINGS.iter().zip(values).map(set).collect::<Vec<_>>().join(", ")
}

/// Begins the part of the transaction that can be undone.
pub(crate) async fn savepoint(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SAVEPOINT evenfold_sql").execute(conn).await.map(drop)
}

/// Undoes what was done since then.
pub(crate) async fn undo(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ROLLBACK TO SAVEPOINT evenfold_sql").execute(conn).await.map(drop)
}

/// Keeps it, where more is to come: the end of the transaction does.
pub(crate) async fn keep(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("RELEASE SAVEPOINT evenfold_sql").execute(conn).await.map(drop)
}
