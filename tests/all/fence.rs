//! A fence reads the floor first and takes the snapshot afterwards, whatever happens in between.

use crate::support::{LOCKED_OUT, SOON, TestDb, append_one, partition, scalar, wait_until};
use evenfold::log::{self, EventBuffer, Fence, Interest, Slice};
use evenfold::schema::Schema;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Instant;
use tokio::task::JoinSet;

/// In this schema the function that gives the floor waits, after it has read, for as long as somebody has the lock 7.
const SLOW_FLOOR: &str = "CREATE SCHEMA slow;
    CREATE FUNCTION slow.pg_sequence_last_value(read regclass) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE last bigint := pg_catalog.pg_sequence_last_value(read);
    BEGIN
        PERFORM pg_advisory_lock(7);
        PERFORM pg_advisory_unlock(7);
        RETURN last;
    END $$";

/// Takes a fence on a connection with these settings, between whose two reads an event is appended.
async fn fence_with_an_append_in_between(settings: &'static str) {
    let db = TestDb::new().await;
    let (mut writer, mut watcher, mut reader) = (db.connect().await, db.connect().await, db.connect().await);
    let before = append_one(&mut writer, "a", 1).await.position;
    sqlx::raw_sql(SLOW_FLOOR).execute(&mut watcher).await.unwrap();
    sqlx::raw_sql(settings).execute(&mut reader).await.unwrap();

    sqlx::raw_sql("SET search_path = slow, public, pg_catalog").execute(&mut reader).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut watcher).await.unwrap();
    let taking = tokio::spawn(async move { Fence::take(&Schema::default(), &mut reader).await.unwrap() });
    wait_until("the floor to be read", SOON, async || scalar(&mut watcher, LOCKED_OUT).await == 1).await;
    append_one(&mut writer, "a", 1).await;
    let xid: String = sqlx::query_scalar("SELECT xid::text FROM evenfold.events WHERE version = 2")
        .fetch_one(&mut watcher)
        .await
        .unwrap();
    sqlx::raw_sql("SELECT pg_advisory_unlock(7)").execute(&mut watcher).await.unwrap();

    let fence = taking.await.unwrap();
    assert_eq!(fence.floor, before, "the floor was read before the append");
    assert!(fence.snapshot().unwrap().sees(xid.parse().unwrap()), "{fence:?} was taken after {xid} had ended");
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

/// Takes positions until its connection is closed.
const TAKE_POSITIONS: &str = "DO $$
    BEGIN
        LOOP
            PERFORM nextval('evenfold.events_position_seq') FROM generate_series(1, 1000);
            COMMIT;
        END LOOP;
    END $$";

/// How often a number that only grows was less than before, of 20,000 times that it was read.
async fn times_it_went_back(conn: &mut PgConnection, read: &str) -> i64 {
    let function = format!(
        "CREATE OR REPLACE FUNCTION pg_temp.times_it_went_back() RETURNS bigint LANGUAGE plpgsql AS $$
         DECLARE last bigint := 0; now bigint; times bigint := 0;
         BEGIN
             FOR i IN 1 .. 20000 LOOP
                 now := ({read});
                 times := times + (now < last)::int;
                 last := now;
             END LOOP;
             RETURN times;
         END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(function)).execute(&mut *conn).await.unwrap();
    scalar(conn, "SELECT pg_temp.times_it_went_back()").await
}

/// Numbers that go back were ahead of what had been handed out.
#[tokio::test(flavor = "multi_thread")]
async fn a_floor_is_never_ahead_of_what_was_handed_out_though_the_sequence_may_show_so_for_a_moment() {
    let db = TestDb::new().await;
    let (mut reader, mut looking) = (db.connect().await, db.connect().await);
    let fence = Fence::take(&Schema::default(), &mut reader).await.unwrap();
    let prepared = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%events_position_seq%'
        AND statement NOT LIKE '%pg_prepared_statements%'";
    let floor: String = sqlx::query_scalar(prepared).fetch_one(&mut reader).await.unwrap();
    let (slice, everything, mut buffer) =
        (Slice::of(&[partition(0, 1)]), Interest::everything(), EventBuffer::default());
    log::poll(&Schema::default(), &mut looking, (&fence, fence.floor), &slice, &everything, 10, &mut buffer)
        .await
        .unwrap();
    let look: String = sqlx::query_scalar(prepared).fetch_one(&mut looking).await.unwrap();
    assert!(look.contains(floor.strip_prefix("SELECT ").unwrap()), "{look} reads it otherwise");

    let mut writers = JoinSet::new();
    for _ in 0..2 {
        let mut writer = db.connect().await;
        writers.spawn(async move { sqlx::raw_sql(TAKE_POSITIONS).execute(&mut writer).await });
    }
    let started = Instant::now();
    let mut shown = 0;
    while shown < 3 {
        assert!(started.elapsed() < SOON, "the sequence has gone back {shown} times only: nothing is shown");
        shown += times_it_went_back(&mut reader, "SELECT last_value FROM evenfold.events_position_seq").await;
        assert_eq!(times_it_went_back(&mut reader, &floor).await, 0);
    }
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1";
    sqlx::query(end).bind(TAKE_POSITIONS).execute(&mut looking).await.unwrap();
    while let Some(ended) = writers.join_next().await {
        assert!(ended.unwrap().is_err(), "it runs until it is ended");
    }
}
