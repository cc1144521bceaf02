//! Any number of partitions becomes any other while events are applied: nothing is lost, nothing counted twice.

use crate::support::{
    LOCKED_OUT, SOON, Stepped, TestDb, append_one, assert_all_applied_once, assert_counters_agree, counted, counter,
    drain_all, event, ids_in, partition, rows, scalar, wait_until,
};
use evenfold::checkpoint::{Registered, Takeover, list_parked, register};
use evenfold::counters::NAME;
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold::projection::{GRACE, Step, WorkerError};
use evenfold::schema::Schema;
use serde_json::json;
use sqlx::{Connection, PgConnection};

/// Appends this many events, in turn to aggregates of all of the first 24 cells.
async fn append(conn: &mut PgConnection, count: usize) {
    let ids = ids_in(partition(0, 1), 24);
    for n in 0..count {
        append_one(conn, &ids[n % ids.len()], 1 << (n % 40)).await;
    }
}

/// Changes the number of partitions after the old workers have made these numbers of steps.
async fn change(from: u32, to: u32, batch: usize, steps: &[usize]) {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut old = Stepped::team(&db, from, batch).await;
    append(&mut writer, 60).await;
    for (one, &steps) in old.iter_mut().zip(steps) {
        for _ in 0..steps {
            one.step().await;
        }
    }
    append(&mut writer, 30).await;
    let before = counted(&mut writer).await;
    let mut new = Stepped::team(&db, to, batch).await;
    let applied = drain_all(&mut new).await;
    assert_eq!(
        i64::try_from(applied).unwrap(),
        90 - before,
        "{from} to {to} after {steps:?}: nothing is applied again"
    );
    assert_eq!(rows(&mut writer).await, (0..to).map(|key| partition(key, to)).collect::<Vec<_>>());
    for one in &mut old {
        assert!(matches!(one.failure().await, WorkerError::Superseded { by, .. } if by == to));
    }
    assert_all_applied_once(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_becomes_four_before_in_the_middle_of_and_after_a_window() {
    for (batch, steps) in [(1, 0), (1, 1), (2, 7), (2, 29), (50, 1), (100, 2)] {
        change(1, 4, batch, &[steps]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_become_two_while_one_is_behind() {
    change(4, 2, 5, &[9, 9, 0, 9]).await;
    change(4, 2, 2, &[3, 0, 1, 20]).await;
    change(4, 2, 100, &[2, 1, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_without_a_common_divisor_go_by_the_cells_of_both() {
    change(4, 3, 2, &[0, 1, 3, 20]).await;
    change(2, 3, 1, &[2, 5]).await;
    change(3, 2, 1, &[2, 5, 0]).await;
    change(5, 7, 3, &[0, 1, 2, 3, 4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_to_three_is_cut_into_twelve_cells_that_become_three_rows() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut old = Stepped::team(&db, 4, 2).await;
    append(&mut writer, 48).await;
    for (steps, one) in old.iter_mut().enumerate() {
        for _ in 0..steps {
            one.step().await;
        }
    }
    let mut new = Stepped::team(&db, 3, 2).await;
    assert_eq!(rows(&mut writer).await, (0..12).map(|cell| partition(cell, 12)).collect::<Vec<_>>());
    drain_all(&mut new).await;
    assert_eq!(rows(&mut writer).await.len(), 3);
    assert_all_applied_once(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_become_three_and_two_again_before_the_rows_of_the_first_change_are_merged() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut first = Stepped::team(&db, 2, 1).await;
    append(&mut writer, 40).await;
    first[0].step().await;
    let mut second = Stepped::team(&db, 3, 1).await;
    for (steps, one) in second.iter_mut().enumerate() {
        for _ in 0..=steps {
            one.step().await;
        }
    }
    append(&mut writer, 20).await;
    let mut third = Vec::new();
    for key in 0..2 {
        let mut one = Stepped::new(&db, partition(key, 2), 1, Takeover::Now).await;
        assert_eq!(one.register().await, Registered::Ready);
        third.push(one);
    }
    drain_all(&mut third).await;
    assert_eq!(rows(&mut writer).await, [partition(0, 2), partition(1, 2)]);
    assert_all_applied_once(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_through_a_change_and_its_undoing_catches_up_with_what_is_furthest_now() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut first = Stepped::team(&db, 2, 100).await;
    append(&mut writer, 20).await;
    first[0].step().await;
    let mut sleeper = Stepped::start(&db, 0, 1, 100).await;
    sleeper.drain().await;

    let mut second = Stepped::new(&db, partition(0, 2), 100, Takeover::Now).await;
    assert_eq!(second.register().await, Registered::Ready);
    append(&mut writer, 20).await;
    second.step().await;
    let mut undone = Stepped::new(&db, partition(0, 1), 100, Takeover::Now).await;
    assert_eq!(undone.register().await, Registered::Ready);
    drain_all(&mut [sleeper]).await;
    assert_eq!(rows(&mut writer).await, [partition(0, 1)]);
    assert_all_applied_once(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_one_snapshot_are_merged_with_the_lower_floor() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut old = Stepped::team(&db, 2, 100).await;
    append(&mut writer, 10).await;
    drain_all(&mut old).await;
    // What two fences look like of which one was taken with a position handed out meanwhile, and nothing committed.
    sqlx::raw_sql(
        "UPDATE evenfold.checkpoints SET seen = pg_current_snapshot(), floor = 10 + residue,
             next_xid = pg_snapshot_xmax(pg_current_snapshot())",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    let mut one = Stepped::start(&db, 0, 1, 100).await;
    assert_eq!(one.step().await, Step::Converged);
    assert_eq!(rows(&mut writer).await, [partition(0, 1)]);
    assert_eq!(scalar(&mut writer, "SELECT floor FROM evenfold.checkpoints").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classes_of_new_workers_that_have_not_started_are_left_to_the_old_ones() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut old = Stepped::team(&db, 2, 3).await;
    append(&mut writer, 30).await;
    old[0].step().await;
    let mut first = Stepped::start(&db, 0, 4, 3).await;
    assert_eq!(rows(&mut writer).await, [partition(1, 2), partition(0, 4), partition(2, 4)]);
    append(&mut writer, 30).await;
    first.drain().await;
    assert!(old[1].drain().await > 0, "its row was not touched");
    assert!(matches!(old[0].failure().await, WorkerError::Superseded { by: 4, .. }));

    let mut rest = Vec::new();
    for key in [3, 1, 2] {
        rest.push(Stepped::start(&db, key, 4, 3).await);
    }
    rest.push(first);
    drain_all(&mut rest).await;
    assert_all_applied_once(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straggler_in_the_middle_of_its_batch_commits_nothing_and_gets_the_new_number() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut old = Stepped::start(&db, 0, 1, 4).await;
    append(&mut writer, 12).await;
    old.step().await;
    // The new worker has split the row, and not committed yet: the straggler reads its batch, and waits at the row.
    let (mut other, mut watcher) = (db.connect().await, db.connect().await);
    let mut split = other.begin().await.unwrap();
    let definition: String =
        sqlx::query_scalar("SELECT definition FROM evenfold.projections").fetch_one(&mut writer).await.unwrap();
    let registered =
        register(&Schema::default(), &mut split, NAME, &definition, partition(1, 4), Takeover::After(GRACE))
            .await
            .unwrap();
    assert_eq!(registered, (Registered::Ready, false));
    let straggling = tokio::spawn(async move { (old.step().await, old) });
    wait_until("the straggler to wait for the row", SOON, async || scalar(&mut watcher, LOCKED_OUT).await == 1).await;
    split.commit().await.unwrap();
    let (step, mut old) = straggling.await.unwrap();
    assert_eq!((step, counted(&mut writer).await), (Step::Outrun, 4));
    let message = old.try_step().await.unwrap_err().to_string();
    assert!(message.contains("has gone on with 4 partitions") && message.contains("--total-partitions=4"), "{message}");
    let mut new = Stepped::team(&db, 4, 4).await;
    assert_eq!(drain_all(&mut new).await, 8);
    assert_all_applied_once(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_aggregates_stay_parked_through_a_change_and_can_be_dropped_after_it() {
    let db = TestDb::new().await;
    let mut writer = db.connect().await;
    let mut one = Stepped::start(&db, 0, 1, 3).await;
    let bad = NewEvent::new("t", "id7", "added", &json!({ "amount": "x" })).unwrap();
    log::append(&mut writer, &[event("id7", 1), bad, event("id7", 10), event("id8", 1)]).await.unwrap();
    one.drain().await;
    let mut four = Stepped::team(&db, 4, 3).await;
    append_one(&mut writer, "id7", 100).await;
    drain_all(&mut four).await;
    let mut three = Stepped::team(&db, 3, 3).await;
    append_one(&mut writer, "id7", 1000).await;
    drain_all(&mut three).await;

    assert_eq!(counter(&mut writer, "id7").await, Some((1, 1)));
    let parked = list_parked(&Schema::default(), &mut writer, NAME, 10).await.unwrap();
    assert_eq!(parked.iter().map(|p| (p.aggregate_id.as_str(), p.events)).collect::<Vec<_>>(), [("id7", 4)]);
    let aggregate = event("id7", 0).aggregate().clone();
    let mut projection = evenfold::counters::Counters::new(crate::support::pointer(), 10);
    evenfold::projection::parked::drop_first(&Schema::default(), &mut writer, &mut projection, &aggregate)
        .await
        .unwrap();
    assert_eq!(counter(&mut writer, "id7").await, Some((1111, 5)));
    assert_counters_agree(&mut writer).await;
}
