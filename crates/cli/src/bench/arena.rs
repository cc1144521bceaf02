//! A schema for one benchmark, which is removed whatever becomes of the benchmark.

use crate::output::complain;
use crate::session::Session;
use anyhow::{Context, anyhow, bail};
use evenfold::database::Database;
use evenfold::schema::{self, Schema};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio_util::sync::CancellationToken;

/// How often a schema is tried to be dropped while a worker of the benchmark is still on its way out.
const ATTEMPTS: u32 = 5;

/// evenfold's tables, in a schema of their own.
pub struct Arena {
    /// Whose schema it is.
    pub database: Database,
    /// The same for other processes, which are given the schema as well.
    pub url: String,
}

/// Does something in a schema of its own, which is gone afterwards: also when it fails or is interrupted. Whoever kills
/// the process leaves it behind, with a name and a comment that say what it is.
///
/// Interrupted, the work is dropped where it is: what it has started must end by being dropped.
pub async fn within<T>(
    session: &Session,
    shutdown: &CancellationToken,
    benchmark: &str,
    work: impl AsyncFnOnce(&Arena) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let arena = Arena::create(session, benchmark).await?;
    let filled = async {
        schema::migrate(arena.database.schema(), &mut arena.database.connect_to_server().await?.0).await?;
        work(&arena).await
    };
    let outcome = shutdown.run_until_cancelled(filled).await;
    let removed = arena.remove(session).await.map_err(|error| {
        let schema = arena.database.schema();
        anyhow!("the schema {} is left over: {error:#}; run `DROP SCHEMA {schema} CASCADE`", schema.name())
    });
    match (outcome, removed) {
        (Some(Ok(done)), removed) => removed.map(|()| done),
        (Some(Err(error)), Ok(())) => Err(error),
        (Some(Err(error)), Err(left)) => {
            complain(&left.to_string());
            Err(error)
        }
        (None, removed) => {
            removed?;
            bail!("interrupted: the benchmark's schema is removed, and there are no figures")
        }
    }
}

impl Arena {
    async fn create(session: &Session, benchmark: &str) -> anyhow::Result<Self> {
        let schema = Schema::named(&format!("evenfold_bench_{:08x}", fastrand::u32(..)))?;
        let arena = Self::of(session, schema.clone());
        // What is wrong with the server is reported before anything is made.
        let (mut conn, _) = arena.database.connect_to_server().await?;
        let create = format!(
            "CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS
             'evenfold bench {benchmark}: nobody needs it once that has ended'"
        );
        run(&mut conn, create).await.map_err(not_created)?;
        Ok(arena)
    }

    /// A schema of this name, which stays until it is [dropped](Self::drop_kept): the one that an earlier run has left,
    /// or a new one.
    pub async fn kept(session: &Session, benchmark: &str, schema: &str) -> anyhow::Result<Self> {
        let schema = Schema::named(schema)?;
        let arena = Self::of(session, schema.clone());
        let (mut conn, _) = arena.database.connect_to_server().await?;
        let create = format!(
            "SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS {schema}; COMMENT ON SCHEMA {schema} IS
             'evenfold bench {benchmark}: kept for its next run, and needed by nobody else'"
        );
        run(&mut conn, create).await.map_err(not_created)?;
        schema::migrate(arena.database.schema(), &mut conn).await?;
        Ok(arena)
    }

    /// Drops a schema that was kept, if it is there.
    pub async fn drop_kept(session: &Session, schema: &str) -> anyhow::Result<()> {
        Self::of(session, Schema::named(schema)?).remove(session).await
    }

    fn of(session: &Session, schema: Schema) -> Self {
        Self { database: session.database.in_schema(schema).named("evenfold bench"), url: session.url.clone() }
    }

    /// Drops the schema. Workers that are to end may be in the middle of a batch: they are waited for, and then
    /// their connections are ended.
    async fn remove(&self, session: &Session) -> anyhow::Result<()> {
        let (mut conn, _) = session.database.named("evenfold bench").connect_to_server().await?;
        run(&mut conn, "SET client_min_messages = warning; SET lock_timeout = '2s'".to_owned()).await?;
        for attempt in 1.. {
            let Err(error) = run(&mut conn, format!("DROP SCHEMA IF EXISTS {} CASCADE", self.database.schema())).await
            else {
                break;
            };
            if attempt == ATTEMPTS {
                return Err(error).context("it could not be dropped");
            }
            sqlx::query(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                 WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND l.pid <> pg_backend_pid()",
            )
            .bind(self.database.schema().name())
            .execute(&mut conn)
            .await?;
        }
        Ok(())
    }
}

fn not_created(error: sqlx::Error) -> anyhow::Error {
    match error.as_database_error() {
        // insufficient_privilege
        Some(error) if error.code().as_deref() == Some("42501") => anyhow!(
            "{}: a benchmark works in a schema of its own; run `GRANT CREATE ON DATABASE …` for the user in the \
             database URL, or leave the URL out to use evenfold's own PostgreSQL",
            error.message()
        ),
        _ => error.into(),
    }
}

/// Statements that are put together here, of nothing but the schema's name and what is in this program.
async fn run(conn: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}
