//! Several projections in one process: they share what they can, and stall each other in nothing.

use crate::support::{SOON, TestDb, append_one, counter, partition, pointer, scalar, wait_until, worker_of};
use evenfold::class::Class;
use evenfold::counters::Counters;
use evenfold::projection::{Batch, BoxError, Pool, Process, Projection, RunOptions, Worker, WorkerOptions};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Counts the events in memory only, under a name of its own.
struct Other;

impl Projection for Other {
    fn name(&self) -> &'static str {
        "other"
    }

    async fn apply(&mut self, _: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        batch.fold(|_| Ok::<(), String>(()));
        Ok(())
    }
}

fn options() -> RunOptions {
    RunOptions::default().heartbeat_interval(Duration::from_millis(100))
}

fn all(total: u32) -> Vec<Class> {
    (0..total).map(|key| partition(key, total)).collect()
}

fn counters(process: &Process, total: u32, stop: &CancellationToken) -> Pool {
    process.pool(&all(total), |class| worker_of(class, 10), &options(), stop).unwrap()
}

fn other(process: &Process, total: u32, stop: &CancellationToken) -> Pool {
    let make = |class| Worker::new(class, Other, WorkerOptions::default());
    process.pool(&all(total), make, &options(), stop).unwrap()
}

async fn end(mut pool: Pool) {
    while let Some((partition, ended)) = pool.ended().await {
        assert!(ended.is_ok(), "{partition}: {ended:?}");
    }
}

const AT_WORK: &str = "SELECT count(*) FROM evenfold.heartbeats WHERE state = 'caught up'";

async fn connections(conn: &mut PgConnection, name: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
    )
    .bind(name)
    .fetch_one(conn)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_workers_there_are_one_connection_listens_and_one_has_their_heartbeats() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (process, stop, first) = (Process::new(&db.database), CancellationToken::new(), CancellationToken::new());
    let (one, two) = (counters(&process, 3, &first), other(&process, 4, &stop));
    append_one(&mut conn, "a", 1).await;
    wait_until("all are at work", SOON, async || scalar(&mut conn, AT_WORK).await == 7).await;
    wait_until("the event", SOON, async || counter(&mut conn, "a").await == Some((1, 1))).await;
    assert_eq!(connections(&mut conn, "evenfold listener").await, 1);
    assert_eq!(connections(&mut conn, "evenfold heartbeats").await, 1);

    // What ends takes its heartbeats off the table, and nothing of the others'.
    first.cancel();
    end(one).await;
    let left = "SELECT count(*) FROM evenfold.heartbeats WHERE projection = 'other'";
    assert_eq!((scalar(&mut conn, left).await, scalar(&mut conn, AT_WORK).await), (4, 4));
    assert_eq!(connections(&mut conn, "evenfold listener").await, 1);
    stop.cancel();
    end(two).await;
    process.close().await;
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats").await, 0);
    let of_workers =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'evenfold'";
    wait_until("no connection to be left", SOON, async || scalar(&mut conn, of_workers).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_is_stalled_by_a_lock_on_its_row_makes_no_other_one_late() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker) = (db.connect().await, db.connect().await);
    let (process, stop) = (Process::new(&db.database), CancellationToken::new());
    let (one, two) = (counters(&process, 2, &stop), other(&process, 2, &stop));
    wait_until("all are at work", SOON, async || scalar(&mut conn, AT_WORK).await == 4).await;
    let mut lock = blocker.begin().await.unwrap();
    sqlx::query("SELECT FROM evenfold.heartbeats WHERE projection = 'counters' FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let oldest =
        "SELECT (extract(epoch FROM min(beat_at)) * 1000)::bigint FROM evenfold.heartbeats WHERE projection = 'other'";
    let stalled = "SELECT (extract(epoch FROM max(beat_at)) * 1000)::bigint FROM evenfold.heartbeats WHERE projection = 'counters'";
    let (before, mut last) = (scalar(&mut conn, stalled).await, scalar(&mut conn, oldest).await);
    // A statement waits for a lock for a second: with one that waits, ten beats would take ten.
    let started = std::time::Instant::now();
    for _ in 0..10 {
        wait_until("the next beat of the others", SOON, async || scalar(&mut conn, oldest).await > last).await;
        last = scalar(&mut conn, oldest).await;
    }
    assert!(started.elapsed() < Duration::from_secs(8), "they took {:?}", started.elapsed());
    assert_eq!(scalar(&mut conn, stalled).await, before, "its row is locked");
    lock.rollback().await.unwrap();
    wait_until("it to be back", SOON, async || scalar(&mut conn, stalled).await > before).await;
    stop.cancel();
    end(one).await;
    end(two).await;
    process.close().await;
}

/// The counters, and nothing else, can't be folded here: their definition is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_can_not_be_worked_on_ends_and_the_other_goes_on() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut begun =
        Worker::new(partition(0, 1), Counters::new("/cents".parse().unwrap(), 100), WorkerOptions::default());
    begun.register(&mut conn).await.unwrap();
    assert_ne!(pointer(), "/cents".parse().unwrap());
    let (process, stop) = (Process::new(&db.database), CancellationToken::new());
    let (mut refused, two) = (counters(&process, 1, &stop), other(&process, 2, &stop));
    let ended = refused.ended().await.unwrap().1.unwrap_err();
    assert!(ended.is_final() && ended.to_string().contains("is defined by"), "{ended}");
    assert!(refused.ended().await.is_none());
    append_one(&mut conn, "a", 1).await;
    let applied = || two.members().iter().map(|member| member.progress.applied()).sum::<u64>();
    wait_until("the other one to go on", SOON, async || applied() == 1).await;
    let of_refused = "SELECT count(*) FROM evenfold.heartbeats WHERE projection = 'counters'";
    assert_eq!(scalar(&mut conn, of_refused).await, 0);
    stop.cancel();
    end(two).await;
    process.close().await;
}

/// Also while no worker starts, and where somebody has locked one of them.
#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_that_killed_workers_left_more_than_a_day_ago_are_removed_by_a_process_that_runs_on() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let (process, stop) = (Process::new(&db.database), CancellationToken::new());
    let pool = counters(&process, 2, &stop);
    wait_until("both are at work", SOON, async || scalar(&mut conn, AT_WORK).await == 2).await;
    sqlx::raw_sql(
        "INSERT INTO evenfold.heartbeats (worker, projection, partition_key, total_partitions, process, state, applied,
             coordination_ms, compute_ms, per_second, beat_at)
         SELECT gen_random_uuid(), projection, n, 9, 'gone:' || n, state, 0, 0, 0, 0, now() - n * interval '10 hours'
         FROM (SELECT * FROM evenfold.heartbeats LIMIT 1) h CROSS JOIN generate_series(2, 4) n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM evenfold.heartbeats WHERE process = 'gone:4' FOR UPDATE")
        .execute(&mut *tx)
        .await
        .unwrap();
    let gone = "SELECT count(*) FROM evenfold.heartbeats WHERE process LIKE 'gone:%'";
    wait_until("the one that is not locked is removed", SOON, async || scalar(&mut conn, gone).await == 2).await;
    tx.rollback().await.unwrap();
    wait_until("the other one as well", SOON, async || scalar(&mut conn, gone).await == 1).await;
    stop.cancel();
    end(pool).await;
}
