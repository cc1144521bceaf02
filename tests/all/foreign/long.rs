//! A long log of others: caught up with by a pool, and by one worker.

use super::shop::Shop;
use crate::support::{TestDb, partition, scalar};
use evenfold::class::Class;
use evenfold::counters::{Compared, Counters, mismatches_of};
use evenfold::projection::{Pool, RunOptions, Sourced, Worker, WorkerOptions};
use evenfold::schema::Schema;
use tokio_util::sync::CancellationToken;

/// More than a pool's members read by themselves, with numbers that were rolled back in between.
pub(super) const WRITTEN: &str = "INSERT INTO shop.domain_events (order_id, version, kind, body)
    SELECT md5((n % 700)::text)::uuid, n / 700 + 1, 'paid', '{\"cents\": 2}' FROM generate_series(0, 69999) n;
    SELECT count(nextval('shop.domain_events_id_seq')) FROM generate_series(1, 3000);
    INSERT INTO shop.domain_events (order_id, version, kind, body)
    SELECT md5((n % 700)::text)::uuid, n / 700 + 101, 'paid', '{\"cents\": 2}' FROM generate_series(0, 69999) n";

pub(super) async fn counters(log: &Shop, read_model: &TestDb, total: u32) {
    let (source, options) = (log.source(), RunOptions::default().until_caught_up(true));
    let make = move |class| {
        let counters = Sourced::new(Counters::new("/cents".parse().unwrap(), 1_000), Some(source.clone()));
        Worker::new(class, counters, WorkerOptions::default())
    };
    let classes: Vec<Class> = (0..total).map(|key| partition(key, total)).collect();
    let mut pool = Pool::start(&read_model.database, &classes, make, &options, &CancellationToken::new()).unwrap();
    let mut applied = 0;
    while let Some((_, report)) = pool.ended().await {
        applied += report.unwrap().applied;
    }
    let mut model = read_model.connect().await;
    let sums = "SELECT sum(events)::bigint FROM evenfold.counters WHERE value = 400 AND version = 200";
    assert_eq!((applied, scalar(&mut model, sums).await), (140_000, 140_000));
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    let (own, pointer) = (Schema::default(), "/cents".parse().unwrap());
    assert_eq!(mismatches_of(&own, &mut model, &log.source(), &pointer, 9).await.unwrap(), Compared::default());
    sqlx::raw_sql("UPDATE evenfold.counters SET value = value + 1 WHERE aggregate_id < '1'")
        .execute(&mut model)
        .await
        .unwrap();
    let differ = mismatches_of(&own, &mut model, &log.source(), &pointer, 9).await.unwrap().differ;
    assert!(differ.len() == 9 && differ[0].log.as_ref().unwrap().value.as_deref() == Some("400"), "{differ:?}");
    assert_eq!(scalar(&mut model, "SELECT max(cardinality(missing))::bigint FROM evenfold.checkpoints").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_and_one_worker_count_every_event_of_a_long_log_once() {
    let log = Shop::new().await;
    sqlx::raw_sql(WRITTEN).execute(&mut log.connect().await).await.unwrap();
    for total in [1, 3] {
        counters(&log, &TestDb::new().await, total).await;
    }
}
