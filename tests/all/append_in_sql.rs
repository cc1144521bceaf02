//! `evenfold.append(…)`: whoever speaks SQL appends with the rules of the library, in a transaction of its own.

use crate::support::{
    LOCKED_OUT, SOON, TestDb, append_one, assert_counters_agree, drain, event, only_worker, scalar, wait_until,
};
use evenfold::event::{ExpectedVersion, NewEvent};
use evenfold::hash::IdHash;
use evenfold::log::{self, Log};
use evenfold::number::Version;
use evenfold::schema::{self, Schema};
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;

/// Runs a statement of somebody who has no driver's help, and gives the rows of versions and positions, or the
/// SQLSTATE, the message and the detail.
async fn call(conn: &mut PgConnection, sql: &str) -> Result<Vec<(i64, i64)>, (String, String, String)> {
    let rows = sqlx::raw_sql(AssertSqlSafe(format!("SELECT * FROM evenfold.append({sql})"))).fetch_all(conn).await;
    rows.map(|rows| rows.iter().map(|row| (sqlx::Row::get(row, "version"), sqlx::Row::get(row, "position"))).collect())
        .map_err(|error| {
            let error = error.into_database_error().unwrap();
            let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
            (error.code().to_owned(), error.message().to_owned(), error.detail().unwrap_or_default().to_owned())
        })
}

async fn code(conn: &mut PgConnection, sql: &str) -> String {
    call(conn, sql).await.map_or_else(|(code, ..)| code, |rows| format!("appended {rows:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_or_several_are_appended_in_order_with_the_numbers_that_the_library_gives() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    assert_eq!(call(&mut conn, r#"'t', 'a', 'e', '{"amount": 1}'"#).await, Ok(vec![(1, 1)]));
    let id = "'00000000-0000-0000-0000-000000000001'";
    let named =
        format!("'t', 'a', 'e', '2', expected_version => 1, event_id => {id}, metadata => '{{\"by\": \"psql\"}}'");
    assert_eq!(call(&mut conn, &named).await, Ok(vec![(2, 2)]));
    // Their versions are in the order of the array; positions go by aggregate, as everybody takes the locks.
    let several = r#"'[
        {"aggregate_type": "t", "aggregate_id": "b", "event_type": "e", "payload": {"amount":  7}, "expected_version": 0},
        {"aggregate_type": "t", "aggregate_id": "a", "event_type": "e", "payload": null, "metadata": null},
        {"aggregate_type": "t", "aggregate_id": "b", "event_type": "e", "payload": [1], "expected_version": 1}
    ]'"#;
    assert_eq!(call(&mut conn, several).await, Ok(vec![(1, 4), (3, 3), (2, 5)]));
    assert_eq!(call(&mut conn, "'[]'").await, Ok(vec![]));
    let found =
        log::find(&Schema::default(), &mut conn, &["00000000-0000-0000-0000-000000000001".parse().unwrap()]).await;
    let found = found.unwrap().remove(0).unwrap();
    assert_eq!((found.payload.as_str(), found.metadata.as_deref()), ("2", Some("{\"by\": \"psql\"}")));
    assert_eq!(
        scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE payload::text = '{\"amount\":  7}'").await,
        1
    );
    // The columns that are not the writer's.
    let ids: Vec<(String, i64, bool)> = sqlx::query_as(
        "SELECT aggregate_id, hash, xid < pg_snapshot_xmax(pg_current_snapshot()) AND recorded_at <= clock_timestamp()
         FROM evenfold.events",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(ids.iter().all(|(id, hash, rest)| *hash == IdHash::of(id).to_sql() && *rest), "{ids:?}");
    append_one(&mut conn, "a", 1).await;
    let mut worker = only_worker(&mut conn, 10).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 6);
    assert_counters_agree(&mut conn).await;
}

/// The transaction id of an event is that of the caller's transaction, also after a savepoint, and not that of the
/// attempt.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_part_of_the_callers_transaction_and_has_its_id() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut tx = conn.begin().await.unwrap();
    let own: String = sqlx::query_scalar("SELECT pg_current_xact_id()::text").fetch_one(&mut *tx).await.unwrap();
    call(&mut tx, "'t', 'a', 'e', '1'").await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    call(&mut savepoint, "'t', 'b', 'e', '1'").await.unwrap();
    savepoint.rollback().await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    call(&mut savepoint, "'t', 'c', 'e', '1'").await.unwrap();
    savepoint.commit().await.unwrap();
    let mut other = db.connect().await;
    assert_eq!(scalar(&mut other, "SELECT count(*) FROM evenfold.events").await, 0, "not committed");
    tx.commit().await.unwrap();
    let events: Vec<(String, String)> =
        sqlx::query_as("SELECT aggregate_id, xid::text FROM evenfold.events ORDER BY position")
            .fetch_all(&mut other)
            .await
            .unwrap();
    assert_eq!(events, [("a".to_owned(), own.clone()), ("c".to_owned(), own)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_errors_with_the_codes_that_are_documented() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let id = "'00000000-0000-0000-0000-000000000001'";
    call(&mut conn, &format!("'t', 'a', 'e', '1', 0, {id}")).await.unwrap();
    let (code_of, message, detail) = call(&mut conn, "'t', 'a', 'e', '1', 0").await.unwrap_err();
    assert_eq!((code_of.as_str(), message.as_str()), ("XE001", "t/a was expected to have version 0 and has 1"));
    let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
    assert_eq!((&detail["index"], &detail["expected"], &detail["actual"]), (&0.into(), &0.into(), &1.into()));
    // As with the library: what was appended before is found, also where the version is not the expected one any more.
    for again in ["0", "NULL", "5"] {
        let (code_of, message, detail) =
            call(&mut conn, &format!("'t', 'a', 'e', '1', {again}, {id}")).await.unwrap_err();
        assert_eq!(code_of, "XE002", "{message}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&detail).unwrap()[0]["position"], 1);
    }
    assert_eq!(code(&mut conn, &format!("'t', 'b', 'e', '1', 0, {id}")).await, "XE003", "another aggregate's");
    let twice = format!(
        r#"'[{{"aggregate_type":"t","aggregate_id":"b","event_type":"e","payload":1,"event_id":{0}}},
            {{"aggregate_type":"t","aggregate_id":"b","event_type":"e","payload":1,"event_id":{0}}}]'"#,
        "\"00000000-0000-0000-0000-000000000002\""
    );
    assert_eq!(code(&mut conn, &twice).await, "XE003");
    let some = r#"'[{"aggregate_type":"t","aggregate_id":"b","event_type":"e","payload":1},
        {"aggregate_type":"t","aggregate_id":"b","event_type":"e","payload":1,"expected_version":2}]'"#;
    let (code_of, message, _) = call(&mut conn, some).await.unwrap_err();
    assert_eq!((code_of.as_str(), message.as_str()), ("XE001", "t/b was expected to have version 2 and has 1"));
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 1, "all of a call or nothing");
    let many = "(SELECT json_agg(json_build_object('aggregate_type', 't', 'aggregate_id', 'm', 'event_type', 'e', 'payload', i))
        FROM generate_series(1, 10001) i)";
    assert_eq!(code(&mut conn, many).await, "54000");
    // In a transaction, what was done before a savepoint stays.
    let mut tx = conn.begin().await.unwrap();
    call(&mut tx, "'t', 'kept', 'e', '1'").await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    assert_eq!(code(&mut savepoint, "'t', 'a', 'e', '1', 9").await, "XE001");
    savepoint.rollback().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE aggregate_id = 'kept'").await, 1);
}

/// The same events as `evenfold append` takes and refuses.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_taken_or_refused_as_the_library_does() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let with = |field: &str, value: String| {
        let mut event = serde_json::json!({"aggregate_type": "t", "aggregate_id": "a", "event_type": "e"});
        let text = if field == "payload" { String::new() } else { ",\"payload\":1".to_owned() };
        event.as_object_mut().unwrap().remove(field);
        let event = event.to_string();
        format!("{},\"{field}\":{value}{text}}}", event.trim_end_matches('}'))
    };
    let json = |text: String| serde_json::to_string(&text).unwrap();
    let mut lines = Vec::new();
    for field in ["aggregate_type", "aggregate_id", "event_type"] {
        for text in
            [String::new(), "x".repeat(255), "x".repeat(256), "x".repeat(1024), "x".repeat(1025), "é".repeat(128)]
        {
            lines.push(with(field, json(text)));
        }
        lines.extend([
            with(field, "7".to_owned()),
            with(field, "null".to_owned()),
            with(field, r#""a\u0000""#.to_owned()),
        ]);
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for payload in [
        "null".to_owned(),
        "1e400".to_owned(),
        r#""\u0000""#.to_owned(),
        r#""\\u0000""#.to_owned(),
        r#""\ud83d\ude00""#.to_owned(),
        r#""\ud83d""#.to_owned(),
        r#"{"\u0000": 1}"#.to_owned(),
        nested(500),
        nested(501),
        format!("[{}]", json("[{".repeat(300))),
        json("x".repeat(1024 * 1024 - 2)),
        json("x".repeat(1024 * 1024 - 1)),
    ] {
        lines.push(with("payload", payload.clone()));
        lines.push(with("metadata", payload));
    }
    for (field, value) in
        [("expected_version", "-1"), ("expected_version", "\"x\""), ("event_id", "\"x\""), ("other", "1")]
    {
        lines.push(with(field, value.to_owned()));
    }
    lines.push(r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e"}"#.to_owned());
    lines.push("5".to_owned());
    let mut taken = 0;
    for line in &lines {
        let ours = NewEvent::from_json(line);
        let sql =
            sqlx::query("SELECT evenfold.append($1::text::json)").bind(format!("[{line}]")).execute(&mut conn).await;
        assert_eq!(sql.is_ok(), ours.is_ok(), "{}: {sql:?}, {ours:?}", line.chars().take(200).collect::<String>());
        taken += usize::from(ours.is_ok());
    }
    assert!(taken > 10 && taken < lines.len() - 10, "both are met: {taken} of {}", lines.len());
}

/// Each writer appends 40 times, by SQL or by the library, to one aggregate of its choice, and to two in one call.
#[tokio::test(flavor = "multi_thread")]
async fn writers_by_sql_and_by_the_library_at_once_lose_nothing_and_leave_no_gap() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let mut own = db.connect().await;
        writers.spawn(async move {
            for n in 0..40 {
                let (one, other) = if (writer + n) % 2 == 0 { ("a", "b") } else { ("b", "a") };
                if writer % 2 == 0 {
                    call(&mut own, &format!("'t', '{one}', 'e', '{{\"amount\": 1}}'")).await.unwrap();
                    let both = [one, other].map(|id| {
                        format!(r#"{{"aggregate_type":"t","aggregate_id":"{id}","event_type":"e","payload":{{"amount":1}}}}"#)
                    });
                    call(&mut own, &format!("'[{}]'", both.join(","))).await.unwrap();
                } else {
                    append_one(&mut own, one, 1).await;
                    log::append(&mut own, &[event(one, 1), event(other, 1)]).await.unwrap();
                }
            }
        });
    }
    let mut worker = only_worker(&mut conn, 7).await;
    let mut applied = 0;
    while let Some(done) = writers.join_next().await {
        done.unwrap();
        applied += drain(&mut worker, &mut conn).await;
    }
    applied += drain(&mut worker, &mut conn).await;
    assert_eq!(applied, 4 * 40 * 3);
    let gaps =
        "SELECT count(*) FROM (SELECT version, row_number() OVER (PARTITION BY aggregate_id ORDER BY position) AS n
        FROM evenfold.events) e WHERE version <> n";
    assert_eq!(scalar(&mut conn, gaps).await, 0, "versions are without gaps, and in the order of the positions");
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_who_was_first_is_waited_for_and_then_counts() {
    let db = TestDb::new().await;
    let (mut first, mut second, mut conn) = (db.connect().await, db.connect().await, db.connect().await);
    for (sql, expected) in [("'t', 'a', 'e', '1'", "appended [(2, "), ("'t', 'a', 'e', '1', 2", "XE001")] {
        let mut tx = first.begin().await.unwrap();
        log::append(&mut tx, &[event("a", 1)]).await.unwrap();
        let waits = tokio::spawn(async move { (code(&mut second, sql).await, second) });
        wait_until("the second to wait for the first", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 1).await;
        tx.commit().await.unwrap();
        let (outcome, again) = waits.await.unwrap();
        assert!(outcome.starts_with(expected), "{outcome}");
        second = again;
    }
}

/// Where the others' events can't be seen, trying again is of no use.
#[tokio::test(flavor = "multi_thread")]
async fn above_read_committed_a_lost_race_is_a_serialization_failure_at_once() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut tx = conn.begin().await.unwrap();
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM evenfold.events")
        .execute(&mut *tx)
        .await
        .unwrap();
    append_one(&mut db.connect().await, "a", 1).await;
    assert_eq!(code(&mut tx, "'t', 'a', 'e', '1'").await, "40001");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_notifies_when_it_commits_unless_it_is_not_to() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&db.url).await.unwrap();
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen_all(["evenfold_events", "end"]).await.unwrap();
    for (sql, expected) in [
        ("'t', 'a', 'e', '1'", 1),
        ("'t', 'a', 'e', '1', notify => false", 0),
        ("'t', 'a', 'e', '1', 99", 0),
        (r#"'[{"aggregate_type":"t","aggregate_id":"b","event_type":"e","payload":1}]'"#, 1),
        (r#"'[{"aggregate_type":"t","aggregate_id":"b","event_type":"e","payload":1}]', false"#, 0),
    ] {
        let _refused = call(&mut conn, sql).await;
        sqlx::raw_sql("SELECT pg_notify('end', '')").execute(&mut conn).await.unwrap();
        let mut notified = 0;
        while tokio::time::timeout(Duration::from_secs(30), listener.recv()).await.unwrap().unwrap().channel() != "end"
        {
            notified += 1;
        }
        assert_eq!(notified, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_of_another_schema_appends_to_the_log_of_that_schema() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let other = Schema::named("other").unwrap();
    schema::migrate(&other, &mut conn).await.unwrap();
    sqlx::raw_sql("SELECT other.append('t', 'a', 'e', '1'); SELECT other.append('[]')")
        .execute(&mut conn)
        .await
        .unwrap();
    let expected = event("a", 1).expecting(ExpectedVersion::Exactly(Version::new(1)));
    Log::in_schema(other).append(&mut conn, &[expected]).await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM other.events").await, 2);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_the_database_gives_are_in_the_order_of_time_whoever_appends() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let now = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let before = scalar(&mut conn, now).await;
    call(&mut conn, "'t', 'one', 'e', '1'").await.unwrap();
    let two = r#"{"aggregate_type": "t", "aggregate_id": "two", "event_type": "e", "payload": 2}"#;
    call(&mut conn, &format!("'[{two}, {two}]'")).await.unwrap();
    let plain = "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
                 SELECT n, 't', 'plain', 'e', '3' FROM generate_series(1, 1000) n";
    sqlx::raw_sql(plain).execute(&mut conn).await.unwrap();
    let after = scalar(&mut conn, now).await + 1;
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT event_id FROM evenfold.events ORDER BY position")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    assert_eq!(ids.len(), 1_003);
    let mut times = Vec::new();
    for id in &ids {
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122), "{id}");
        times.push(i64::try_from(id.as_u128() >> 80).unwrap());
    }
    assert!(times.is_sorted() && before <= times[0] && times[1_002] <= after, "{before} {times:?} {after}");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    // 74 bits of each are random: no bit of them is the same in all.
    let (all, any) = ids.iter().fold((u128::MAX, 0), |(all, any), id| (all & id.as_u128(), any | id.as_u128()));
    let random = (1_u128 << 80) - 1 - (0xf << 76) - (0b11 << 62);
    assert_eq!((all & random, any & random), (0, random));
}
