//! A shadow schema: made, put first in the `search_path`, and filled by a projection's `create`.

use crate::projection::{BoxError, Projection, RowsWritten};
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
    /// A table in use has the name of one of the projection's, and does not say that it is the projection's.
    #[error(
        "{table} does not say that it is a table of the projection {projection}, so it is left as it is: drop or rename it, \
         or, if it is, COMMENT ON TABLE {table} IS '{mark}'"
    )]
    NotOwn {
        /// The projection.
        projection: String,
        /// The table.
        table: String,
        /// The line that its comment ends with.
        mark: String,
    },
    /// Its tables are in more than one schema.
    #[error(
        "the table {table} of the projection {projection} is in another schema than its other tables: move it there"
    )]
    TwoSchemas {
        /// The projection.
        projection: String,
        /// The table.
        table: String,
    },
    /// Something else than a table is to be replaced.
    #[error(
        "the projection {projection} makes more than tables, and a rebuild replaces nothing else: {what} …; change it by \
         hand and run the rebuild again, or give the projection another name"
    )]
    OtherThan {
        /// The projection.
        projection: String,
        /// What it is.
        what: String,
    },
    /// Something hangs on an old table.
    #[error(
        "the tables of the projection {projection} have changed, and {bound} would stay with the old ones: drop it, run the \
         rebuild again, which goes on where it was, and make it anew"
    )]
    Bound {
        /// The projection.
        projection: String,
        /// What it is.
        bound: String,
    },
    /// The schema of the shadow is somebody else's.
    #[error("the schema {schema} is there already and is no shadow of the projection {projection}: rename or drop it")]
    Taken {
        /// The projection.
        projection: String,
        /// The schema.
        schema: String,
    },
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// A schema with tables of a projection that nobody else uses.
#[derive(Debug, Clone)]
pub(super) struct Shadow {
    /// Its name, as SQL has it.
    pub(super) quoted: String,
    /// Whose tables are in it.
    pub(super) projection: String,
    /// The `search_path` without it.
    pub(super) path: String,
}

impl Shadow {
    /// A schema of this name, which may be there or not, for a session whose names lead to none yet.
    pub(super) async fn named(conn: &mut PgConnection, name: &str, projection: &str) -> Result<Self, sqlx::Error> {
        let (quoted, path) =
            sqlx::query_as("SELECT quote_ident($1), current_setting('search_path')").bind(name).fetch_one(conn).await?;
        Ok(Self { quoted, projection: projection.to_owned(), path })
    }

    /// Its name, without quotes.
    fn name(&self) -> String {
        let inner = self.quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner.map_or_else(|| self.quoted.clone(), |inner| inner.replace("\"\"", "\""))
    }

    /// Makes the schema in the caller's transaction, which is to be rolled back if this fails.
    pub(super) async fn make(&self, conn: &mut PgConnection) -> Result<(), ShadowError> {
        // Before anything has failed.
        let (role, database): (String, String) =
            sqlx::query_as("SELECT quote_ident(current_user), quote_ident(current_database())")
                .fetch_one(&mut *conn)
                .await?;
        let made = sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {}", self.quoted))).execute(&mut *conn).await;
        match made {
            Err(error) if is_privilege(&error) => Err(ShadowError::NotAllowed { role, database }),
            done => Ok(done.map(drop)?),
        }
    }

    /// The `search_path` with which names lead to the shadow first.
    pub(super) fn path_into(&self) -> String {
        path_into(&self.quoted, &self.path)
    }

    /// From here on, until the transaction ends, names lead to the shadow first.
    pub(super) async fn enter(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        set_path(conn, &self.path_into()).await
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

    /// Whether the schema is there; an error if it is somebody else's, whose comment is another.
    pub(super) async fn is_there(&self, conn: &mut PgConnection, comment: &str) -> Result<bool, ShadowError> {
        let there: Option<bool> = sqlx::query_scalar(
            "SELECT obj_description(oid, 'pg_namespace') IS NOT DISTINCT FROM $2 FROM pg_namespace WHERE oid = to_regnamespace($1)",
        )
        .bind(&self.quoted)
        .bind(comment)
        .fetch_optional(conn)
        .await?;
        match there {
            Some(false) => Err(ShadowError::Taken { projection: self.projection.clone(), schema: self.quoted.clone() }),
            there => Ok(there.is_some()),
        }
    }

    /// Drops it with all that is in it.
    pub(super) async fn drop(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA {} CASCADE", self.quoted))).execute(conn).await.map(drop)
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

    /// Tables of this schema as SQL has them.
    pub(super) async fn quoted_tables(
        &self,
        conn: &mut PgConnection,
        names: &[String],
    ) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT $1 || '.' || quote_ident(name) FROM unnest($2::text[]) AS name")
            .bind(&self.quoted)
            .bind(names)
            .fetch_all(conn)
            .await
    }

    /// Refuses a transaction that has written other tables than those of the shadow, and evenfold's own in the schema
    /// `own`: a projection that names a schema would write the tables in use a second time. `before` is what the
    /// session had written when the transaction began.
    pub(super) async fn check_written(
        &self,
        conn: &mut PgConnection,
        own: &str,
        before: &RowsWritten,
    ) -> Result<(), ShadowError> {
        for (schema, name) in before.since(conn).await? {
            if schema != self.name() && !(schema == own && OWN.contains(&name.as_str())) {
                let table = format!("{schema}.{name}");
                return Err(ShadowError::Elsewhere { projection: self.projection.clone(), table });
            }
        }
        Ok(())
    }
}

/// What evenfold writes itself where it applies events.
const OWN: [&str; 5] = ["projections", "checkpoints", "parked_events", "topologies", "heartbeats"];

/// A `search_path` with this schema before all others.
pub(super) fn path_into(quoted: &str, path: &str) -> String {
    if path.is_empty() { quoted.to_owned() } else { format!("{quoted}, {path}") }
}

pub(super) async fn set_path(conn: &mut PgConnection, path: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('search_path', $1, true)").bind(path).execute(conn).await.map(drop)
}

fn is_privilege(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42501"))
}
