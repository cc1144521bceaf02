//! A database for one command, on the server of the log, which is removed whatever becomes of the command.

use crate::output::complain;
use crate::session::Session;
use anyhow::{Context, anyhow, bail};
use evenfold::checkpoint;
use evenfold::database::Database;
use evenfold::schema;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio_util::sync::CancellationToken;

/// evenfold's tables, and whatever the projection creates.
pub(super) struct Scratch {
    pub(super) database: Database,
    name: String,
    /// Those in which the search_path finds and creates tables, as in the user's own database.
    schemas: Vec<String>,
}

/// Does something in a database of its own, which is gone afterwards: also when it fails or is interrupted. Whoever
/// kills the process leaves it behind, with a name and a comment that say what it is.
///
/// Interrupted, the work is dropped where it is: what it has started must end by being dropped.
pub(super) async fn within<T>(
    session: &Session,
    shutdown: &CancellationToken,
    command: &str,
    work: impl AsyncFnOnce(&Scratch) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let scratch = Scratch::create(session, command).await?;
    let filled = async {
        scratch.prepare(session).await?;
        work(&scratch).await
    };
    let outcome = shutdown.run_until_cancelled(filled).await;
    let removed = scratch.remove(session).await;
    match (outcome, removed) {
        (Some(Ok(done)), removed) => removed.map(|()| done),
        (Some(Err(error)), Ok(())) => Err(error),
        (Some(Err(error)), Err(left)) => {
            complain(&format!("{left:#}"));
            Err(error)
        }
        (None, removed) => {
            removed?;
            bail!("interrupted: the copy of the log is removed, and nothing else has changed")
        }
    }
}

impl Scratch {
    async fn create(session: &Session, command: &str) -> anyhow::Result<Self> {
        let name = format!("evenfold_scratch_{:08x}", fastrand::u32(..));
        let mut conn = session.database.connect().await?;
        let row = sqlx::query(
            "SELECT pg_encoding_to_char(encoding), quote_literal(datcollate), quote_literal(datctype),
                 current_schemas(false)::text[], current_database()
             FROM pg_database WHERE datname = current_database()",
        )
        .fetch_one(&mut conn)
        .await?;
        let (encoding, collate, ctype): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let create = format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE {collate} LC_CTYPE {ctype}"
        );
        run(&mut conn, create).await.map_err(not_created)?;
        let of: String = row.try_get(4)?;
        let of = of.replace('\'', "''");
        let comment =
            format!("COMMENT ON DATABASE {name} IS 'evenfold {command} of {of}: nobody needs it once that has ended'");
        let commented = run(&mut conn, comment).await;
        let own = session.database.schema().name();
        let schemas: Vec<String> = row.try_get(3)?;
        let schemas = schemas.into_iter().filter(|schema| schema != own).collect();
        let scratch = Self { database: session.database.in_database(&name), name, schemas };
        match commented {
            Ok(()) => Ok(scratch),
            Err(error) => {
                scratch.remove(session).await?;
                Err(error.into())
            }
        }
    }

    /// Creates evenfold's tables, and the schemas in which the projection's will be.
    async fn prepare(&self, session: &Session) -> anyhow::Result<()> {
        let path: String =
            sqlx::query_scalar("SHOW search_path").fetch_one(&mut session.database.connect().await?).await?;
        // As it is shown where it has no schema, in which form it can't be set.
        let path = if path == "\"\"" { "''".to_owned() } else { path };
        let mut conn = self.database.connect_to_server().await?.0;
        run(&mut conn, format!("ALTER DATABASE {} SET search_path = {path}", self.name)).await?;
        schema::migrate(self.database.schema(), &mut conn).await?;
        self.create_schemas(&mut conn).await
    }

    async fn create_schemas(&self, conn: &mut PgConnection) -> anyhow::Result<()> {
        for schema in &self.schemas {
            run(conn, format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", schema.replace('"', "\"\""))).await?;
        }
        Ok(())
    }

    /// Removes everything but the log: the projection is begun anew, and creates its tables.
    pub(super) async fn start_over(&self, projection: &str) -> anyhow::Result<()> {
        let (own, mut conn) = (self.database.schema(), self.database.connect().await?);
        checkpoint::start_over(own, &mut conn, projection).await?;
        let others: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(nspname) FROM pg_namespace
             WHERE NOT starts_with(nspname, 'pg_') AND nspname <> 'information_schema' AND nspname <> $1",
        )
        .bind(own.name())
        .fetch_all(&mut conn)
        .await?;
        run(&mut conn, "SET client_min_messages = warning".to_owned()).await?;
        for schema in others {
            run(&mut conn, format!("DROP SCHEMA {schema} CASCADE")).await?;
        }
        self.create_schemas(&mut conn).await?;
        // What the server would otherwise write in the middle of the next measurement; not every user may ask for it.
        let _ = run(&mut conn, "CHECKPOINT".to_owned()).await;
        Ok(())
    }

    async fn remove(&self, session: &Session) -> anyhow::Result<()> {
        let left = || anyhow!("the database {0} is left over; run `DROP DATABASE {0} WITH (FORCE)`", self.name);
        let mut conn = session.database.connect_to_server().await.with_context(left)?.0;
        run(&mut conn, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await.with_context(left)
    }
}

fn not_created(error: sqlx::Error) -> anyhow::Error {
    match error.as_database_error() {
        // insufficient_privilege
        Some(refusal) if refusal.code().as_deref() == Some("42501") => anyhow!(
            "{}: the log is copied into a database of its own, so that no read model is touched; run `ALTER ROLE … CREATEDB` \
             for the user in the database URL",
            refusal.message()
        ),
        _ => error.into(),
    }
}

/// Statements that are put together here, of nothing but names that the server has quoted, and of what is in this
/// program.
async fn run(conn: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}
