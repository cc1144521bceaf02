//! Two workers with the same key: one loses, drops what it has in memory, stands by, and takes over.

use crate::support::{
    Evenfold, SOON, TestDb, append_one, assert_counters_agree, counter, drain, only_worker, wait_until, worker_of,
};
use evenfold::class::Class;
use evenfold::projection::{self, RunOptions, Step};
use nix::sys::signal::Signal;
use sqlx::Connection;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn the_slower_of_two_workers_writes_nothing_and_stands_by() {
    let db = TestDb::new().await;
    let (mut one, mut two, mut writer) = (db.connect().await, db.connect().await, db.connect().await);
    let (mut first, mut second) = (only_worker(&mut one, 2).await, only_worker(&mut two, 2).await);
    for n in 1..=6 {
        append_one(&mut writer, "a", n).await;
    }
    // Both hold the same row, each with two events of the same counter in memory.
    assert!(matches!(first.step(&mut one).await.unwrap(), Step::Applied(_)));
    assert!(matches!(second.step(&mut two).await.unwrap(), Step::Applied(_)));
    assert_eq!(first.step(&mut one).await.unwrap(), Step::Outrun);
    assert_eq!(first.step(&mut one).await.unwrap(), Step::StandingBy);
    assert_eq!(counter(&mut writer, "a").await, Some((10, 4)));
    assert!(matches!(second.step(&mut two).await.unwrap(), Step::Applied(_)));
    assert_eq!(first.step(&mut one).await.unwrap(), Step::StandingBy, "the row has moved meanwhile");
    assert_eq!(counter(&mut writer, "a").await, Some((21, 6)));

    append_one(&mut writer, "a", 100).await;
    wait_until("the first to take over", SOON, async || {
        matches!(first.step(&mut one).await.unwrap(), Step::Applied(_))
    })
    .await;
    assert_eq!(counter(&mut writer, "a").await, Some((121, 7)));
    append_one(&mut writer, "a", 1000).await;
    wait_until("the second to find out", SOON, async || second.step(&mut two).await.unwrap() == Step::Outrun).await;
    assert_eq!(drain(&mut first, &mut one).await, 1);
    assert_counters_agree(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_outrun_in_the_middle_of_its_transaction_waits_for_it_and_writes_nothing() {
    let db = TestDb::new().await;
    let (mut one, mut writer) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut one, 10).await;
    append_one(&mut writer, "a", 1).await;
    drain(&mut worker, &mut one).await;
    append_one(&mut writer, "a", 1).await;

    // Another worker has updated the row and not committed yet.
    let mut other = writer.begin().await.unwrap();
    sqlx::raw_sql("UPDATE evenfold.checkpoints SET revision = nextval('evenfold.checkpoint_revisions'), owner = gen_random_uuid()")
        .execute(&mut *other)
        .await
        .unwrap();
    let step = tokio::spawn(async move { (worker.step(&mut one).await.unwrap(), worker, one) });
    let mut watcher = db.connect().await;
    wait_until("the worker to wait for the row", SOON, async || {
        let waiting: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')")
                .fetch_one(&mut watcher)
                .await
                .unwrap();
        waiting
    })
    .await;
    other.commit().await.unwrap();
    let (step, ..) = step.await.unwrap();
    assert_eq!(step, Step::Outrun);
    assert_eq!(counter(&mut watcher, "a").await, Some((1, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_inside_its_transaction_gives_its_row_up_within_half_a_minute() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let limit: String =
        sqlx::query_scalar("SHOW idle_in_transaction_session_timeout").fetch_one(&mut conn).await.unwrap();
    assert_eq!(limit, "30s", "PostgreSQL ends the transaction, however long the worker is stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_running_workers_with_one_key_apply_everything_once() {
    let db = TestDb::new().await;
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (database, token) = (db.database.clone(), stop.clone());
        let worker = worker_of(Class::partition(0, 1).unwrap(), 20);
        running.spawn(async move { projection::run(&database, worker, &RunOptions::default(), token).await });
    }
    let mut conn = db.connect().await;
    for n in 0..300 {
        append_one(&mut conn, &format!("a{}", n % 7), n).await;
    }
    wait_until("all of them", SOON, async || {
        let applied: Option<i64> =
            sqlx::query_scalar("SELECT sum(events)::bigint FROM evenfold.counters").fetch_one(&mut conn).await.unwrap();
        applied == Some(300)
    })
    .await;
    stop.cancel();
    let mut applied = 0;
    while let Some(ended) = running.join_next().await {
        applied += ended.unwrap().unwrap().applied;
    }
    assert_eq!(applied, 300, "every event was applied by one worker");
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_says_once_who_has_the_key_and_once_that_it_has_taken_the_partition() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let args =
        ["worker", "--partition-key=0", "--total-partitions=1", "--takeover-after-ms=300", "--database-url", &db.url];
    let mut first = Evenfold::spawn(&args);
    append_one(&mut conn, "a", 1).await;
    wait_until("the first to work", SOON, async || counter(&mut conn, "a").await.is_some()).await;
    let process: String =
        sqlx::query_scalar("SELECT process FROM evenfold.heartbeats").fetch_one(&mut conn).await.unwrap();
    assert!(!first.log().contains("stands by"), "{}", first.log());

    let mut second = Evenfold::spawn(&args);
    let stands_by = format!("{process} works on this partition: this worker stands by");
    wait_until("the second to say so", SOON, async || second.log().contains(&stands_by)).await;
    first.signal(Signal::SIGKILL);
    first.wait();
    append_one(&mut conn, "a", 1).await;
    let taken = format!("this worker has taken the partition over from {process}");
    wait_until("the second to take over", SOON, async || second.log().contains(&taken)).await;
    append_one(&mut conn, "a", 1).await;
    wait_until("the next event", SOON, async || counter(&mut conn, "a").await == Some((3, 3))).await;
    second.signal(Signal::SIGTERM);
    assert_eq!(second.wait(), 0);
    for line in [&stands_by, &taken] {
        assert_eq!(second.log().matches(line.as_str()).count(), 1, "{}", second.log());
    }
}
