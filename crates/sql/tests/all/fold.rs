//! What the tests share: files that are folded to the end of the log.

use evenfold::{Class, NewEvent, Process, Report, RunError, RunOptions, Takeover, Worker, WorkerOptions, append};
use evenfold_sql::{ProjectionFile, SqlProjection};
use evenfold_testkit::TestDb;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio_util::sync::CancellationToken;

/// The file with this text.
pub(crate) fn file(name: &str, text: &str) -> ProjectionFile {
    ProjectionFile::parse(name, &format!("projections/{name}.sql"), text).unwrap()
}

/// The projection of this text.
pub(crate) fn projection(name: &str, text: &str) -> SqlProjection {
    SqlProjection::new(file(name, text))
}

/// Folds everything there is, by as many partitions at once.
pub(crate) async fn fold(
    db: &TestDb,
    projection: &SqlProjection,
    partitions: u32,
    batch_size: usize,
) -> Result<Vec<Report>, RunError> {
    let process = Process::new(&db.database);
    let options = WorkerOptions::default().batch_size(batch_size).topology(Takeover::Now);
    let run = RunOptions::default().until_caught_up(true);
    let classes: Vec<Class> = (0..partitions).map(|key| Class::partition(key, partitions).unwrap()).collect();
    let worker = {
        let projection = projection.clone();
        move |class| Worker::new(class, projection.clone(), options.clone())
    };
    let mut pool = process.pool(&classes, worker, &run, &CancellationToken::new()).unwrap();
    let mut reports = Vec::new();
    while let Some((_, outcome)) = pool.ended().await {
        reports.push(outcome);
    }
    process.close().await;
    reports.into_iter().collect()
}

pub(crate) fn event(aggregate: &str, event_type: &str, payload: &serde_json::Value) -> NewEvent {
    NewEvent::new("order", aggregate, event_type, payload).unwrap()
}

pub(crate) async fn append_all(conn: &mut PgConnection, events: &[NewEvent]) {
    append(conn, events).await.unwrap();
}

/// The rows of a query, as texts in their order.
pub(crate) async fn rows(conn: &mut PgConnection, sql: &str) -> Vec<String> {
    let sql = format!("SELECT r::text FROM ({sql}) AS r ORDER BY 1");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(conn).await.unwrap()
}
