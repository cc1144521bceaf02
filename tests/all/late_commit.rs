//! No event is missed, in whatever order transactions take positions and commit.

use crate::support::{
    SOON, TestDb, append_one, assert_counters_agree, counter, drain, event, only_worker, scalar, wait_until,
};
use evenfold::class::Class;
use evenfold::log::{self, EventBuffer, Fence, Interest, Layout, Slice, Window};
use evenfold::number::Position;
use evenfold::schema::Schema;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

/// What most libraries do: remember the last position, ask for what is above it.
struct NaiveReader {
    position: i64,
    read: i64,
}

impl NaiveReader {
    async fn read(&mut self, conn: &mut PgConnection) {
        let rows: Vec<(i64,)> =
            sqlx::query_as("SELECT position FROM evenfold.events WHERE position > $1 ORDER BY position")
                .bind(self.position)
                .fetch_all(conn)
                .await
                .unwrap();
        self.position = rows.last().map_or(self.position, |row| row.0);
        self.read += i64::try_from(rows.len()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_its_position_first_and_commits_last_is_not_missed() {
    let db = TestDb::new().await;
    let (mut slow, mut fast, mut reader) = (db.connect().await, db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut reader, 100).await;
    let mut naive = NaiveReader { position: 0, read: 0 };

    let mut open = slow.begin().await.unwrap();
    let first = append_one(&mut open, "slow", 1).await;
    let second = append_one(&mut fast, "fast", 2).await;
    assert!(first.position < second.position);
    assert_eq!(drain(&mut worker, &mut reader).await, 1);
    naive.read(&mut reader).await;
    assert_eq!(counter(&mut reader, "fast").await, Some((2, 1)), "what is committed is not held up");

    open.commit().await.unwrap();
    assert_eq!(drain(&mut worker, &mut reader).await, 1);
    naive.read(&mut reader).await;
    assert_eq!(counter(&mut reader, "slow").await, Some((1, 1)));
    assert_counters_agree(&mut reader).await;
    assert_eq!(naive.read, 1, "the history is one in which reading by position loses an event");
}

/// PostgreSQL lists a running transaction in a snapshot only if a later one has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_in_no_in_progress_list_is_not_missed() {
    let db = TestDb::new().await;
    let (mut slow, mut reader) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut reader, 100).await;
    append_one(&mut slow, "before", 1).await;

    // Other tests use the same server, and may end a transaction in between: then the list has it after all.
    let mut unlisted = 0;
    for round in 0..50 {
        let mut open = slow.begin().await.unwrap();
        append_one(&mut open, &format!("slow {round}"), 1).await;
        let xid: String = sqlx::query_scalar("SELECT pg_current_xact_id()::text").fetch_one(&mut *open).await.unwrap();
        let fence = Fence::take(&Schema::default(), &mut reader).await.unwrap();
        let xid = xid.parse().unwrap();
        assert!(fence.may_be_late(xid), "{fence:?} must know of {xid}");
        unlisted += u32::from(!fence.snapshot().unwrap().in_progress().contains(&xid));
        drain(&mut worker, &mut reader).await;
        open.commit().await.unwrap();
        drain(&mut worker, &mut reader).await;
        assert_eq!(counter(&mut reader, &format!("slow {round}")).await, Some((1, 1)));
    }
    assert!(unlisted > 0, "the history must have the case");
    assert_counters_agree(&mut reader).await;
}

/// Reads the window between two fences to its end.
async fn positions(conn: &mut PgConnection, seen: &Fence, upto: &Fence) -> Vec<i64> {
    let mut buffer = EventBuffer::default();
    let window = Window { seen, upto, after: Position::new(0) };
    let class = Class::partition(0, 1).unwrap();
    log::read(&Layout::default(), conn, window, &Slice::of(&[class]), &Interest::everything(), 1_000, &mut buffer)
        .await
        .unwrap();
    buffer.events().map(|event| event.position.get()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_between_the_two_reads_of_a_fence_is_in_exactly_one_window() {
    let db = TestDb::new().await;
    let (mut writer, mut reader) = (db.connect().await, db.connect().await);
    append_one(&mut writer, "a", 1).await;
    // A fence in the right order, with an append between its two reads: the floor is the earlier one.
    let earlier = Fence::take(&Schema::default(), &mut reader).await.unwrap();
    let between = append_one(&mut writer, "a", 1).await.position;
    let later = Fence::take(&Schema::default(), &mut reader).await.unwrap();
    let right = Fence { floor: earlier.floor, ..later.clone() };
    // And one in the wrong order: the snapshot is the earlier one.
    let wrong = Fence { floor: later.floor, ..earlier };

    let start = Fence::before_all();
    let end = Fence::take(&Schema::default(), &mut reader).await.unwrap();
    let windows = |fence: Fence| {
        let (start, end, db) = (start.clone(), end.clone(), &db);
        async move {
            let mut conn = db.connect().await;
            [positions(&mut conn, &start, &fence).await, positions(&mut conn, &fence, &end).await].concat()
        }
    };
    assert_eq!(windows(right).await, [1, between.get()]);
    assert_eq!(windows(wrong).await, [1], "the wrong order loses it, or this test could not fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn rolled_back_transactions_leave_gaps_that_nobody_waits_for() {
    let db = TestDb::new().await;
    let (mut writer, mut reader) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut reader, 7).await;
    for round in 0..50 {
        let mut tx = writer.begin().await.unwrap();
        log::append(&mut tx, &[event("a", 1), event("b", 1), event(&format!("c{round}"), 1)]).await.unwrap();
        if round % 3 == 0 {
            tx.rollback().await.unwrap();
        } else {
            tx.commit().await.unwrap();
        }
        if round % 5 == 0 {
            drain(&mut worker, &mut reader).await;
        }
    }
    drain(&mut worker, &mut reader).await;
    assert_eq!(counter(&mut reader, "a").await, Some((33, 33)));
    assert_counters_agree(&mut reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_at_full_speed_lose_no_event() {
    full_speed(8, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_writers_at_full_speed_lose_no_event() {
    full_speed(32, 100).await;
}

/// Every transaction appends one to three events to its writer's and to shared aggregates; one in ten rolls back.
async fn full_speed(writers: u64, transactions: u64) {
    let db = TestDb::new().await;
    let mut reader = db.connect().await;
    let mut worker = only_worker(&mut reader, 50).await;
    let mut tasks = JoinSet::new();
    for index in 0..writers {
        let mut conn = db.connect().await;
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(index);
            for _ in 0..transactions {
                let mut tx = conn.begin().await.unwrap();
                let mut events = vec![event(&format!("own {index} {}", random.u8(0..5)), random.i64(-9..9))];
                if random.u8(0..4) == 0 {
                    events.push(event(&format!("shared {}", random.u8(0..3)), 1));
                }
                log::append(&mut tx, &events).await.unwrap();
                if random.u8(0..10) == 0 { tx.rollback().await.unwrap() } else { tx.commit().await.unwrap() }
            }
        });
    }
    let mut applied = 0;
    wait_until("the writers to end", 2 * SOON, async || {
        applied += drain(&mut worker, &mut reader).await;
        while let Some(ended) = tasks.try_join_next() {
            ended.unwrap();
        }
        tasks.is_empty()
    })
    .await;
    applied += drain(&mut worker, &mut reader).await;
    assert_eq!(i64::try_from(applied).unwrap(), scalar(&mut reader, "SELECT count(*) FROM evenfold.events").await);
    assert_eq!(scalar(&mut reader, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    assert_counters_agree(&mut reader).await;
}

/// A worker that finds nothing new again and again takes a fence each time: many of these appends fall between the two
/// reads of one.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_while_a_worker_finds_that_nothing_is_new_is_not_missed() {
    let db = TestDb::new().await;
    let (mut writer, mut reader) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut reader, 10).await;
    let writing = tokio::spawn(async move {
        for n in 0..500 {
            append_one(&mut writer, &format!("a{n}"), 1).await;
            tokio::time::sleep(std::time::Duration::from_millis(n % 4)).await;
        }
    });
    while !writing.is_finished() {
        drain(&mut worker, &mut reader).await;
    }
    drain(&mut worker, &mut reader).await;
    assert_eq!(scalar(&mut reader, "SELECT count(*) FROM evenfold.counters").await, 500);
}
