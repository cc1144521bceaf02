//! `counters`: the read model for people and for machines.

use crate::support::cli::{CliOutput, apply_all, run_at};
use crate::support::{Evenfold, TestDb, append_one};
use evenfold::event::NewEvent;
use evenfold::log;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

async fn append(conn: &mut PgConnection, aggregate_type: &str, aggregate_id: &str, amount: i64) {
    let event = NewEvent::new(aggregate_type, aggregate_id, "e", &json!({ "amount": amount })).unwrap();
    log::append(conn, &[event]).await.unwrap();
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_counters_it_says_what_to_do_next() {
    let db = TestDb::new().await;
    let expected = "no counters yet: append events, and run a worker for each partition\n";
    assert_eq!(run_at(&db, &["counters"]).fine(), expected);
    assert_eq!(run_at(&db, &["counters", "--json"]).fine(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_values_come_first_and_top_says_how_many() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 0..30 {
        append(&mut conn, "order", &format!("o{n:02}"), n * 1000).await;
    }
    append(&mut conn, "order", "o29", -7).await;
    apply_all(&db).fine();

    let output = run_at(&db, &["counters", "--top=2"]);
    let lines: Vec<_> = output.fine().lines().map(words).collect();
    assert_eq!(lines[0], ["type", "id", "events", "value", "version", "position"]);
    assert_eq!(lines[1], ["order", "o29", "2", "28,993", "2", "31"]);
    assert_eq!(lines[2], ["order", "o28", "1", "28,000", "1", "29"]);
    assert_eq!(lines.len(), 3);
    assert_eq!(run_at(&db, &["counters"]).fine().lines().count(), 21, "twenty by default");
    assert_eq!(run_at(&db, &["counters", "--top", "100"]).fine().lines().count(), 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_gives_its_counter_of_each_type() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for (aggregate_type, id, amount) in [("order", "7", 5), ("invoice", "7", 6), ("order", "-8", -9)] {
        append(&mut conn, aggregate_type, id, amount).await;
    }
    apply_all(&db).fine();
    let output = run_at(&db, &["counters", "7"]);
    let lines: Vec<_> = output.fine().lines().skip(1).map(words).collect();
    assert_eq!(lines, [["invoice", "7", "1", "6", "1", "2"], ["order", "7", "1", "5", "1", "1"]]);
    assert_eq!(words(run_at(&db, &["counters", "-8"]).fine().lines().last().unwrap())[3], "-9");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_is_an_error_for_people_and_for_machines() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    apply_all(&db).fine();
    for args in [&["counters", "b"][..], &["counters", "b", "--json"]] {
        run_at(&db, args).complains(1, "no counter has the id b");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_one_object_per_line() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a \"quoted\" one", 5).await;
    append_one(&mut conn, "größe", i64::MAX).await;
    apply_all(&db).fine();
    let output = run_at(&db, &["counters", "--json"]);
    let objects: Vec<Value> = output.fine().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |id: &str, value: i64, position: i64| {
        json!({ "aggregate_type": "t", "aggregate_id": id, "events": 1, "value": value, "version": 1,
            "last_position": position })
    };
    assert_eq!(objects, [row("größe", i64::MAX, 2), row("a \"quoted\" one", 5, 1)]);
    let one = run_at(&db, &["counters", "größe", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(one.fine()).unwrap(), objects[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let db = TestDb::new().await;
    // More than a pipe holds.
    sqlx::raw_sql("INSERT INTO evenfold.counters SELECT 't', 'a' || n, 1, n, 1, n FROM generate_series(1, 5000) n")
        .execute(&mut db.connect().await)
        .await
        .unwrap();
    for args in [&["counters", "--log=warn", "--json", "--top=5000"][..], &["counters", "--log=warn", "--top=5000"]] {
        let mut command = Evenfold::command(args);
        command.env("DATABASE_URL", &db.url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("a5000") || first.starts_with("type"), "{first}");
        let mut complaint = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
    }
}

/// Only Linux has a device that is always full.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_can_not_be_written_is_an_error() {
    let db = TestDb::new().await;
    let mut command = Evenfold::command(&["counters"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    command.env("DATABASE_URL", &db.url).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
    let output: CliOutput = command.spawn().unwrap().wait_with_output().unwrap().into();
    output.complains(1, "can't write to standard output: No space left on device");
}
