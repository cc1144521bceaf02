//! A shadow schema: made, put first in the `search_path`, and filled by a projection's `create`.

use crate::projection::{BoxError, Projection};
use sqlx::{AssertSqlSafe, PgConnection};

/// Why a projection has no tables in a shadow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShadowError {
    /// The role has no right to make a schema.
    #[error(
        "the role {role} may not create a schema, and the projection is folded again in one of its own: \
         GRANT CREATE ON DATABASE {database} TO {role}"
    )]
    NotAllowed {
        /// The role, as SQL has it.
        role: String,
        /// The database, as SQL has it.
        database: String,
    },
    /// The projection makes no table, or makes it in a schema that it names.
    #[error(
        "the projection {projection} makes no table in the first schema of the search_path: it must make its tables in \
         create(), by CREATE TABLE and without a schema in their names, to be folded again next to those in use"
    )]
    NoTables {
        /// The projection.
        projection: String,
    },
    /// Its `create` has failed.
    #[error("the tables of the projection {projection} can't be made in a shadow schema: {}", crate::database::describe_any(.error.as_ref()))]
    Create {
        /// The projection.
        projection: String,
        /// Why not.
        error: BoxError,
    },
    /// What is folded was written elsewhere than in the shadow.
    #[error(
        "the projection {projection} has written {table}, which is not made by its create(): it can be folded again only \
         where it names its own tables without a schema, and writes no others; nothing of that is kept"
    )]
    Elsewhere {
        /// The projection.
        projection: String,
        /// The table.
        table: String,
    },
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// A schema with tables of a projection that nobody else uses.
#[derive(Debug)]
pub(super) struct Shadow {
    /// Its name, as SQL has it.
    pub(super) quoted: String,
    /// Whose tables are in it.
    pub(super) projection: String,
    /// The `search_path` without it.
    pub(super) path: String,
}

/// What is known of the session. The database and the role are asked for before anything has failed.
const SESSION: &str = "SELECT quote_ident($1), quote_ident(current_user), quote_ident(current_database()),
    current_setting('search_path')";

impl Shadow {
    /// Makes the schema in the caller's transaction, which is to be rolled back if this fails, and puts it first in the
    /// transaction's `search_path`.
    pub(super) async fn make(conn: &mut PgConnection, name: &str, projection: &str) -> Result<Self, ShadowError> {
        let (quoted, role, database, path): (String, String, String, String) =
            sqlx::query_as(SESSION).bind(name).fetch_one(&mut *conn).await?;
        let made = sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {quoted}"))).execute(&mut *conn).await;
        if let Err(error) = made {
            return Err(if is_privilege(&error) { ShadowError::NotAllowed { role, database } } else { error.into() });
        }
        let shadow = Self { quoted, projection: projection.to_owned(), path };
        shadow.enter(conn).await?;
        Ok(shadow)
    }

    /// From here on, until the transaction ends, names lead to the shadow first.
    pub(super) async fn enter(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let path = if self.path.is_empty() { self.quoted.clone() } else { format!("{}, {}", self.quoted, self.path) };
        set_path(conn, &path).await
    }

    /// Names lead again to where they did before.
    pub(super) async fn leave(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        set_path(conn, &self.path).await
    }

    /// Has the projection make its tables, and gives their names.
    pub(super) async fn fill<P: Projection>(
        &self,
        conn: &mut PgConnection,
        projection: &mut P,
    ) -> Result<Vec<String>, ShadowError> {
        let name = self.projection.clone();
        if let Err(error) = projection.create(&mut *conn).await {
            return Err(ShadowError::Create { projection: name, error });
        }
        let tables = self.tables(conn).await?;
        if tables.is_empty() { Err(ShadowError::NoTables { projection: name }) } else { Ok(tables) }
    }

    /// The names of its tables, in their order.
    pub(super) async fn tables(&self, conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1",
        )
        .bind(&self.quoted)
        .fetch_all(conn)
        .await
    }

    /// Refuses a transaction that has written other tables than those of the shadow, and evenfold's own in `own`: a
    /// projection that names a schema would write the tables in use a second time.
    pub(super) async fn check_written(&self, conn: &mut PgConnection, own: &str) -> Result<(), ShadowError> {
        let elsewhere: Option<String> = sqlx::query_scalar(
            "SELECT relid::regclass::text FROM pg_stat_xact_user_tables
             WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND NOT starts_with(schemaname::text, 'pg_temp')
               AND quote_ident(schemaname) <> $1
               AND NOT (quote_ident(schemaname) = $2 AND relname IN
                    ('projections', 'checkpoints', 'parked_events', 'topologies', 'heartbeats'))
             ORDER BY 1 LIMIT 1",
        )
        .bind(&self.quoted)
        .bind(own)
        .fetch_optional(conn)
        .await?;
        match elsewhere {
            Some(table) => Err(ShadowError::Elsewhere { projection: self.projection.clone(), table }),
            None => Ok(()),
        }
    }
}

async fn set_path(conn: &mut PgConnection, path: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('search_path', $1, true)").bind(path).execute(conn).await.map(drop)
}

fn is_privilege(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
}
