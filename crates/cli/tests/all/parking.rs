//! An event that can't be applied parks its aggregate; everything else goes on, and it can be tried again or dropped.

use crate::support::{
    Evenfold, LOCKED_OUT, SOON, TestDb, append_one, assert_counters_agree, counter, drain, event, only_worker,
    partition, pointer, scalar, wait_until,
};
use evenfold::checkpoint::{Takeover, drop_parked, list_parked, register, unpark};
use evenfold::counters::{Counters, NAME};
use evenfold::event::{Aggregate, NewEvent};
use evenfold::log;
use evenfold::number::{Position, Version};
use evenfold::projection::Step;
use evenfold::projection::parked::{Retried, drop_first, retry};
use evenfold::schema::Schema;
use serde_json::json;
use sqlx::{Connection, PgConnection};

async fn append_payload(conn: &mut PgConnection, aggregate_id: &str, payload: serde_json::Value) {
    log::append(conn, &[NewEvent::new("t", aggregate_id, "added", &payload).unwrap()]).await.unwrap();
}

fn aggregate(aggregate_id: &str) -> Aggregate {
    Aggregate { aggregate_type: "t".into(), aggregate_id: aggregate_id.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_applied_parks_its_aggregate_and_nothing_else() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 3).await;
    for (id, bad) in
        [("text", json!({"amount": "5"})), ("large", json!({"amount": 1.0e30})), ("huge", json!({"amount": i64::MAX}))]
    {
        append_one(&mut conn, id, 1).await;
        append_payload(&mut conn, id, bad).await;
        append_one(&mut conn, id, 1).await;
        append_one(&mut conn, "fine", 1).await;
    }
    drain(&mut worker, &mut conn).await;
    append_one(&mut conn, "text", 1).await;
    drain(&mut worker, &mut conn).await;

    assert_eq!(counter(&mut conn, "fine").await, Some((3, 3)));
    for id in ["text", "large", "huge"] {
        assert_eq!(counter(&mut conn, id).await, Some((1, 1)), "{id} stays where it was");
    }
    let parked = list_parked(&Schema::default(), &mut conn, NAME, 10).await.unwrap();
    let parked: Vec<_> =
        parked.iter().map(|p| (p.aggregate_id.as_str(), p.events, p.version.get(), p.reason.as_str())).collect();
    assert_eq!(
        parked,
        [
            ("text", 3, 2, "the amount is a string, not an integer"),
            ("large", 2, 2, "the amount does not fit into 64 bits"),
            ("huge", 2, 2, "the value 1 plus 9223372036854775807 does not fit into 64 bits"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_were_written_out_of_order_are_parked_and_applied_by_a_retry() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    let foreign = async |conn: &mut PgConnection, version: i64| {
        sqlx::query("INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload) VALUES ($1, 't', 'a', 'e', '{}')")
            .bind(version)
            .execute(conn)
            .await
            .unwrap();
    };
    foreign(&mut conn, 1).await;
    foreign(&mut conn, 3).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1);
    assert_eq!(
        list_parked(&Schema::default(), &mut conn, NAME, 10).await.unwrap()[0].reason,
        "version 3 follows version 1: expected 2"
    );
    foreign(&mut conn, 2).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 0, "it waits behind the parked one");

    let mut projection = Counters::new(pointer(), 10);
    let retried = retry(&Schema::default(), &mut conn, &mut projection, &aggregate("a")).await.unwrap();
    assert_eq!(retried, Retried::Applied { events: 2 });
    // The worker has the counter in memory as it was before.
    append_one(&mut conn, "a", 1).await;
    assert_eq!(worker.step(&mut conn).await.unwrap(), Step::Outrun);
    assert_eq!(drain(&mut worker, &mut conn).await, 1, "and does not stand by: no other worker was here");
    assert_eq!(counter(&mut conn, "a").await, Some((4, 4)));
    assert_counters_agree(&mut conn).await;
    assert_eq!(
        retry(&Schema::default(), &mut conn, &mut projection, &aggregate("a")).await.unwrap(),
        Retried::NotParked
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_event_stays_on_record_and_those_behind_it_are_applied() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    append_payload(&mut conn, "a", json!({"amount": "x"})).await;
    append_one(&mut conn, "a", 10).await;
    append_payload(&mut conn, "a", json!({"amount": []})).await;
    append_one(&mut conn, "a", 100).await;
    drain(&mut worker, &mut conn).await;

    let mut projection = Counters::new(pointer(), 10);
    let again = retry(&Schema::default(), &mut conn, &mut projection, &aggregate("a")).await.unwrap();
    assert!(matches!(again, Retried::Parked { events: 0, version, .. } if version == 2), "{again:?}");
    let dropped = drop_first(&Schema::default(), &mut conn, &mut projection, &aggregate("a")).await.unwrap();
    let reason = "the amount is an array, not an integer".to_owned();
    assert_eq!(dropped, Retried::Parked { events: 1, version: Version::new(4), reason });
    assert_eq!(counter(&mut conn, "a").await, Some((11, 3)));
    assert_eq!(
        drop_first(&Schema::default(), &mut conn, &mut projection, &aggregate("a")).await.unwrap(),
        Retried::Applied { events: 1 }
    );
    assert_eq!(counter(&mut conn, "a").await, Some((111, 5)));
    assert_eq!(
        drop_first(&Schema::default(), &mut conn, &mut projection, &aggregate("a")).await.unwrap(),
        Retried::NotParked
    );

    append_one(&mut conn, "a", 1000).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "a").await, Some((1111, 6)));
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events WHERE dropped_at IS NOT NULL").await, 2);
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_a_wrong_hash_is_parked_instead_of_being_counted_by_two_workers() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    sqlx::raw_sql(
        "INSERT INTO evenfold.events (version, hash, aggregate_type, aggregate_id, event_type, payload)
         VALUES (2, 7, 't', 'a', 'e', '{}')",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    append_one(&mut conn, "b", 1).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "b").await, Some((1, 1)));
    let parked = list_parked(&Schema::default(), &mut conn, NAME, 10).await.unwrap();
    assert!(parked[0].reason.contains("its hash is 7 and that of its aggregate id is"), "{parked:?}");

    let mut projection = Counters::new(pointer(), 10);
    let dropped = drop_first(&Schema::default(), &mut conn, &mut projection, &aggregate("a")).await.unwrap();
    assert_eq!(dropped, Retried::Applied { events: 1 }, "the event before it was fine");
    append_one(&mut conn, "a", 10).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "a").await, Some((11, 3)));
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_had_to_wait_for_a_change_of_partitions_is_seen_by_the_new_workers() {
    let db = TestDb::new().await;
    let (mut conn, mut other, mut retrier) = (db.connect().await, db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    append_payload(&mut conn, "a", json!({"amount": "x"})).await;
    drain(&mut worker, &mut conn).await;
    let definition: String =
        sqlx::query_scalar("SELECT definition FROM evenfold.projections").fetch_one(&mut conn).await.unwrap();

    // The change has replaced the row, and not committed yet: the retry waits at a row that will be gone.
    let mut change = other.begin().await.unwrap();
    register(&Schema::default(), &mut change, NAME, &definition, partition(0, 2), Takeover::Now).await.unwrap();
    let waiting = tokio::spawn(async move {
        let mut projection = Counters::new(pointer(), 10);
        retry(&Schema::default(), &mut retrier, &mut projection, &aggregate("a")).await.unwrap()
    });
    wait_until("the retry to wait", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 1).await;
    let newest = scalar(&mut change, "SELECT max(revision) FROM evenfold.checkpoints").await;
    change.commit().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Retried::Parked { version, .. } if version == 2));
    let now = scalar(&mut conn, "SELECT max(revision) FROM evenfold.checkpoints").await;
    assert!(now > newest, "a worker with the new row would not learn of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_list_retry_and_drop_what_is_parked() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    let run = |args: &[&str]| {
        let output = Evenfold::run(&[&["parked", "--database-url", &db.url], args].concat(), "");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&["list"]).1, "nothing is parked\n");
    log::append(&mut conn, &[event("a", 1)]).await.unwrap();
    append_payload(&mut conn, "a", json!({"amount": "x"})).await;
    append_one(&mut conn, "a", 2).await;
    drain(&mut worker, &mut conn).await;

    let (_, list, _) = run(&["list"]);
    assert!(list.contains("the amount is a string"), "{list}");
    let (_, line, _) = run(&["list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((json["aggregate_id"].as_str(), json["events"].as_i64()), (Some("a"), Some(2)));
    let (code, out, err) = run(&["retry", "t", "a"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("t/a: applied 0 events, parked again at version 2"), "{out}");
    let (code, out, err) = run(&["drop", "t", "a"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "dropped the first parked event of t/a\nt/a: applied 1 events, nothing is parked any more\n"),
        "{err}"
    );
    let (code, _, err) = run(&["drop", "t", "a"]);
    assert_eq!((code, err.lines().last()), (Some(1), Some("evenfold: t/a is not parked")));
    assert_eq!(counter(&mut conn, "a").await, Some((3, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn unparking_or_dropping_what_is_not_parked_is_an_error_and_not_ignored() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    append_payload(&mut conn, "a", json!({"amount": "x"})).await;
    drain(&mut worker, &mut conn).await;
    let error = unpark(&Schema::default(), &mut conn, NAME, &[1, 2].map(Position::new))
        .await
        .map_err(|error| error.to_string());
    assert!(error.is_err_and(|e| e.contains("does not hold: of 2 events that were applied 1 were parked")));
    let error =
        drop_parked(&Schema::default(), &mut conn, NAME, Position::new(2)).await.map_err(|error| error.to_string());
    assert!(error.is_err_and(|e| e.contains("does not hold: the event at position 2 is parked once, and not 0 times")));
}
