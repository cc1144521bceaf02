//! What is reported as applied is in the read model, in the same snapshot, while workers and their number change.

use crate::support::{SOON, TestDb, event, partition, scalar, wait_until};
use evenfold::Position;
use evenfold::checkpoint::{Delivery, Events, Takeover, delivery};
use evenfold::counters::{Counters, NAME};
use evenfold::log;
use evenfold::projection::{Pool, RunOptions, Worker, WorkerOptions};
use evenfold::schema::Schema;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Events of 30 aggregates, in transactions that stay open for up to some milliseconds, until stopped.
async fn write(db: &TestDb, seed: u64, stop: CancellationToken) {
    let (mut conn, mut random) = (db.connect().await, fastrand::Rng::with_seed(seed));
    while !stop.is_cancelled() {
        let mut open = conn.begin().await.unwrap();
        // One aggregate each: two writers that lock several could wait for each other.
        let id = format!("w{seed}-{}", random.u8(..10));
        log::append(&mut open, &[event(&id, 1)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(..8))).await;
        if random.u8(..8) == 0 { open.rollback().await.unwrap() } else { open.commit().await.unwrap() }
    }
}

fn start(db: &TestDb, total: u32, stop: &CancellationToken) -> Pool {
    let partitions: Vec<_> = (0..total).map(|key| partition(key, total)).collect();
    let make = move |class| {
        let options = WorkerOptions::default().batch_size(3).topology(Takeover::Now);
        Worker::new(class, Counters::new(crate::support::pointer(), 1_000), options)
    };
    Pool::start(&db.database, &partitions, make, &RunOptions::default(), stop).unwrap()
}

/// The last events of the log in this snapshot, and whether the read model contains each: a counter has the version of
/// its last event.
async fn contained(conn: &mut PgConnection) -> Vec<(Position, bool)> {
    sqlx::query_as(
        "SELECT e.position, coalesce(c.version >= e.version, false)
         FROM (SELECT * FROM evenfold.events ORDER BY position DESC LIMIT 40) e
         LEFT JOIN evenfold.counters c USING (aggregate_type, aggregate_id)",
    )
    .fetch_all(conn)
    .await
    .unwrap()
}

/// Compares in one snapshot; gives how many events were applied, and how many were not.
async fn compare(conn: &mut PgConnection) -> (usize, usize) {
    let schema = Schema::default();
    let mut tx = conn.begin().await.unwrap();
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await.unwrap();
    let contained = contained(&mut tx).await;
    for &(position, is_contained) in &contained {
        let delivery = delivery(&schema, &mut tx, NAME, &Events::At(vec![position])).await.unwrap();
        assert_eq!(delivery == Delivery::Applied, is_contained, "the event at position {position}: {delivery:?}");
        assert!(matches!(delivery, Delivery::Applied | Delivery::Pending(_)), "{delivery:?}");
    }
    let all = contained.iter().map(|(position, _)| *position).collect();
    let together = delivery(&schema, &mut tx, NAME, &Events::At(all)).await.unwrap();
    let applied = contained.iter().filter(|(_, is_contained)| *is_contained).count();
    let pending = contained.len() - applied;
    assert_eq!(together == Delivery::Applied, pending == 0, "{together:?}");
    let (snapshot, last) = sqlx::query_as("SELECT pg_current_snapshot()::text, max(position) FROM evenfold.events")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let everything = delivery(&schema, &mut tx, NAME, &Events::VisibleIn { snapshot, last }).await.unwrap();
    let (events, counted): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM evenfold.events), (SELECT coalesce(sum(events), 0)::bigint FROM evenfold.counters)",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!(everything == Delivery::Applied, events == counted, "{counted} of {events}: {everything:?}");
    tx.rollback().await.unwrap();
    (applied, pending)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_event_is_in_the_read_model_in_the_same_snapshot_also_while_4_partitions_become_3() {
    let db = TestDb::new().await;
    let (stop_writing, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut conn = db.connect().await;
    let writing = async {
        tokio::join!(
            write(&db, 1, stop_writing.clone()),
            write(&db, 2, stop_writing.clone()),
            write(&db, 3, stop_writing.clone())
        )
    };
    let comparing = async {
        let mut old = start(&db, 4, &stop);
        let begun = "SELECT count(*) FROM evenfold.counters";
        wait_until("the first events are applied", SOON, async || scalar(&mut conn, begun).await > 0).await;
        let (mut rounds, mut applied, mut pending) = (0, 0, 0);
        let mut new = None;
        let mut ended = 0;
        while rounds < 120 || ended < 4 || pending < 50 {
            let (more_applied, more_pending) = compare(&mut conn).await;
            (applied, pending, rounds) = (applied + more_applied, pending + more_pending, rounds + 1);
            assert!(rounds < 5_000, "{ended} of the replaced workers have ended, and {pending} events were pending");
            if rounds == 40 {
                new = Some(start(&db, 3, &stop));
            }
            while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, old.ended()).await {
                ended += 1;
            }
        }
        assert!(applied > 0);
        stop_writing.cancel();
        stop.cancel();
        let mut new = new.unwrap();
        while new.ended().await.is_some() {}
    };
    tokio::join!(writing, comparing);
}
