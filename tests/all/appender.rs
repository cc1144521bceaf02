//! Appending in groups: each caller's events are all or none, and what is answered about them is true.

use crate::support::{SOON, TestDb, append_one, event, scalar, wait_until};
use evenfold::database::Database;
use evenfold::event::{ExpectedVersion, NewEvent};
use evenfold::log::{AppendError, Appended, Appender, AppenderOptions};
use evenfold::number::Version;
use futures_util::FutureExt;
use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'evenfold append'";

fn start(db: &TestDb) -> Appender {
    Appender::start(&db.database, AppenderOptions::default())
}

fn expecting(aggregate_id: &str, version: i64) -> NewEvent {
    event(aggregate_id, 1).expecting(ExpectedVersion::Exactly(Version::new(version)))
}

/// The ids of all events. Fails where an aggregate's versions have gaps.
async fn stored(conn: &mut PgConnection) -> HashSet<Uuid> {
    let gaps = "SELECT count(*) FROM (
        SELECT aggregate_id FROM evenfold.events GROUP BY aggregate_id HAVING count(*) <> max(version)) gaps";
    assert_eq!(scalar(conn, gaps).await, 0);
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT event_id FROM evenfold.events").fetch_all(conn).await.unwrap();
    ids.into_iter().collect()
}

/// One of several callers: appends to an aggregate that all of them have and to one of its own, now and then with an
/// expectation that is wrong, and gives the ids of what was acknowledged and what was refused.
async fn call(appender: Appender, caller: u64, calls: usize) -> (Vec<Uuid>, Vec<Uuid>) {
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    let (own, mut version) = (format!("own {caller}"), 0);
    for n in 0..calls {
        let wrong = fastrand::u8(0..5) == 0;
        let events = vec![expecting(&own, version + i64::from(wrong)), event("shared", 1), event(&own, 1)];
        let ids: Vec<Uuid> = events.iter().map(NewEvent::event_id).collect();
        match appender.append(events).await {
            Ok(places) => {
                assert_eq!(
                    [places[0].version, places[2].version],
                    [version + 1, version + 2].map(Version::new),
                    "call {n}"
                );
                assert!(places[0].position < places[2].position);
                version += 2;
                acknowledged.extend(ids);
            }
            Err(AppendError::Conflict { aggregate, expected, actual, index: 0 }) if wrong => {
                assert_eq!(
                    (aggregate.aggregate_id, expected, actual),
                    (own.clone(), Version::new(version + 1), Version::new(version))
                );
                refused.extend(ids);
            }
            Err(other) => panic!("call {n}: {other}"),
        }
    }
    (acknowledged, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_callers_exactly_the_acknowledged_events_are_in_the_log() {
    let db = TestDb::new().await;
    // Small groups, a small queue: callers also wait for room.
    let appender = Appender::start(&db.database, AppenderOptions::default().queue(5).group(30));
    let mut callers = JoinSet::new();
    for caller in 0..40 {
        callers.spawn(call(appender.clone(), caller, 20));
    }
    let (mut acknowledged, mut refused) = (HashSet::new(), HashSet::new());
    while let Some(ended) = callers.join_next().await {
        let (ids, wrong) = ended.unwrap();
        acknowledged.extend(ids);
        refused.extend(wrong);
    }
    let stored = stored(&mut db.connect().await).await;
    assert_eq!(stored, acknowledged);
    assert!(!refused.is_empty() && stored.is_disjoint(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_appended_together_in_the_order_of_the_calls() {
    let db = TestDb::new().await;
    let appender = start(&db);
    // tokio lets one task send 128 times before it must give way.
    let answers = join_all((0..100).map(|_| appender.append(vec![event("a", 1)]))).await;
    let versions: Vec<i64> = answers.into_iter().map(|answer| answer.unwrap()[0].version.get()).collect();
    assert_eq!(versions, (1..=100).collect::<Vec<_>>());
    let transactions = scalar(&mut db.connect().await, "SELECT count(DISTINCT xid) FROM evenfold.events").await;
    assert!(transactions < 10, "{transactions} transactions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_ends_where_it_is_full_and_one_call_is_never_cut() {
    let db = TestDb::new().await;
    let appender = Appender::start(&db.database, AppenderOptions::default().queue(100).group(10));
    let calls = [4, 4, 4, 25, 1, 1].map(|count| appender.append((0..count).map(|_| event("a", 1)).collect()));
    for answer in join_all(calls).await {
        answer.unwrap();
    }
    let mut conn = db.connect().await;
    let sizes: Vec<i64> =
        sqlx::query_scalar("SELECT count(*) FROM evenfold.events GROUP BY xid ORDER BY min(position)")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    // How many were there when the first was taken is chance.
    assert!(sizes.contains(&25) && sizes.iter().all(|&size| size == 25 || size <= 10), "{sizes:?}");
    // Of 3 MiB each, two are too many.
    let large = || NewEvent::new("t", "b", "e", &"x".repeat(1024 * 1024 - 2)).unwrap();
    let calls = (0..4).map(|_| appender.append(vec![large(), large(), large()]));
    for answer in join_all(calls).await {
        answer.unwrap();
    }
    let largest =
        "SELECT max(count) FROM (SELECT count(*) FROM evenfold.events WHERE aggregate_id = 'b' GROUP BY xid) sizes";
    assert_eq!(scalar(&mut conn, largest).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mistake_of_one_caller_is_reported_to_that_one_alone() {
    let db = TestDb::new().await;
    let appender = start(&db);
    let twice = event("b", 1);
    let mut calls = vec![vec![event("a", 1), event("b", 1)]];
    calls.push(vec![event("c", 1), expecting("a", 7)]);
    calls.push(vec![twice.clone()]);
    calls.push(vec![twice.clone()]);
    calls.push(vec![event("d", 1), event("b", 1), event("a", 1).with_event_id(twice.event_id())]);
    calls.push(vec![expecting("a", 1)]);
    calls.push(vec![twice.clone(), twice]);
    calls.push(vec![]);
    let answers = join_all(calls.into_iter().map(|events| appender.append(events))).await;
    let [one, conflict, first, again, taken, next, same, nothing] = answers.try_into().unwrap();
    assert_eq!(one.unwrap()[0].version, 1);
    assert!(
        matches!(conflict, Err(AppendError::Conflict { expected, actual, index: 1, .. }) if expected == 7 && actual == 1),
        "{conflict:?}"
    );
    let first: Vec<Appended> = first.unwrap();
    assert!(matches!(again, Err(AppendError::AlreadyAppended { appended, .. }) if appended == first));
    assert!(
        matches!(taken, Err(AppendError::DuplicateEventId { index: 2, position: Some(p), .. }) if p == first[0].position)
    );
    assert_eq!(next.unwrap()[0].version, 2);
    assert!(matches!(same, Err(AppendError::DuplicateEventId { index: 1, position: None, .. })));
    assert_eq!(nothing.unwrap(), []);
    assert_eq!(scalar(&mut db.connect().await, "SELECT count(*) FROM evenfold.events").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_somebody_else_holds_up_its_own_aggregate_only() {
    let db = TestDb::new().await;
    let mut other = db.connect().await;
    let mut tx = other.begin().await.unwrap();
    append_one(&mut tx, "a", 1).await;
    let appender = start(&db);
    let answers = join_all(["b", "a", "c", "d"].map(|id| appender.append(vec![event(id, 1)]))).await;
    let [b, a, c, d] = answers.try_into().unwrap();
    assert!(b.is_ok() && c.is_ok() && d.is_ok(), "{b:?} {c:?} {d:?}");
    assert!(a.unwrap_err().to_string().contains("lock timeout"));
    tx.commit().await.unwrap();
    assert_eq!(appender.append(vec![event("a", 1)]).await.unwrap()[0].version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_group_waits_for_a_lock_later_calls_for_its_aggregates_wait_and_others_do_not() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut tx = other.begin().await.unwrap();
    append_one(&mut tx, "locked", 1).await;
    let appender = start(&db);
    // The other transaction ends only after what is behind this one in the queue was appended.
    let (locked_event, both) = (vec![event("locked", 1)], vec![event("locked", 1), event("both", 1)]);
    let mut waiting = std::pin::pin!(appender.append(locked_event.clone()));
    assert!((&mut waiting).now_or_never().is_none());
    let locked = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'evenfold append' AND wait_event_type = 'Lock'";
    wait_until("it waits", SOON, async || scalar(&mut conn, locked).await == 1).await;
    let mut behind = std::pin::pin!(appender.append(both));
    assert!((&mut behind).now_or_never().is_none());
    // The same aggregate as the one that waits for the locked one.
    let mut behind_that = std::pin::pin!(appender.append(vec![event("both", 1)]));
    assert!((&mut behind_that).now_or_never().is_none());
    assert_eq!(appender.append(vec![event("free", 1)]).await.unwrap()[0].version, 1);
    tx.commit().await.unwrap();
    // Unless it took longer than the lock timeout to get here.
    let first = waiting.await.map(|appended| appended[0].version);
    let (second, third) = (behind.await.unwrap(), behind_that.await.unwrap());
    assert_eq!(second[0].version, first.map_or(Version::new(2), Version::next));
    assert_eq!([second[1].version, third[0].version], [1, 2], "in the order of the calls");
}

/// Appends one after the other until it is stopped, each until it is acknowledged, and gives the ids.
async fn insist(appender: Appender, caller: u64, stop: CancellationToken) -> Vec<Uuid> {
    let mut ids = Vec::new();
    while !stop.is_cancelled() {
        let batch = vec![event(&format!("own {caller}"), 1), event(&format!("{}", ids.len() % 7), 1)];
        loop {
            match appender.append(batch.clone()).await {
                Ok(_) | Err(AppendError::AlreadyAppended { .. }) => break,
                Err(AppendError::Unanswered(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        ids.extend(batch.iter().map(NewEvent::event_id));
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_loses_nothing_and_appends_nothing_twice() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let appender = start(&db);
    let mut callers = JoinSet::new();
    let stop = CancellationToken::new();
    for caller in 0..16 {
        callers.spawn(insist(appender.clone(), caller, stop.clone()));
    }
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'evenfold append' AND state = 'active'";
    let mut killed = 0;
    wait_until("five connections are killed at work", SOON, async || {
        killed += scalar(&mut conn, kill).await;
        killed >= 5
    })
    .await;
    stop.cancel();
    let mut acknowledged = HashSet::new();
    while let Some(ended) = callers.join_next().await {
        acknowledged.extend(ended.unwrap());
    }
    // Event ids are unique in the table: none is there twice.
    assert_eq!(stored(&mut conn).await, acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_connection_was_lost_is_asked_to_try_again_and_gets_another() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut tx = other.begin().await.unwrap();
    append_one(&mut tx, "a", 1).await;
    let appender = start(&db);
    let lost = vec![event("a", 1)];
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'evenfold append' AND wait_event_type = 'Lock'";
    let killed = wait_until("it is killed while it waits", SOON, async || scalar(&mut conn, kill).await == 1);
    let failed = async {
        loop {
            match appender.append(lost.clone()).await.unwrap_err() {
                // The lock timeout, before it was killed.
                AppendError::Database(error) if error.to_string().contains("lock timeout") => {}
                error => return error,
            }
        }
    };
    let (error, ()) = tokio::join!(failed, killed);
    assert!(error.to_string().ends_with("append them again, with the same event ids"), "{error}");
    tx.commit().await.unwrap();
    assert_eq!(appender.append(lost).await.unwrap()[0].version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_was_called_for_and_lets_nothing_more_in() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let appender = start(&db);
    let answers = join_all((0..100).map(|n| {
        let appender = appender.clone();
        tokio::spawn(async move { appender.append(vec![event(&format!("a{n}"), 1)]).await })
    }));
    let (answers, ()) = tokio::join!(answers, appender.clone().close());
    let mut acknowledged = 0;
    for answer in answers {
        match answer.unwrap() {
            Ok(_) => acknowledged += 1,
            Err(AppendError::Closed) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, acknowledged);
    assert!(matches!(appender.append(vec![event("a", 1)]).await, Err(AppendError::Closed)));
    wait_until("its connection is gone", SOON, async || scalar(&mut conn, CONNECTIONS).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_appender_that_is_dropped_ends_the_connections() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let appender = start(&db);
    let clone = appender.clone();
    appender.append(vec![event("a", 1)]).await.unwrap();
    drop(appender);
    clone.append(vec![event("a", 1)]).await.unwrap();
    assert!((1..=2).contains(&scalar(&mut conn, CONNECTIONS).await));
    drop(clone);
    wait_until("its connections are gone", SOON, async || scalar(&mut conn, CONNECTIONS).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_a_database_that_is_not_there() {
    let nowhere = Database::at("postgres://nobody@127.0.0.1:1/x").unwrap();
    let appender = Appender::start(&nowhere, AppenderOptions::default());
    let closer = appender.clone();
    let mut waits = std::pin::pin!(appender.append(vec![event("a", 1)]));
    // It is called for before the appender is closed.
    assert!((&mut waits).now_or_never().is_none());
    closer.close().await;
    assert!(matches!(waits.await, Err(AppendError::Unanswered(_))));
}
