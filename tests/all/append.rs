//! Appending: all or nothing, versions without gaps, conflicts that are distinguished.

use crate::support::{LOCKED_OUT, SOON, TestDb, append_one, event, scalar, wait_until};
use evenfold::event::{ExpectedVersion, NewEvent};
use evenfold::log::{self, AppendError, Appended, MAX_APPEND_EVENTS};
use evenfold::number::Version;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use tokio::task::JoinSet;
use uuid::Uuid;

fn expecting(aggregate_id: &str, version: i64) -> NewEvent {
    event(aggregate_id, 1).expecting(ExpectedVersion::Exactly(Version::new(version)))
}

async fn count(conn: &mut PgConnection) -> i64 {
    scalar(conn, "SELECT count(*) FROM evenfold.events").await
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_count_up_within_each_aggregate_and_are_given_back_in_the_order_of_the_events() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "b", 1).await;
    let batch = ["b", "a", "b", "a", "c"].map(|id| event(id, 1));
    let places = log::append(&mut conn, &batch).await.unwrap();
    assert_eq!(places.iter().map(|place| place.version).collect::<Vec<_>>(), [2, 1, 3, 2, 1]);
    for (event, Appended { position, version }) in batch.iter().zip(places) {
        let stored: (String, Version, Uuid) =
            sqlx::query_as("SELECT aggregate_id, version, event_id FROM evenfold.events WHERE position = $1")
                .bind(position)
                .fetch_one(&mut conn)
                .await
                .unwrap();
        assert_eq!(stored, (event.aggregate().aggregate_id.clone(), version, event.event_id()));
    }
    let by_position: Vec<(String, i64)> =
        sqlx::query_as("SELECT aggregate_id, version FROM evenfold.events ORDER BY position")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    let mut last = HashMap::new();
    for (id, version) in by_position {
        assert_eq!(last.insert(id, version).unwrap_or(0) + 1, version, "positions go up with the versions");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_aggregate_and_both_versions_and_appends_nothing() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    for (batch, expected, actual, index) in [
        (vec![expecting("a", 0)], 0, 1, 0),
        (vec![event("b", 1), expecting("a", 5)], 5, 1, 1),
        (vec![expecting("a", 1), expecting("a", 1)], 1, 2, 1),
        (vec![event("a", 1).expecting(ExpectedVersion::None)], 0, 1, 0),
    ] {
        let error = log::append(&mut conn, &batch).await.unwrap_err();
        let AppendError::Conflict { aggregate, expected: e, actual: a, index: i } = &error else { panic!("{error}") };
        assert_eq!(
            (aggregate.aggregate_id.as_str(), *e, *a, *i),
            ("a", Version::new(expected), Version::new(actual), index)
        );
        assert_eq!(error.to_string(), format!("t/a was expected to have version {expected} and has {actual}"));
    }
    assert_eq!(count(&mut conn).await, 1);
    let places = log::append(&mut conn, &[expecting("a", 1), expecting("a", 2), expecting("b", 0)]).await.unwrap();
    assert_eq!(places.iter().map(|place| place.version).collect::<Vec<_>>(), [2, 3, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_transaction_goes_on_after_a_conflict_and_decides_what_is_kept() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut tx = conn.begin().await.unwrap();
    append_one(&mut tx, "a", 1).await;
    assert!(log::append(&mut tx, &[expecting("a", 7)]).await.is_err());
    append_one(&mut tx, "a", 1).await;
    tx.commit().await.unwrap();
    assert_eq!(count(&mut conn).await, 2);

    let mut tx = conn.begin().await.unwrap();
    append_one(&mut tx, "a", 1).await;
    tx.rollback().await.unwrap();
    assert_eq!(count(&mut conn).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_transaction_goes_on_after_a_lost_race_and_keeps_what_it_did_before() {
    let db = TestDb::new().await;
    let (mut conn, mut watch) = (db.connect().await, db.connect().await);
    let mut first = conn.begin().await.unwrap();
    append_one(&mut first, "a", 1).await;
    let mut other = db.connect().await;
    let second = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        append_one(&mut tx, "b", 1).await;
        let versions = [append_one(&mut tx, "a", 1).await.version, append_one(&mut tx, "a", 1).await.version];
        tx.commit().await.unwrap();
        versions
    });
    wait_until("the second writer waits", SOON, async || scalar(&mut watch, LOCKED_OUT).await == 1).await;
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), [2, 3]);
    assert_eq!(count(&mut watch).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_what_got_through_is_answered_with_its_positions() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let batch = [expecting("a", 0), event("b", 1), expecting("a", 1)];
    let places = log::append(&mut conn, &batch).await.unwrap();
    let error = log::append(&mut conn, &batch).await.unwrap_err();
    let AppendError::AlreadyAppended { appended, first } = error else { panic!("{error}") };
    assert_eq!((appended, first), (places.clone(), batch[0].event_id()));

    let partly = [event("c", 1), event("b", 1).with_event_id(batch[1].event_id())];
    let error = log::append(&mut conn, &partly).await.unwrap_err();
    let AppendError::DuplicateEventId { event_id, position, index } = error else { panic!("{error}") };
    assert_eq!((event_id, position, index), (batch[1].event_id(), Some(places[1].position), 1));

    let same = event("d", 1);
    let twice = [same.clone(), event("d", 1).with_event_id(same.event_id())];
    let error = log::append(&mut conn, &twice).await.unwrap_err();
    assert!(matches!(error, AppendError::DuplicateEventId { position: None, index: 1, .. }), "{error}");
    assert_eq!(count(&mut conn).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_and_too_much_are_both_answered_without_the_database() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    assert_eq!(log::append(&mut conn, &[]).await.unwrap(), []);
    let many = vec![event("a", 1); MAX_APPEND_EVENTS + 1];
    assert!(matches!(log::append(&mut conn, &many).await, Err(AppendError::TooMany(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_the_same_aggregates_all_get_through_without_a_gap() {
    let db = TestDb::new().await;
    let mut tasks = JoinSet::new();
    for index in 0..8 {
        let mut conn = db.connect().await;
        tasks.spawn(async move {
            for n in 0..25 {
                // In different orders, which would deadlock if they were locked in the order of the call.
                let mut batch = vec![event("a", 1), event("b", 1), event(&format!("own {index}"), n)];
                if index % 2 == 0 {
                    batch.reverse();
                }
                log::append(&mut conn, &batch).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let mut conn = db.connect().await;
    let gaps = "SELECT count(*) FROM (
        SELECT aggregate_id FROM evenfold.events GROUP BY aggregate_id HAVING count(*) <> max(version)) gaps";
    assert_eq!(scalar(&mut conn, gaps).await, 0);
    assert_eq!(scalar(&mut conn, "SELECT max(version) FROM evenfold.events WHERE aggregate_id = 'a'").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writers_that_expect_the_same_version_exactly_one_gets_through() {
    let db = TestDb::new().await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let mut conn = db.connect().await;
        tasks.spawn(async move { log::append(&mut conn, &[expecting("a", 0)]).await });
    }
    let mut won = 0;
    while let Some(ended) = tasks.join_next().await {
        match ended.unwrap() {
            Ok(_) => won += 1,
            Err(AppendError::Conflict { expected, actual, .. }) if (expected.get(), actual.get()) == (0, 1) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(won, 1);
}

/// Each call is a list of aggregate and expected version, none for any.
fn calls() -> impl Strategy<Value = Vec<Vec<(u8, Option<i64>)>>> {
    let one = (0..3_u8, prop::option::weighted(0.6, 0..4_i64));
    prop::collection::vec(prop::collection::vec(one, 1..4), 1..8)
}

/// What an append must do, as a few lines without a database.
fn model(versions: &mut HashMap<u8, i64>, call: &[(u8, Option<i64>)]) -> Result<Vec<i64>, (i64, i64, usize)> {
    let mut next = versions.clone();
    let mut given = Vec::new();
    for (index, (id, expected)) in call.iter().enumerate() {
        let version = next.entry(*id).or_default();
        if let Some(expected) = expected.filter(|expected| expected != version) {
            return Err((expected, *version, index));
        }
        *version += 1;
        given.push(*version);
    }
    *versions = next;
    Ok(given)
}

#[test]
fn any_sequence_of_appends_does_what_a_model_of_it_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (db, mut conn) = runtime.block_on(async {
        let db = TestDb::new().await;
        let conn = db.connect().await;
        (db, conn)
    });
    let conn = std::cell::RefCell::new(&mut conn);
    TestRunner::new(Config::with_cases(60))
        .run(&calls(), |calls| {
            let case = Uuid::new_v4();
            let mut versions = HashMap::new();
            for call in calls {
                let batch: Vec<NewEvent> = call
                    .iter()
                    .map(|(id, expected)| {
                        let expected = expected.map_or(ExpectedVersion::Any, |version| Version::new(version).into());
                        event(&format!("{case} {id}"), 1).expecting(expected)
                    })
                    .collect();
                let got = match runtime.block_on(log::append(&mut conn.borrow_mut(), &batch)) {
                    Ok(places) => Ok(places.iter().map(|place| place.version.get()).collect()),
                    Err(AppendError::Conflict { expected, actual, index, .. }) => {
                        Err((expected.get(), actual.get(), index))
                    }
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                };
                prop_assert_eq!(got, model(&mut versions, &call));
            }
            Ok(())
        })
        .unwrap();
    drop(db);
}
