//! A rebuild replays the log into a shadow of the counters in use, and takes their place without anything being lost or
//! undone.

use crate::support::{
    Evenfold, SOON, TestDb, append_one, assert_counters_agree, counter, drain, event, only_worker, pointer, scalar,
    wait_until, worker_of,
};
use evenfold::class::Class;
use evenfold::counters::{Counters, Rebuild};
use evenfold::event::{Aggregate, NewEvent};
use evenfold::log;
use evenfold::projection::parked::drop_first;
use evenfold::projection::{Pool, RunOptions};
use evenfold::schema::Schema;
use evenfold::shadow::Rebuilt;
use serde_json::json;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

fn rebuild(batch_size: usize) -> Rebuild {
    Rebuild::new(Counters::new(pointer(), 1_000), batch_size).unwrap()
}

async fn run(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_that_were_wrong_are_right_after_a_rebuild_and_the_worker_goes_on_from_them() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 3).await;
    for n in 1..=10 {
        append_one(&mut conn, &format!("a{}", n % 3), n).await;
    }
    drain(&mut worker, &mut conn).await;
    run(
        &mut conn,
        "UPDATE evenfold.counters SET value = 99 WHERE aggregate_id = 'a0'; DELETE FROM evenfold.counters WHERE aggregate_id = 'a1'",
    )
    .await;
    run(&mut conn, "INSERT INTO evenfold.counters VALUES ('t', 'stranger', 1, 1, 1, 1)").await;
    // Not applied by the worker before the rebuild looks at them.
    append_one(&mut conn, "a1", 100).await;
    let rebuilt = rebuild(4).run(&db.database, &CancellationToken::new()).await.unwrap();
    assert_eq!(rebuilt, Rebuilt::Switched);
    assert_counters_agree(&mut conn).await;
    assert_eq!(counter(&mut conn, "a1").await, Some((122, 5)));
    append_one(&mut conn, "a1", 1000).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1, "the rest is applied");
    assert_eq!(counter(&mut conn, "a1").await, Some((1122, 6)));
    assert_counters_agree(&mut conn).await;
    let left =
        "SELECT (SELECT count(*) FROM evenfold.counters_rebuild) + (SELECT count(*) FROM evenfold.projections) - 1";
    assert_eq!(scalar(&mut conn, left).await, 0, "nothing is left of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_alongside_running_workers_and_writers_loses_and_doubles_nothing() {
    let db = TestDb::new().await;
    let stop = CancellationToken::new();
    let partitions = [0, 1, 2].map(|key| Class::partition(key, 3).unwrap());
    let mut pool =
        Pool::start(&db.database, &partitions, |class| worker_of(class, 20), &RunOptions::default(), &stop).unwrap();
    let mut writer = db.connect().await;
    let load = tokio::spawn(async move {
        for n in 0..300 {
            let batch: Vec<_> = (0..5).map(|k| event(&format!("a{}", (n + k) % 31), n)).collect();
            log::append(&mut writer, &batch).await.unwrap();
        }
    });
    for _ in 0..3 {
        assert_ne!(rebuild(50).run(&db.database, &CancellationToken::new()).await.unwrap(), Rebuilt::Stopped);
    }
    load.await.unwrap();
    let mut conn = db.connect().await;
    wait_until("all of them", SOON, async || {
        scalar(&mut conn, "SELECT coalesce(sum(events), 0)::bigint FROM evenfold.counters").await == 1500
    })
    .await;
    stop.cancel();
    while let Some((_, ended)) = pool.ended().await {
        ended.unwrap();
    }
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_stopped_goes_on_where_it_was() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 100).await;
    log::append(&mut conn, &(0..2000).map(|n| event(&format!("a{n}"), 1)).collect::<Vec<_>>()).await.unwrap();
    drain(&mut worker, &mut conn).await;
    run(&mut conn, "UPDATE evenfold.counters SET value = 99").await;

    let (first, stop) = (rebuild(10), CancellationToken::new());
    let (progress, token, database) = (first.progress(), stop.clone(), db.database.clone());
    let running = tokio::spawn(async move { first.run(&database, &token).await });
    wait_until("some batches", SOON, async || progress.batches() >= 3).await;
    stop.cancel();
    assert_eq!(running.await.unwrap().unwrap(), Rebuilt::Stopped);
    let (before, wrong) =
        (progress.applied(), scalar(&mut conn, "SELECT count(*) FROM evenfold.counters WHERE value = 99").await);
    assert_eq!(wrong, 2000, "those in use are as they were");
    assert!(before < 2000, "it was stopped on the way");

    let second = rebuild(1_000);
    let progress = second.progress();
    assert_eq!(second.run(&db.database, &CancellationToken::new()).await.unwrap(), Rebuilt::Switched);
    assert_eq!(before + progress.applied(), 2000);
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_stays_dropped_and_what_is_parked_stays_parked() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 100).await;
    for id in ["dropped", "parked"] {
        append_one(&mut conn, id, 1).await;
        log::append(&mut conn, &[NewEvent::new("t", id, "added", &json!({"amount": "x"})).unwrap()]).await.unwrap();
        append_one(&mut conn, id, 10).await;
    }
    drain(&mut worker, &mut conn).await;
    let aggregate = Aggregate { aggregate_type: "t".into(), aggregate_id: "dropped".into() };
    drop_first(&Schema::default(), &mut conn, &mut Counters::new(pointer(), 10), &aggregate).await.unwrap();
    rebuild(2).run(&db.database, &CancellationToken::new()).await.unwrap();
    assert_eq!(counter(&mut conn, "dropped").await, Some((11, 3)));
    assert_eq!(counter(&mut conn, "parked").await, Some((1, 1)));
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events WHERE projection = 'counters'").await, 3);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events WHERE dropped_at IS NOT NULL").await, 1);
    assert_counters_agree(&mut conn).await;
    append_one(&mut conn, "dropped", 100).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "dropped").await, Some((111, 4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_it_did() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let rebuild = || {
        let output = Evenfold::run(&["rebuild", "--database-url", &db.url], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(rebuild(), "there is nothing to rebuild: no worker of counters has run\n");
    let mut worker = only_worker(&mut conn, 100).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(rebuild(), "replayed 1 events; the rebuilt counters are in use\n");
}
