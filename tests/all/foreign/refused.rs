//! States of a log that others write in which a worker must not go on as if nothing were missing.

use super::LONG;
use super::looked_after::{Payments, write};
use super::shop::Shop;
use crate::support::{Postgres, TestDb, partition, scalar, wait_until};
use evenfold::checkpoint::accept_log_server;
use evenfold::database::Database;
use evenfold::projection::{RunOptions, Sourced, Step, Worker, WorkerError, WorkerOptions, run};
use evenfold::schema::Schema;
use sqlx::PgConnection;
use std::time::Duration;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

fn worker(log: &Shop) -> Worker<Sourced<Payments>> {
    Worker::new(partition(0, 1), Sourced::new(Payments::default(), Some(log.source())), WorkerOptions::default())
}

/// Steps until the worker rests, or fails.
async fn drain(worker: &mut Worker<Sourced<Payments>>, conn: &mut PgConnection) -> Result<(), WorkerError> {
    while worker.step(conn).await? != Step::CaughtUp {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_positions_than_can_be_named_are_waited_for_and_nobody_has_caught_up_meanwhile() {
    let (log, read_model) = (Shop::new().await, TestDb::new().await);
    let (mut model, mut slow) = (read_model.connect().await, log.connect().await);
    write(&log, 1, 1, "paid").await;
    let begin = "BEGIN; INSERT INTO shop.domain_events (order_id, version, kind, body) VALUES (md5('2')::uuid, 1, 'paid', '{}')";
    sqlx::raw_sql(begin).execute(&mut slow).await.unwrap();
    let burnt = "SELECT count(nextval('shop.domain_events_id_seq')) FROM generate_series(1, 25000)";
    sqlx::raw_sql(burnt).execute(&mut log.connect().await).await.unwrap();
    write(&log, 1, 2, "paid").await;
    let mut worker = worker(&log);
    assert!(matches!(worker.step(&mut model).await.unwrap(), Step::Applied(_)), "what lies below them is applied");
    for _ in 0..3 {
        assert_eq!(worker.step(&mut model).await.unwrap(), Step::Converged);
    }
    assert_eq!(scalar(&mut model, "SELECT sum(paid)::bigint FROM payments").await, 1);
    assert_eq!(scalar(&mut model, "SELECT max(cardinality(missing))::bigint FROM evenfold.checkpoints").await, 10_000);
    sqlx::raw_sql("COMMIT").execute(&mut slow).await.unwrap();
    drain(&mut worker, &mut model).await.unwrap();
    assert_eq!(scalar(&mut model, "SELECT sum(paid)::bigint FROM payments").await, 3);
}

/// The highest position is so near that nobody is waited for, and what is missing fills the list.
#[tokio::test(flavor = "multi_thread")]
async fn where_too_much_is_missing_the_log_is_read_on_once_it_was_rolled_back() {
    let (log, read_model) = (Shop::new().await, TestDb::new().await);
    let (mut slow, mut model) = (log.connect().await, read_model.connect().await);
    let draw = "BEGIN; SELECT nextval('shop.domain_events_id_seq') FROM generate_series(1, 10000)";
    sqlx::raw_sql(draw).execute(&mut slow).await.unwrap();
    write(&log, 1, 1, "paid").await;
    sqlx::raw_sql("SELECT nextval('shop.domain_events_id_seq')").execute(&mut slow).await.unwrap();
    write(&log, 1, 2, "paid").await;
    let mut worker = worker(&log);
    for _ in 0..3 {
        worker.step(&mut model).await.unwrap();
    }
    assert_eq!(scalar(&mut model, "SELECT sum(paid)::bigint FROM payments").await, 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut slow).await.unwrap();
    wait_until("the rest to be applied", LONG, async || {
        worker.step(&mut model).await.unwrap();
        scalar(&mut model, "SELECT sum(paid)::bigint FROM payments").await == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_back_is_not_folded_on() {
    let (log, read_model) = (Shop::new().await, TestDb::new().await);
    let mut model = read_model.connect().await;
    for version in 1..=3 {
        write(&log, 1, version, "paid").await;
    }
    drain(&mut worker(&log), &mut model).await.unwrap();
    sqlx::raw_sql("DELETE FROM shop.domain_events WHERE version > 1").execute(&mut log.connect().await).await.unwrap();
    let refused = drain(&mut worker(&log), &mut model).await.unwrap_err().to_string();
    assert!(refused.contains("ends at position 1, and events up to 3 were applied"), "{refused}");
    assert_eq!(scalar(&mut model, "SELECT paid FROM payments").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_at_a_position_that_nobody_could_write_any_more_ends_the_worker() {
    let (log, read_model) = (Shop::new().await, TestDb::new().await);
    let mut writer = log.connect().await;
    // Drawn in a transaction of its own, which ends before the number is used.
    let drawn = scalar(&mut writer, "SELECT nextval('shop.domain_events_id_seq')").await;
    write(&log, 1, 1, "paid").await;
    let (database, worker) = (read_model.database.clone(), worker(&log));
    let options = RunOptions::default().poll_interval(Duration::from_millis(20));
    let running = tokio::spawn(async move { run(&database, worker, &options, CancellationToken::new()).await });
    let (mut model, mut version) = (read_model.connect().await, 1);
    let missing = "SELECT coalesce(sum(cardinality(missing)), 1)::bigint FROM evenfold.checkpoints WHERE floor > 1";
    wait_until("the number to be found to be nobody's", LONG, async || {
        version += 1;
        write(&log, 1, version, "paid").await;
        scalar(&mut model, missing).await == 0
    })
    .await;
    let late = "INSERT INTO shop.domain_events (id, order_id, version, kind, body) VALUES ($1, md5('2')::uuid, 1, 'paid', '{}')";
    sqlx::query(late).bind(drawn).execute(&mut writer).await.unwrap();
    let ended = tokio::time::timeout(LONG, running).await.unwrap().unwrap().unwrap_err();
    assert!(ended.is_final(), "{ended}");
    let sentence =
        format!("an event has come to position {drawn} of shop.domain_events after every transaction had ended");
    assert!(ended.to_string().contains(&sentence), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_than_the_one_whose_events_were_applied_is_refused_until_it_is_accepted() {
    let primary = block_in_place(|| Postgres::start("UTF8", ""));
    let standby = block_in_place(|| primary.standby());
    let (log, read_model) = (Shop::at(&primary.url()).await, TestDb::new().await);
    let mut model = read_model.connect().await;
    write(&log, 1, 1, "paid").await;
    drain(&mut worker(&log), &mut model).await.unwrap();
    let replayed = Database::at(&standby.url()).unwrap();
    block_in_place(|| primary.stop());
    block_in_place(|| standby.promote());
    let log = Shop::of(replayed).await;
    write(&log, 1, 2, "paid").await;
    let refused = drain(&mut worker(&log), &mut model).await.unwrap_err();
    assert!(!refused.is_final() && refused.to_string().contains("on another timeline"), "{refused}");
    assert_eq!(scalar(&mut model, "SELECT paid FROM payments").await, 1);
    assert!(accept_log_server(&Schema::default(), &mut model, "payments").await.unwrap());
    drain(&mut worker(&log), &mut model).await.unwrap();
    assert_eq!(scalar(&mut model, "SELECT paid FROM payments").await, 2);
}
