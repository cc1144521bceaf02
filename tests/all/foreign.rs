//! Logs that others write, folded as they are: whatever their writers do, each event once and in order.

mod by_transactions;
mod long;
mod looked_after;
mod presets;
mod refusals;
mod refused;
mod rows;
mod shop;
mod standby;
mod which_log;
mod writers;

use crate::support::{TestDb, partition, scalar, wait_until};
use evenfold::projection::{RunError, RunOptions, Sourced, Worker, WorkerError, WorkerOptions, run};
use shop::{Order, Shop};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What all of these together take on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// Workers of all partitions of this total, until they are stopped.
fn start(log: &Shop, read_model: &TestDb, total: u32) -> (CancellationToken, tokio::task::JoinSet<()>) {
    let (ended, mut workers) = (CancellationToken::new(), tokio::task::JoinSet::new());
    for key in 0..total {
        let (database, source, ended) = (read_model.database.clone(), log.source(), ended.clone());
        workers.spawn(async move {
            let options = WorkerOptions::default().takeover_after(Duration::from_millis(200));
            let worker = Worker::new(partition(key, total), Sourced::new(Order, Some(source)), options);
            let options = RunOptions::default().poll_interval(Duration::from_millis(20));
            match run(&database, worker, &options, ended).await {
                Ok(_) | Err(RunError::Worker(WorkerError::Superseded { .. })) => {}
                Err(error) => panic!("{key} of {total}: {error}"),
            }
        });
    }
    (ended, workers)
}

/// Fails unless the read model has what the log has, each event once, and those of an aggregate in order.
async fn assert_folded(log: &Shop, read_model: &TestDb) {
    let (mut conn, mut model) = (log.connect().await, read_model.connect().await);
    let events = scalar(&mut conn, "SELECT count(*) FROM shop.domain_events").await;
    assert!(events > 0);
    wait_until("every event to be applied", LONG, async || {
        scalar(&mut model, "SELECT count(*) FROM folded").await >= events
    })
    .await;
    let positions = "SELECT coalesce(sum(hashtextextended(format('%s/%s/%s', id, order_id, version), 7)), 0)::text";
    let written: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("{positions} FROM shop.domain_events")))
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let folded: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("{positions} FROM folded")))
        .fetch_one(&mut model)
        .await
        .unwrap();
    assert_eq!(folded, written, "the same events");
    let out_of_order =
        "SELECT count(*) FROM folded a JOIN folded b USING (order_id) WHERE a.version < b.version AND a.seq > b.seq";
    assert_eq!(scalar(&mut model, out_of_order).await, 0);
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.parked_events").await, 0);
}

/// Folds what eight writers write for 6 seconds by three partitions, which become five meanwhile.
async fn fold_while_three_become_five(log: &Shop, read_model: &TestDb) {
    let writing = writers::start(log, 8, Duration::from_secs(6));
    let (ended, mut workers) = start(log, read_model, 3);
    let mut model = read_model.connect().await;
    wait_until("some to be applied", LONG, async || {
        let begun = scalar(&mut model, "SELECT count(*) FROM pg_tables WHERE tablename = 'folded'").await;
        begun == 1 && scalar(&mut model, "SELECT count(*) FROM folded").await > 100
    })
    .await;
    let (all_ended, mut more) = start(log, read_model, 5);
    writing.await.unwrap();
    assert_folded(log, read_model).await;
    ended.cancel();
    all_ended.cancel();
    for team in [&mut workers, &mut more] {
        while let Some(ended) = team.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_writers_that_commit_in_any_order_is_applied_once_while_three_partitions_become_five() {
    let (log, read_model) = (Shop::new().await, TestDb::new().await);
    fold_while_three_become_five(&log, &read_model).await;
}
