//! An event that can't be applied parks its aggregate and no other, whatever the statements are.

use crate::fold::{append_all, event, fold, projection, rows};
use evenfold::projection::parked::{RetriedTogether, RetryAll};
use evenfold::{NewEvent, Schema};
use evenfold_testkit::{TestDb, scalar};
use serde_json::{Value, json};

const SUMS: &str = "-- create
CREATE TABLE sums (id text PRIMARY KEY, value int NOT NULL CHECK (value >= 0), n bigint NOT NULL);
CREATE TABLE amounts (position bigint PRIMARY KEY, amount bigint NOT NULL);
-- apply
INSERT INTO amounts SELECT position, (payload ->> 'amount')::bigint FROM batch;
INSERT INTO sums AS t (id, value, n)
SELECT aggregate_id, sum(100 / (payload ->> 'by')::int * 0 + (payload ->> 'amount')::bigint), count(*) FROM batch
GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET value = t.value + excluded.value, n = t.n + excluded.n;";

/// The same event by event, and with RAISE.
const EACH: &str = "-- create
CREATE TABLE sums (id text PRIMARY KEY, value int NOT NULL CHECK (value >= 0), n bigint NOT NULL);
-- each event
IF event.payload ->> 'amount' = '99' THEN RAISE 'ninety-nine'; END IF;
ASSERT event.payload ->> 'amount' IS DISTINCT FROM '98', 'ninety-eight';
INSERT INTO sums AS t VALUES (event.aggregate_id,
    100 / (event.payload ->> 'by')::int * 0 + (event.payload ->> 'amount')::bigint, 1)
ON CONFLICT (id) DO UPDATE SET value = t.value + excluded.value, n = t.n + excluded.n;";

fn of(id: &str, amount: impl Into<Value>, by: i64) -> NewEvent {
    let amount: Value = amount.into();
    event(id, "added", &json!({"amount": amount, "by": by}))
}

/// A cast, a division by zero, an overflow, a constraint, and a value that is missing.
fn bad(kind: usize, id: &str) -> (NewEvent, &'static str) {
    match kind {
        0 => (of(id, "x", 1), "invalid input syntax"),
        1 => (of(id, 1, 0), "division by zero"),
        2 => (of(id, 4_000_000_000_i64, 1), "integer out of range"),
        3 => (of(id, -1_000, 1), "check constraint"),
        4 => (event(id, "added", &json!({"by": 1})), "null value in column"),
        5 => (of(id, 99, 1), "ninety-nine"),
        _ => (of(id, 98, 1), "ninety-eight"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_bad_event_parks_its_aggregate_from_that_event_on_and_no_other() {
    for (text, kinds) in [(SUMS, 5), (EACH, 7)] {
        for batch_size in [1, 3, 1_000] {
            let db = TestDb::new().await;
            let mut conn = db.connect().await;
            let mut expected = Vec::new();
            for kind in 0..kinds {
                let id = format!("bad-{kind}");
                let (event, reason) = bad(kind, &id);
                append_all(&mut conn, &[of(&id, 20, 1), of("good", 1, 1), event, of(&id, 5, 1)]).await;
                expected.push((id, reason));
            }
            let sums = projection("sums", text);
            fold(&db, &sums, 2, batch_size).await.unwrap();
            let parked: Vec<(String, i64, String)> = sqlx::query_as(
                "SELECT e.aggregate_id::text, e.version, p.reason::text FROM evenfold.parked_events p JOIN evenfold.events e USING (position)
                 ORDER BY 1, 2",
            )
            .fetch_all(&mut conn)
            .await
            .unwrap();
            assert_eq!(parked.len(), 2 * kinds, "{parked:?}");
            for (pair, (id, reason)) in parked.chunks(2).zip(&expected) {
                let [first, second] = pair else { panic!() };
                assert!(first.0 == *id && first.1 == 2 && first.2.contains(reason), "{first:?}: {reason}");
                assert!(second.0 == *id && second.1 == 3, "{second:?}");
            }
            // What came before the bad event is there, and all of the others.
            let good = kinds.to_string();
            let mut all: Vec<String> = expected.iter().map(|(id, _)| format!("({id},20,1)")).collect();
            all.push(format!("(good,{good},{good})"));
            assert_eq!(rows(&mut conn, "SELECT * FROM sums").await, all, "{batch_size}");
            // Nothing of the search is left, and what comes next is applied.
            append_all(&mut conn, &[of("good", 0, 1)]).await;
            fold(&db, &sums, 1, batch_size).await.unwrap();
            assert_eq!(
                scalar(&mut conn, "SELECT sum(n)::bigint FROM sums").await,
                i64::try_from(2 * kinds).unwrap() + 1
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_ten_aggregates_of_which_none_can_be_applied_stops_the_projection_and_parks_none() {
    for (aggregates, stops) in [(10, true), (9, false)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let events: Vec<NewEvent> = (0..aggregates).map(|n| of(&format!("a{n}"), "x", 1)).collect();
        append_all(&mut conn, &events).await;
        let outcome = fold(&db, &projection("sums", SUMS), 1, 1_000).await;
        let parked = scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await;
        if stops {
            let sentence = outcome.unwrap_err().to_string();
            assert!(
                sentence.contains("none of 10 aggregates can be applied") && sentence.contains("invalid input"),
                "{sentence}"
            );
            assert_eq!(parked, 0);
        } else {
            assert_eq!((outcome.map(|_| ()).map_err(|e| e.to_string()), parked), (Ok(()), 9));
        }
    }
}

/// They are known to be bad: that none of them can be applied says nothing about the statements.
#[tokio::test(flavor = "multi_thread")]
async fn ten_parked_aggregates_that_are_tried_again_stay_parked_each_with_its_reason() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut events: Vec<NewEvent> = (0..10).map(|n| of(&format!("a{n}"), "x", 1)).collect();
    events.push(of("good", 1, 1));
    append_all(&mut conn, &events).await;
    let mut sums = projection("sums", SUMS);
    fold(&db, &sums, 1, 1_000).await.unwrap();
    let tried = RetryAll::default().next(&Schema::default(), &mut conn, &mut sums).await.unwrap();
    let Some(RetriedTogether { aggregates: 10, applied: 0, still, .. }) = tried else { panic!("{tried:?}") };
    assert!(still.len() == 10 && still.iter().all(|one| one.reason.contains("invalid input")), "{still:?}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 10);
}

/// A savepoint is a round trip, and a transaction id: a row that is written behind one has another than its
/// transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_a_savepoint_only_where_an_event_of_it_has_failed() {
    const TOP: &str = "-- create
CREATE TABLE tops (id text PRIMARY KEY, amount bigint NOT NULL, top xid8 NOT NULL);
-- apply
INSERT INTO tops SELECT aggregate_id, (payload ->> 'amount')::bigint, pg_current_xact_id() FROM batch ORDER BY 1;";
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let tops = projection("tops", TOP);
    for (events, written) in [
        (vec![of("a", 1, 1), of("b", 2, 1)], ["(a,t)", "(b,t)"].to_vec()),
        (vec![of("c", 3, 1), of("d", "x", 1), of("e", 5, 1)], ["(a,t)", "(b,t)", "(c,f)", "(e,f)"].to_vec()),
        (vec![of("f", 6, 1)], ["(a,t)", "(b,t)", "(c,f)", "(e,f)", "(f,t)"].to_vec()),
    ] {
        append_all(&mut conn, &events).await;
        fold(&db, &tops, 1, 1_000).await.unwrap();
        assert_eq!(rows(&mut conn, "SELECT id, xmin::text = top::text FROM tops").await, written);
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 1);
}
