//! Which log a projection folds, for whoever knows its name alone.

use super::shop::Shop;
use crate::support::{TestDb, partition};
use evenfold::checkpoint::{FoldedLog, log_of};
use evenfold::log::Source;
use evenfold::projection::{Batch, BoxError, Projection, Sourced, Worker, WorkerOptions};
use evenfold::schema::Schema;
use sqlx::PgConnection;

/// With settings that look like a log's name.
struct Misleading;

impl Projection for Misleading {
    fn name(&self) -> &'static str {
        "misleading"
    }

    fn settings(&self) -> String {
        "log: custom shop.others; and more".to_owned()
    }

    async fn apply(&mut self, _: &mut PgConnection, _: &mut Batch<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_look_like_a_log_are_not_taken_for_one() {
    let log = Shop::new().await;
    for (source, expected) in
        [(None, FoldedLog::Own), (Some(log.source()), FoldedLog::Other("custom shop.domain_events".to_owned()))]
    {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let of = async |conn: &mut PgConnection| log_of(&Schema::default(), conn, "misleading").await.unwrap();
        assert_eq!(of(&mut conn).await, None);
        let projection: Sourced<Misleading> = Sourced::new(Misleading, source.clone() as Option<Source>);
        Worker::new(partition(0, 1), projection, WorkerOptions::default()).step(&mut conn).await.unwrap();
        assert_eq!(of(&mut conn).await, Some(expected), "{source:?}");
    }
}
