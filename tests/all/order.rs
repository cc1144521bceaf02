//! Events of one aggregate are applied in the order of their versions. A counter parks whatever is out of order, so
//! that a value at the last version shows the order.

use crate::support::{TestDb, append_one, assert_counters_agree, counter, drain, only_worker, scalar};
use sqlx::{Connection, PgConnection};

/// A transaction that owns an xid and has not appended yet.
async fn with_xid(conn: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut tx = conn.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *tx).await.unwrap();
    tx
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_version_by_an_earlier_transaction_comes_after_the_earlier_version() {
    for read_between in [false, true] {
        let db = TestDb::new().await;
        let (mut one, mut two, mut reader) = (db.connect().await, db.connect().await, db.connect().await);
        let mut worker = only_worker(&mut reader, 100).await;
        let mut earlier_xid = with_xid(&mut one).await;
        append_one(&mut two, "a", 1).await;
        if read_between {
            assert_eq!(drain(&mut worker, &mut reader).await, 1);
        }
        let second = append_one(&mut earlier_xid, "a", 10).await;
        assert_eq!(second.version, 2);
        earlier_xid.commit().await.unwrap();
        drain(&mut worker, &mut reader).await;
        assert_eq!(counter(&mut reader, "a").await, Some((11, 2)));
        let by_xid: Vec<(i64,)> =
            sqlx::query_as("SELECT version FROM evenfold.events ORDER BY xid").fetch_all(&mut reader).await.unwrap();
        assert_eq!(by_xid, [(2,), (1,)], "the history is one that reading in the order of xids turns round");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_version_comes_before_the_versions_that_follow_it() {
    let db = TestDb::new().await;
    let (mut one, mut two, mut reader) = (db.connect().await, db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut reader, 1).await;
    let mut late = one.begin().await.unwrap();
    append_one(&mut late, "a", 1).await;
    append_one(&mut two, "b", 1).await;
    drain(&mut worker, &mut reader).await;
    late.commit().await.unwrap();
    append_one(&mut two, "a", 10).await;
    append_one(&mut two, "b", 10).await;
    // Batches of one event: the late one must also be the first.
    drain(&mut worker, &mut reader).await;
    assert_eq!(counter(&mut reader, "a").await, Some((11, 2)));
    assert_eq!(counter(&mut reader, "b").await, Some((11, 2)));
    assert_eq!(scalar(&mut reader, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    assert_counters_agree(&mut reader).await;
}
