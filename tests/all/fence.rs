//! A fence reads the floor first and takes the snapshot afterwards, whatever happens in between.

use crate::support::{LOCKED_OUT, SOON, TestDb, append_one, scalar, wait_until};
use evenfold::log::Fence;

/// In this schema the log's sequence is one that waits, after it was read, for as long as somebody has the lock 7.
const SLOW_FLOOR: &str = "CREATE SCHEMA slow;
    CREATE FUNCTION slow.read() RETURNS TABLE (last_value bigint, is_called boolean) LANGUAGE plpgsql AS $$
    BEGIN
        SELECT s.last_value, s.is_called INTO last_value, is_called FROM public.events_position_seq s;
        PERFORM pg_advisory_lock(7);
        PERFORM pg_advisory_unlock(7);
        RETURN NEXT;
    END $$;
    CREATE VIEW slow.events_position_seq AS SELECT * FROM slow.read()";

/// Takes a fence on a connection with these settings, between whose two reads an event is appended.
async fn fence_with_an_append_in_between(settings: &'static str) {
    let db = TestDb::new().await;
    let (mut writer, mut watcher, mut reader) = (db.connect().await, db.connect().await, db.connect().await);
    let before = append_one(&mut writer, "a", 1).await.position;
    sqlx::raw_sql(SLOW_FLOOR).execute(&mut watcher).await.unwrap();
    sqlx::raw_sql(settings).execute(&mut reader).await.unwrap();

    sqlx::raw_sql("SET search_path = slow, public").execute(&mut reader).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut watcher).await.unwrap();
    let taking = tokio::spawn(async move { Fence::take(&mut reader).await.unwrap() });
    wait_until("the floor to be read", SOON, async || scalar(&mut watcher, LOCKED_OUT).await == 1).await;
    append_one(&mut writer, "a", 1).await;
    let xid: String =
        sqlx::query_scalar("SELECT xid::text FROM events WHERE version = 2").fetch_one(&mut watcher).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_unlock(7)").execute(&mut watcher).await.unwrap();

    let fence = taking.await.unwrap();
    assert_eq!(fence.floor, before, "the floor was read before the append");
    assert!(fence.snapshot.sees(xid.parse().unwrap()), "{fence:?} was taken after {xid} had ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_reads_the_floor_first_and_takes_the_snapshot_afterwards() {
    fence_with_an_append_in_between("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_does_so_whatever_the_isolation_that_the_connection_was_given() {
    fence_with_an_append_in_between("SET default_transaction_isolation = 'repeatable read'").await;
    fence_with_an_append_in_between("SET default_transaction_isolation = 'serializable'").await;
}
