//! A transaction that stays open delays nothing but its own events.

use crate::support::{SOON, TestDb, append_one, assert_counters_agree, counter, wait_until, worker_of};
use evenfold::class::Class;
use evenfold::projection::{self, RunOptions};
use sqlx::Connection;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn with_a_write_transaction_open_elsewhere_the_lag_stays_below_a_second() {
    let (db, elsewhere) = (TestDb::new().await, TestDb::new().await);
    let (mut here, mut there) = (db.connect().await, elsewhere.connect().await);
    // One open transaction in another database of the cluster, and one that has appended to this very log.
    let mut elsewhere_open = there.begin().await.unwrap();
    append_one(&mut elsewhere_open, "there", 1).await;
    let mut appended = here.begin().await.unwrap();
    append_one(&mut appended, "open", 1).await;

    let stop = CancellationToken::new();
    let worker = worker_of(Class::partition(0, 1).unwrap(), 100);
    let (database, token) = (db.database.clone(), stop.clone());
    let running = tokio::spawn(async move { projection::run(&database, worker, &RunOptions::default(), token).await });
    let (mut writer, mut reader) = (db.connect().await, db.connect().await);
    append_one(&mut writer, "a", 1).await;
    wait_until("the worker to start", SOON, async || counter(&mut reader, "a").await.is_some()).await;

    let mut longest = Duration::ZERO;
    for n in 2..=60 {
        append_one(&mut writer, "a", 1).await;
        let appended = Instant::now();
        wait_until("the event to be applied", SOON, async || counter(&mut reader, "a").await == Some((n, n))).await;
        longest = longest.max(appended.elapsed());
    }
    assert!(longest < Duration::from_secs(1), "one event took {longest:?}");
    assert_eq!(counter(&mut reader, "open").await, None);

    appended.commit().await.unwrap();
    wait_until("the late event", SOON, async || counter(&mut reader, "open").await == Some((1, 1))).await;
    elsewhere_open.rollback().await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_counters_agree(&mut reader).await;
}
