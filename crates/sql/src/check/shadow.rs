//! Schemas in which the tables of a file are made next to those that are in use, in a transaction that is rolled back.

use super::outcome::CheckError;
use crate::file::ProjectionFile;
use crate::gate::Table;
use crate::session;
use crate::tables;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};

/// What the name of each begins with.
const PREFIX: &str = "evenfold_check_";

/// A transaction that sees the tables of others as they are now, all along.
pub(super) async fn begin(conn: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await
}

/// Those of one transaction.
#[derive(Debug)]
pub(crate) struct Shadows {
    /// The search path that a worker has.
    path: String,
    /// The schema in which a worker would make the tables.
    pub(crate) home: Option<String>,
    made: u32,
}

/// The tables of a file in one of them.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) tables: Vec<Table>,
}

const RIGHTS: &str = "
    SELECT has_database_privilege(current_database(), 'CREATE') AND has_database_privilege(current_database(), 'TEMPORARY'),
        quote_ident(current_user), quote_ident(current_database()), current_setting('search_path'), current_schema()::text";

impl Shadows {
    /// For the transaction that the connection is in, which is set as a worker's is for its statements.
    pub(crate) async fn begin(conn: &mut PgConnection) -> Result<Self, CheckError> {
        session::set_for_statements(conn).await?;
        let row: (bool, String, String, String, Option<String>) = sqlx::query_as(RIGHTS).fetch_one(conn).await?;
        let (may, role, database, path, home) = row;
        if may { Ok(Self { path, home, made: 0 }) } else { Err(CheckError::NoRight { role, database }) }
    }

    /// Makes one with the tables of the file, and has its names come first from now on.
    pub(crate) async fn make(&mut self, conn: &mut PgConnection, file: &ProjectionFile) -> Result<Shadow, CheckError> {
        self.made += 1;
        let schema = format!("{PREFIX}{}", self.made);
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&mut *conn).await?;
        let rest = if self.path.trim().is_empty() { String::new() } else { format!(", {}", self.path) };
        sqlx::query("SELECT set_config('search_path', $1, true)")
            .bind(format!("{schema}{rest}"))
            .execute(&mut *conn)
            .await?;
        tables::create(conn, file).await?;
        let made: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1",
        )
        .bind(&schema)
        .fetch_all(conn)
        .await?;
        let tables = made.into_iter().map(|name| Table { schema: schema.clone(), name }).collect();
        Ok(Shadow { tables })
    }

    /// Which of these tables can't be made where a worker would make them, and why.
    pub(crate) async fn taken(
        &self,
        conn: &mut PgConnection,
        file: &ProjectionFile,
        shadow: &Shadow,
    ) -> Result<Option<String>, CheckError> {
        let Some(home) = &self.home else {
            return Ok(Some("no schema of the search_path is there: a worker could make no table".to_owned()));
        };
        for Table { name, .. } in &shadow.tables {
            let there: bool = sqlx::query_scalar("SELECT to_regclass(format('%I.%I', $1::text, $2::text)) IS NOT NULL")
                .bind(home)
                .bind(name)
                .fetch_one(&mut *conn)
                .await?;
            match tables::owner(conn, home, name).await? {
                Some(owner) if owner == file.name => {}
                Some(owner) => {
                    let sentence = format!("the table {name} belongs to the projection {owner}: choose another name");
                    return Ok(Some(sentence));
                }
                None if there => {
                    let sentence =
                        format!("there is a table {home}.{name} that no projection has made: choose another name");
                    return Ok(Some(sentence));
                }
                None => {}
            }
        }
        Ok(None)
    }
}

impl Table {
    /// As SQL has it.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\".\"{}\"", self.schema.replace('"', "\"\""), self.name.replace('"', "\"\""))
    }
}
