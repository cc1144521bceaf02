//! What `append` takes, SQL can read; what it can't read in an event of another writer parks its aggregate, and stands
//! in nobody's way.

use crate::support::cli::run_at;
use crate::support::{TestDb, advised, append_one, counter, drain, insert, only_worker, pointer, scalar};
use evenfold::checkpoint::list_parked;
use evenfold::counters::{NAME, mismatches};
use evenfold::event::{MAX_JSON_DEPTH, NewEvent};
use evenfold::log;
use evenfold::schema::Schema;
use sqlx::{AssertSqlSafe, PgConnection};

const SURROGATE: &str = r#"{"amount":2,"note":"cut \ud83d"}"#;

fn levels(n: usize) -> String {
    format!(r#"{{"amount":2,"deep":{}1{}}}"#, "[".repeat(n), "]".repeat(n))
}

/// Texts of the type json that SQL can't take apart, or not in every session, and what is wrong with them.
fn unreadable() -> Vec<(String, &'static str)> {
    let texts = [
        (SURROGATE, "half of a surrogate pair"),
        (r#"{"amount":2,"\ud83d":1}"#, "half of a surrogate pair"),
        (r#"{"amount":2,"note":"\ude00\ud83d"}"#, "half of a surrogate pair"),
        (r#"{"amount":2,"list":[{"note":"\ud83d\\ude00"}]}"#, "half of a surrogate pair"),
        (r#"{"amount":2,"note":"x\u0000"}"#, "\\u0000"),
        (r#"{"\u0000":1,"amount":2}"#, "\\u0000"),
    ];
    let mut texts: Vec<_> = texts.map(|(text, problem)| (text.to_owned(), problem)).into();
    texts.push((levels(MAX_JSON_DEPTH), "is nested deeper than 500 levels"));
    texts
}

#[test]
fn append_refuses_in_payload_and_metadata_what_sql_can_not_read() {
    for (text, problem) in unreadable() {
        for line in [format!(r#""payload":{text}"#), format!(r#""payload":1,"metadata":{text}"#)] {
            let line = format!(r#"{{"aggregate_type":"t","aggregate_id":"a","event_type":"e",{line}}}"#);
            let error = NewEvent::from_json(&line).unwrap_err().to_string();
            assert!(error.contains(problem), "{line}: {error}");
        }
        let payload: Box<serde_json::value::RawValue> = serde_json::from_str(&text).unwrap();
        assert!(NewEvent::new("t", "a", "e", &payload).is_err(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_another_writer_that_sql_can_not_read_parks_its_aggregate_and_everything_else_works() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 3).await;
    let texts = unreadable();
    for (n, (text, _)) in texts.iter().enumerate() {
        append_one(&mut conn, "fine", 1).await;
        insert(&mut conn, &format!("bad{n}"), 1, r#"{"amount":1}"#).await.unwrap();
        insert(&mut conn, &format!("bad{n}"), 2, text).await.unwrap();
        insert(&mut conn, &format!("bad{n}"), 3, r#"{"amount":1}"#).await.unwrap();
    }
    drain(&mut worker, &mut conn).await;
    let count = texts.len();
    assert_eq!(counter(&mut conn, "fine").await, Some((i64::try_from(count).unwrap(), i64::try_from(count).unwrap())));
    let parked = list_parked(&Schema::default(), &mut conn, NAME, 100).await.unwrap();
    assert_eq!(parked.len(), count);
    for (parked, (text, problem)) in parked.iter().zip(&texts) {
        assert!(parked.version == 2 && parked.events == 2 && parked.reason.contains(problem), "{text}: {parked:?}");
        assert_eq!(counter(&mut conn, &parked.aggregate_id).await, Some((1, 1)), "what came before is applied");
    }
    for command in [["verify"].as_slice(), &["status"], &["rebuild"], &["repair"], &["verify"]] {
        run_at(&db, command).fine();
    }
    let output = run_at(&db, &["verify"]);
    assert!(output.out.contains(&format!("all {} counters agree", count + 1)), "{output:?}");
    assert!(output.out.contains(&format!("{count} aggregates are parked")), "{output:?}");
    assert_eq!(run_at(&db, &["parked", "retry", "--all"]).code, 1);
    assert_eq!(list_parked(&Schema::default(), &mut conn, NAME, 100).await.unwrap().len(), count);
}

/// Makes what the worker has parked what an older version would have made of it: folded.
async fn as_folded_before(conn: &mut PgConnection, id: &str, value: i64) {
    let sql = format!(
        "INSERT INTO evenfold.counters SELECT aggregate_type, aggregate_id, count(*), {value}, max(version), max(position)
             FROM evenfold.events WHERE aggregate_id = '{id}' GROUP BY 1, 2
             ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET events = excluded.events, value = excluded.value,
                 version = excluded.version, last_position = excluded.last_position;
         DELETE FROM evenfold.parked_events WHERE aggregate_id = '{id}'"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_that_an_older_version_has_folded_is_named_by_verify_and_parked_by_the_advised_rebuild() {
    for (text, _) in unreadable() {
        // SQL can read these, also where it has to look twice.
        let escaped = r#"{"amount":4,"note":"caf\u00e9 \ud83d\ude00 \\u0000"}"#;
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let mut worker = only_worker(&mut conn, 100).await;
        append_one(&mut conn, "fine", 1).await;
        insert(&mut conn, "escaped", 1, escaped).await.unwrap();
        insert(&mut conn, "large", 1, &format!(r#"{{"amount":{}}}"#, i64::MAX)).await.unwrap();
        insert(&mut conn, "many", 1, &format!(r#"{{"amount":3,"list":[{}0]}}"#, "[],".repeat(600))).await.unwrap();
        insert(&mut conn, "bad", 1, r#"{"amount":1}"#).await.unwrap();
        let position = insert(&mut conn, "bad", 2, &text).await.unwrap();
        drain(&mut worker, &mut conn).await;
        as_folded_before(&mut conn, "bad", 3).await;
        if text == levels(MAX_JSON_DEPTH) {
            // SQL can read it in a usual session. With this the limits differ from session to session.
            assert_eq!(mismatches(&Schema::default(), &mut conn, &pointer(), 10).await.unwrap(), []);
            continue;
        }
        let output = run_at(&db, &["verify"]);
        assert!(output.code == 1 && output.err.contains("do not agree"), "{output:?}");
        let named = format!("t/bad: PostgreSQL can't read the payload at position {position} (");
        assert!(output.out.starts_with(&named) && output.out.lines().count() == 2, "{output:?}");
        // What it can read is verified all the same.
        sqlx::raw_sql("UPDATE evenfold.counters SET value = 5 WHERE aggregate_id = 'escaped'")
            .execute(&mut conn)
            .await
            .unwrap();
        let both = run_at(&db, &["verify"]).out;
        assert!(both.contains("t/escaped: the log says 1 events with the value 4, the read model 1 events"), "{both}");
        assert!(both.contains(&named) && !both.contains("fine") && !both.contains("large"), "{both}");

        let advice = advised(&output.err);
        run_at(&db, &advice.iter().map(String::as_str).collect::<Vec<_>>()).fine();
        let output = run_at(&db, &["verify"]);
        assert!(output.code == 0 && output.out.contains("all 5 counters agree"), "{output:?}");
        assert_eq!(counter(&mut conn, "bad").await, Some((1, 1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_too_deep_for_the_session_that_verifies_is_named_and_hides_no_other_counter() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 100).await;
    append_one(&mut conn, "fine", 1).await;
    insert(&mut conn, "bad", 1, &levels(3_000)).await.unwrap();
    drain(&mut worker, &mut conn).await;
    as_folded_before(&mut conn, "bad", 2).await;
    sqlx::raw_sql("SET max_stack_depth = '100kB'; UPDATE evenfold.counters SET value = 7 WHERE aggregate_id = 'fine'")
        .execute(&mut conn)
        .await
        .unwrap();
    let differ = mismatches(&Schema::default(), &mut conn, &pointer(), 10).await.unwrap();
    let differing: Vec<_> = differ.iter().map(|m| (m.aggregate_id.as_str(), m.unreadable.is_some())).collect();
    assert_eq!(differing, [("bad", true), ("fine", false)], "{differ:#?}");
    assert!(differ[0].unreadable.as_ref().unwrap().reason.contains("stack depth limit exceeded"), "{differ:#?}");
    // Also inside a transaction of the caller's, which stays good.
    let mut tx = sqlx::Connection::begin(&mut conn).await.unwrap();
    assert_eq!(mismatches(&Schema::default(), &mut tx, &pointer(), 10).await.unwrap(), differ);
    assert_eq!(scalar(&mut tx, "SELECT count(*) FROM evenfold.events").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_append_takes_of_escapes_is_what_sql_reads() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 100).await;
    let text = r#"{"\u0061mount":4,"note":"caf\u00e9 \ud83d\ude00 \\u0000 \\ud83d","deep":[[[]]]}"#;
    let line =
        format!(r#"{{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{text},"metadata":{text}}}"#);
    log::append(&mut conn, &[NewEvent::from_json(&line).unwrap()]).await.unwrap();
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "a").await, Some((4, 1)));
    let read = "SELECT length(payload ->> 'note' || (metadata ->> 'note'))::bigint FROM evenfold.events";
    assert_eq!(scalar(&mut conn, read).await, 40);
    assert_eq!(mismatches(&Schema::default(), &mut conn, &pointer(), 10).await.unwrap(), []);
}
