//! Statements on a connection that is kept, each in its time.

use crate::database::Database;
use sqlx::PgConnection;
use std::future::Future;
use std::time::Duration;

/// A statement may take this long before its connection is abandoned: a count must not make the next beat so late that
/// workers are taken for dead.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Gives the connection back if it is still good: a statement that the server has refused leaves it so.
pub(super) async fn within<T>(
    database: &Database,
    conn: Option<PgConnection>,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> (Option<PgConnection>, Result<T, Failure>) {
    let mut conn = match conn {
        Some(conn) => conn,
        None => match database.connect().await {
            Ok(conn) => conn,
            Err(error) => return (None, Err(error.into())),
        },
    };
    match timed(work(&mut conn)).await {
        Ok(Ok(done)) => (Some(conn), Ok(done)),
        Ok(Err(error)) => {
            // What the server says before it ends a session is an error of the database as well (57P01 and its kind).
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            let good = code.is_some_and(|code| !code.starts_with("57P"));
            (good.then_some(conn), Err(error.into()))
        }
        Err(late) => (None, Err(late)),
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let late = || Failure::from(format!("the database did not answer within {TIMEOUT:?}"));
    tokio::time::timeout(TIMEOUT, work).await.map_err(|_| late())
}
