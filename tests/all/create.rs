//! A projection's tables are created once, with the projection.

use crate::support::{TestDb, partition, scalar};
use evenfold::checkpoint::Registered;
use evenfold::projection::{Batch, BoxError, Projection, Worker, WorkerOptions};
use sqlx::PgConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Creates a table, and fails after that the first time.
struct Creating(Arc<AtomicU32>);

impl Projection for Creating {
    fn name(&self) -> &'static str {
        "creating"
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("CREATE TABLE created ()").execute(conn).await?;
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 { Err("not today".into()) } else { Ok(()) }
    }

    async fn apply(&mut self, _: &mut PgConnection, _: &mut Batch<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_whose_tables_can_not_be_created_is_not_begun_and_one_that_is_begun_creates_none() {
    let db = TestDb::new().await;
    let (mut conn, calls) = (db.connect().await, Arc::new(AtomicU32::new(0)));
    let worker = |key| Worker::new(partition(key, 2), Creating(Arc::clone(&calls)), WorkerOptions::default());
    let begun = "SELECT count(*) FROM evenfold.projections WHERE name = 'creating'";
    let table = "SELECT count(*) FROM pg_class WHERE relname = 'created'";

    let refused = worker(0).register(&mut conn).await.unwrap_err().to_string();
    assert_eq!(refused, "the tables of the projection creating can't be created: not today; nothing was begun");
    assert_eq!((scalar(&mut conn, begun).await, scalar(&mut conn, table).await), (0, 0));

    // One that is there has rows that are not those of this projection.
    sqlx::raw_sql("CREATE TABLE created ()").execute(&mut conn).await.unwrap();
    let refused = worker(0).register(&mut conn).await.unwrap_err().to_string();
    let what_to_do = "relation \"created\" already exists: drop it, or create one of another name; nothing was begun";
    assert!(refused.ends_with(what_to_do), "{refused}");
    sqlx::raw_sql("DROP TABLE created").execute(&mut conn).await.unwrap();

    // Both at once: the second waits for the first, and finds the projection begun.
    let (mut one, mut other) = (worker(0), worker(1));
    let mut second = db.connect().await;
    let (first, then) = tokio::join!(one.register(&mut conn), other.register(&mut second));
    assert_eq!((first.unwrap(), then.unwrap()), (Registered::Ready, Registered::Ready));
    assert_eq!((scalar(&mut conn, begun).await, scalar(&mut conn, table).await), (1, 1));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}
