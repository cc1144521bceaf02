//! Logs with a column for the transaction, whose numbers are drawn by earlier transactions than those that use them.

use super::shop::{Order, Shop, mapping};
use super::{assert_folded, fold_while_three_become_five};
use crate::support::{TestDb, partition, scalar};
use evenfold::checkpoint::status_of;
use evenfold::class::Class;
use evenfold::counters::{Counters, mismatches_of};
use evenfold::event::Aggregate;
use evenfold::log::Source;
use evenfold::log::foreign::{Mapping, Positions};
use evenfold::projection::{
    Pool, RunOptions, Sourced, Step, Target, Worker, WorkerError, WorkerOptions, wait_until_of,
};
use evenfold::schema::Schema;
use sqlx::AssertSqlSafe;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn every_event_with_a_number_of_an_earlier_transaction_is_applied_once_and_in_order_while_three_become_five() {
    let (log, read_model) = (Shop::of_transactions().await, TestDb::new().await);
    fold_while_three_become_five(&log, &read_model).await;
    let before = "SELECT count(*) FROM shop.domain_events a JOIN shop.domain_events b
        ON a.order_id = b.order_id AND a.version < b.version AND a.id > b.id";
    assert!(scalar(&mut log.connect().await, before).await > 0, "positions are in another order than versions");
}

/// So many events of 40 orders, from a version on, at positions that are in no order at all.
async fn write_in_no_order(log: &Shop, first_version: u32, events: u32) {
    let sql = format!(
        "INSERT INTO shop.domain_events (id, order_id, version, kind, body)
         SELECT (SELECT coalesce(max(id), 0) FROM shop.domain_events) + row_number() OVER (ORDER BY hashint4(n)),
                md5((n % 40)::text)::uuid, n / 40 + {first_version}, 'paid', '{{\"cents\": 1}}'
         FROM generate_series(0, {events} - 1) n"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut log.connect().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_applied_in_parts_is_in_the_order_of_versions_whoever_goes_on_with_it() {
    let (log, read_model, own) = (Shop::of_transactions().await, TestDb::new().await, Schema::default());
    write_in_no_order(&log, 1, 1_200).await;
    let (mut model, mut there) = (read_model.connect().await, log.source().open().await.unwrap());
    let options = WorkerOptions::default().batch_size(50).takeover_after(Duration::ZERO);
    let (mut behind, mut steps, mut in_parts) = (u64::MAX, 0, 0);
    for total in [1, 3, 2, 1] {
        // Of each worker a few steps, as it is killed after them; those of the last, until nothing is left.
        for key in 0..total {
            let projection = Sourced::new(Order, Some(log.source()));
            let mut worker = Worker::new(partition(key, total), projection, options.clone());
            let mut conn = read_model.database.connect().await.unwrap();
            worker.register(&mut conn).await.unwrap();
            for _ in 0..if total == 1 && steps > 0 { 200 } else { 4 } {
                worker.step(&mut conn).await.unwrap();
                steps += 1;
                let status = status_of(&own, &mut model, Some(&mut there), "folded").await.unwrap();
                let left = 1_200 - scalar(&mut model, "SELECT count(*) FROM folded").await;
                assert_eq!(status.behind() == 0, left == 0, "{left} of 1,200 are left, and {} behind", status.behind());
                assert!(status.behind() <= behind, "{} after {behind}", status.behind());
                behind = status.behind();
                in_parts += u32::from(left > 0 && left < 1_200);
            }
        }
    }
    assert!(in_parts > 5, "{in_parts} of {steps}");
    assert_folded(&log, &read_model).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_finds_the_versions_of_an_aggregate_in_their_order() {
    let (log, read_model) = (Shop::of_transactions().await, TestDb::new().await);
    let mut conn = read_model.database.connect().await.unwrap();
    let mut worker = Worker::new(partition(0, 1), Sourced::new(Order, Some(log.source())), WorkerOptions::default());
    worker.register(&mut conn).await.unwrap();
    for first in [1, 6] {
        while worker.step(&mut conn).await.unwrap() != Step::CaughtUp {}
        // Once it has caught up, it looks.
        let written = format!(
            "INSERT INTO shop.domain_events (id, order_id, version, kind, body)
             SELECT 100 * {first} - n, md5('1')::uuid, n, 'paid', '{{}}' FROM generate_series({first}, {first} + 4) n"
        );
        sqlx::raw_sql(AssertSqlSafe(written)).execute(&mut log.connect().await).await.unwrap();
        assert!(matches!(worker.step(&mut conn).await.unwrap(), Step::Applied(_)));
    }
    let versions: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM folded ORDER BY seq").fetch_all(&mut conn).await.unwrap();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_of_a_transaction_that_commits_late_are_applied_once_and_in_order_in_many_batches() {
    let (log, read_model) = (Shop::of_transactions().await, TestDb::new().await);
    let options = WorkerOptions::default().batch_size(100);
    let mut worker = Worker::new(partition(0, 1), Sourced::new(Order, Some(log.source())), options);
    let mut conn = read_model.database.connect().await.unwrap();
    worker.register(&mut conn).await.unwrap();
    let (mut late, mut other) = (log.connect().await, log.connect().await);
    let write = |first_id: u32, order: &str, events: u32| {
        AssertSqlSafe(format!(
            "INSERT INTO shop.domain_events (id, order_id, version, kind, body)
             SELECT {first_id} + hashint4(n) % 1000000, md5('{order}' || n % 40)::uuid, n / 40 + 1, 'paid', '{{}}'
             FROM generate_series(0, {events} - 1) n ON CONFLICT (id) DO NOTHING"
        ))
    };
    sqlx::raw_sql("BEGIN").execute(&mut late).await.unwrap();
    sqlx::raw_sql(write(2_000_000, "late", 1_500)).execute(&mut late).await.unwrap();
    sqlx::raw_sql(write(5_000_000, "other", 10)).execute(&mut other).await.unwrap();
    while worker.step(&mut conn).await.unwrap() != Step::CaughtUp {}
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM folded").await, 10);
    sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
    while worker.step(&mut conn).await.unwrap() != Step::CaughtUp {}
    assert_folded(&log, &read_model).await;
}

fn counters(log: &Shop) -> Sourced<Counters> {
    Sourced::new(Counters::new("/cents".parse().unwrap(), 1_000), Some(log.source()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_reads_together_and_one_worker_count_a_long_log_in_no_order_and_what_comes_later() {
    let log = Shop::of_transactions().await;
    write_in_no_order(&log, 1, 60_000).await;
    for total in [3, 1] {
        let read_model = TestDb::new().await;
        let mut model = read_model.connect().await;
        let classes: Vec<Class> = (0..total).map(|key| partition(key, total)).collect();
        for more in [0, 400] {
            if more > 0 {
                let versions = "SELECT max(version)::bigint FROM shop.domain_events";
                let version = scalar(&mut log.connect().await, versions).await + 1;
                write_in_no_order(&log, u32::try_from(version).unwrap(), more).await;
            }
            let (source, options) = (log.source(), RunOptions::default().until_caught_up(true));
            let make = move |class| {
                let counters = Counters::new("/cents".parse().unwrap(), 1_000);
                Worker::new(class, Sourced::new(counters, Some(source.clone())), WorkerOptions::default())
            };
            let stop = CancellationToken::new();
            let mut pool = Pool::start(&read_model.database, &classes, make, &options, &stop).unwrap();
            while let Some((_, report)) = pool.ended().await {
                report.unwrap();
            }
            let events = scalar(&mut log.connect().await, "SELECT count(*) FROM shop.domain_events").await;
            let counted = "SELECT sum(events)::bigint FROM evenfold.counters WHERE value = events AND version = events";
            assert_eq!(scalar(&mut model, counted).await, events);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_window_what_is_verified_and_waited_for_is_what_is_applied() {
    let (log, read_model, own) = (Shop::of_transactions().await, TestDb::new().await, Schema::default());
    write_in_no_order(&log, 1, 800).await;
    let (mut model, mut there) = (read_model.connect().await, log.source().open().await.unwrap());
    let mut worker = Worker::new(partition(0, 1), counters(&log), WorkerOptions::default().batch_size(60));
    worker.register(&mut model).await.unwrap();
    let (mut conn, mut log_conn) = (read_model.database.connect().await.unwrap(), log.connect().await);
    let (mut verified, mut answers) = (0, [0, 0]);
    for _ in 0..6 {
        worker.step(&mut conn).await.unwrap();
        let pointer = "/cents".parse().unwrap();
        let compared = mismatches_of(&own, &mut model, &log.source(), &pointer, 9).await.unwrap();
        assert!(compared.differ.is_empty() && compared.removed_in_all == 0, "{compared:?}");
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT aggregate_id, version FROM evenfold.counters").fetch_all(&mut model).await.unwrap();
        verified += rows.len();
        // The last event that is applied of an order, and those after it that the cursor has passed.
        let cursor = scalar(&mut model, "SELECT max(cursor) FROM evenfold.checkpoints").await;
        for (aggregate_id, applied) in rows.into_iter().take(8) {
            let passed: Vec<i64> = sqlx::query_scalar(
                "SELECT version::bigint FROM shop.domain_events WHERE order_id::text = $1 AND version > $2 AND id <= $3",
            )
            .bind(&aggregate_id)
            .bind(applied)
            .bind(cursor)
            .fetch_all(&mut log_conn)
            .await
            .unwrap();
            for version in passed.into_iter().chain([applied]) {
                let aggregate = Aggregate { aggregate_type: "order".to_owned(), aggregate_id: aggregate_id.clone() };
                let target = Target::Aggregate { aggregate, version: Some(version.into()) };
                let waited =
                    wait_until_of(&own, &mut model, Some(&mut there), "counters", target, Duration::ZERO).await;
                // It may be found applied later than it is, and never before.
                assert!(version == applied || waited.is_err(), "{version} of {applied}: {waited:?}");
                answers[usize::from(waited.is_ok())] += 1;
            }
        }
    }
    assert!(verified > 60 && answers.iter().all(|&count| count > 0), "{verified}, {answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_copied_to_another_cluster_with_its_read_model_is_not_folded_on() {
    let (log, read_model) = (Shop::of_transactions().await, TestDb::new().await);
    write_in_no_order(&log, 1, 40).await;
    let folded = async || {
        let mut worker = Worker::new(partition(0, 1), counters(&log), WorkerOptions::default());
        let mut conn = read_model.database.connect().await.unwrap();
        worker.register(&mut conn).await.unwrap();
        while worker.step(&mut conn).await? != Step::CaughtUp {}
        Ok::<(), WorkerError>(())
    };
    folded().await.unwrap();
    let mut model = read_model.connect().await;
    let noted = "UPDATE evenfold.projections SET log_server = regexp_replace(log_server, '/.*', '/99')";
    sqlx::raw_sql(noted).execute(&mut model).await.unwrap();
    folded().await.expect("another timeline of the cluster that both are in");
    let other = "UPDATE evenfold.projections SET log_server = '1' || log_server";
    sqlx::raw_sql(other).execute(&mut model).await.unwrap();
    let refused = folded().await.unwrap_err().to_string();
    assert!(refused.contains("`evenfold source accept` takes it for the same log"), "{refused}");
}

/// What is wrong with a column for the transaction, after this.
async fn refused(change: &str) -> Option<String> {
    let log = Shop::of_transactions().await;
    write_in_no_order(&log, 1, 40).await;
    sqlx::raw_sql(AssertSqlSafe(change.to_owned())).execute(&mut log.connect().await).await.unwrap();
    log.source().connect().await.err().map(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_may_have_another_transaction_than_the_one_that_writes_is_refused() {
    assert_eq!(refused("").await, None);
    for (change, sentence) in [
        ("ALTER TABLE shop.domain_events DROP xid", "it has no column xid with the transaction of each event"),
        ("ALTER TABLE shop.domain_events ALTER xid DROP NOT NULL", "must be NOT NULL with the default"),
        ("ALTER TABLE shop.domain_events ALTER xid SET DEFAULT '7'", "must be NOT NULL with the default"),
        ("DROP INDEX shop.domain_events_xid_idx", "CREATE INDEX CONCURRENTLY ON shop.domain_events (xid)"),
        (
            "ALTER TABLE shop.domain_events ALTER xid DROP DEFAULT, ALTER xid TYPE bigint USING 1",
            "its column xid is bigint instead of xid8",
        ),
        ("UPDATE shop.domain_events SET xid = '99999999999'", "transactions that this server has not begun"),
    ] {
        let refusal = refused(change).await;
        assert!(refusal.as_deref().is_some_and(|refusal| refusal.contains(sentence)), "{change}: {refusal:?}");
    }
    let without = Mapping { positions: Some(Positions::Xid("xid".to_owned())), version: None, ..mapping() };
    let log = Shop::of_transactions().await;
    let refusal = Source::find(log.database(), &without).await.unwrap_err().to_string();
    assert!(refusal.contains("it has no version: where positions are drawn by earlier transactions"), "{refusal}");
}
