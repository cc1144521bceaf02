//! Events of a large transaction that commits late are read about once, and not at all while it is open.

use crate::support::{SOON, TestDb, append_one, assert_all_applied_once, drain, only_worker, partition, scalar};
use evenfold::checkpoint;
use evenfold::counters::{Counters, NAME};
use evenfold::log::{EventBuffer, Fence, Interest, Layout, Slice, Window, WindowReader};
use evenfold::number::Position;
use evenfold::projection::{Target, Worker, wait_until};
use evenfold::schema::Schema;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const LATE: i64 = 20_000;
const BATCH: usize = 250;

/// Entries of the two indexes by which a log is read that were visited so far, by connections that have ended and this
/// one.
async fn visited(conn: &mut PgConnection) -> i64 {
    scalar(conn, "SELECT 1::bigint FROM pg_stat_force_next_flush()").await;
    scalar(
        conn,
        "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
         WHERE indexrelname IN ('events_pkey', 'events_xid_idx')",
    )
    .await
}

/// Inserts events of 100 aggregates.
async fn insert(conn: &mut PgConnection, name: &str, events: i64) {
    let statement = format!(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         SELECT n / 100 + 1, 't', '{name}' || n % 100, 'e', '{{}}' FROM generate_series(0, {events} - 1) n"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.unwrap();
}

/// A database whose worker has seen all there is but the events of a transaction, which is committed now.
async fn committed_late(batch_size: usize) -> (TestDb, PgConnection, Worker<Counters>) {
    let db = TestDb::new().await;
    let (mut writer, mut other) = (db.connect().await, db.connect().await);
    let mut conn = db.database.by_index().connect().await.unwrap();
    let mut worker = only_worker(&mut conn, batch_size).await;
    let mut open = writer.begin().await.unwrap();
    insert(&mut open, "late", LATE).await;
    append_one(&mut other, "other", 1).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1);
    open.commit().await.unwrap();
    (db, conn, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_one_late_transaction_are_read_about_once_in_however_many_batches() {
    let (_db, mut conn, mut worker) = committed_late(BATCH).await;
    let before = visited(&mut conn).await;
    assert_eq!(drain(&mut worker, &mut conn).await, LATE.unsigned_abs());
    let visited = visited(&mut conn).await - before;
    assert!(
        visited < 6 * LATE,
        "{visited} entries for {LATE} events, in {} batches",
        LATE.unsigned_abs() / BATCH as u64
    );
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_transaction_has_written_is_visited_by_no_look_by_no_count_of_the_lag_and_by_nobody_who_waits() {
    let db = TestDb::new().await;
    let (mut writer, mut other) = (db.connect().await, db.connect().await);
    let mut conn = db.database.by_index().connect().await.unwrap();
    let mut worker = only_worker(&mut conn, BATCH).await;
    let mut open = writer.begin().await.unwrap();
    insert(&mut open, "late", LATE).await;
    append_one(&mut other, "other", 1).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1);
    let before = visited(&mut conn).await;
    for _ in 0..50 {
        append_one(&mut other, "other", 1).await;
        assert_eq!(drain(&mut worker, &mut conn).await, 1);
    }
    let (own, interest) = (Schema::default(), Interest::everything());
    let lag = checkpoint::lag(&own, &mut conn, None, NAME, partition(0, 1), &interest).await.unwrap();
    assert_eq!(lag.events, 0);
    wait_until(&own, &mut conn, NAME, Target::Everything, SOON).await.unwrap();
    let visited = visited(&mut conn).await - before;
    assert!(visited < LATE, "{visited} entries for 50 events");
    open.commit().await.unwrap();
    assert_eq!(drain(&mut worker, &mut conn).await, LATE.unsigned_abs());
    assert_all_applied_once(&mut conn).await;
}

/// The positions of a window's events, read chunk by chunk.
async fn chunks(
    reader: &mut WindowReader,
    conn: &mut PgConnection,
    mut window: Window<'_>,
    slice: &Slice,
    limit: usize,
) -> Vec<i64> {
    let (mut buffer, mut found) = (EventBuffer::default(), Vec::new());
    loop {
        let interest = Interest::everything();
        let read = reader.read(&Layout::default(), conn, window, (slice, &interest), limit, &mut buffer).await.unwrap();
        found.extend(buffer.events().map(|event| event.position.get()));
        if read.complete {
            return found;
        }
        window.after = Position::new(*found.last().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_late_events_are_the_same_and_in_the_same_order_in_chunks_of_any_size() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut writers = [db.connect().await, db.connect().await, db.connect().await];
    let mut open = Vec::new();
    for writer in &mut writers {
        open.push(writer.begin().await.unwrap());
    }
    // Close together, interleaved, and far apart; with events between them that are not late.
    for (round, events) in [12_000, 300, 1, 40, 9_000].into_iter().enumerate() {
        for (n, writer) in open.iter_mut().enumerate() {
            insert(writer, &format!("late {round} {n} "), events).await;
        }
        insert(&mut other, &format!("other {round} "), 5_000).await;
    }
    let seen = Fence::take(&Schema::default(), &mut conn).await.unwrap();
    let still = open.pop().unwrap();
    open.pop().unwrap().rollback().await.unwrap();
    open.pop().unwrap().commit().await.unwrap();
    append_one(&mut other, "new", 1).await;
    let upto = Fence::take(&Schema::default(), &mut conn).await.unwrap();
    still.commit().await.unwrap();

    let window = Window { seen: &seen, upto: &upto, after: Position::START };
    let whole = Slice::of(&[partition(0, 1)]);
    for slice in [&whole, &Slice::of(&[partition(3, 7)]), &Slice::of(&[partition(0, 3), partition(2, 3)])] {
        let expected = chunks(&mut WindowReader::default(), &mut conn, window, slice, 100_000).await;
        assert!(expected.len() > 2_000 && expected.is_sorted(), "{}", expected.len());
        let mut reader = WindowReader::default();
        for limit in [377, 10_000, 15_000, 20_000] {
            // From a later position first: a worker whose batch was rolled back goes back.
            let later = Window { after: Position::new(expected[1_000]), ..window };
            let rest = chunks(&mut reader, &mut conn, later, slice, limit).await;
            assert!(rest == expected[1_001..], "{limit} at a time, {slice:?}");
            assert!(chunks(&mut reader, &mut conn, window, slice, limit).await == expected, "{limit}, {slice:?}");
        }
    }
    let mut reader = WindowReader::default();
    let late = chunks(&mut reader, &mut conn, window, &whole, 1_000).await.len();
    assert_eq!(late, 12_000 + 300 + 1 + 40 + 9_000 + 1);
    let later = Fence::take(&Schema::default(), &mut conn).await.unwrap();
    let longer = Window { upto: &later, ..window };
    assert_eq!(chunks(&mut reader, &mut conn, longer, &whole, 1_000).await.len(), 2 * late - 1, "another window");
}
