//! `evenfold wait`: until what was written can be read.

use crate::support::cli::{apply_all, feed, run_at};
use crate::support::{Evenfold, SOON, TestDb, append_one, counter, insert, scalar, wait_until};
use nix::sys::signal::Signal;
use sqlx::Connection;

const EVENT: &str = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{"amount":2}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_can_be_read_after_the_wait_while_a_worker_runs() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = Evenfold::spawn(&["pool", "--workers=2", "--database-url", &db.url]);
    for round in 1..=3 {
        feed(&db, &["append"], EVENT).fine();
        // Also the first time, when the workers have not begun the projection yet.
        let waited = run_at(&db, &["wait", "--timeout-ms=30000"]);
        let expected =
            "counters: everything that was visible in the log is applied, as far as the projection wants it, after ";
        assert!(waited.fine().starts_with(expected), "{waited:#?}");
        assert_eq!(counter(&mut conn, "a").await, Some((2 * round, round)));
    }
    let position = append_one(&mut conn, "b", 1).await.position.to_string();
    let targets: [&[&str]; 3] = [
        &["--aggregate", "t", "b"],
        &["--aggregate", "t", "b", "--version=1"],
        &["--position", &position, "--position=1"],
    ];
    for target in targets {
        let waited = run_at(&db, &[&["wait", "--projection=counters", "--json"], target].concat());
        let json: serde_json::Value = serde_json::from_str(waited.fine()).unwrap();
        assert_eq!((&json["applied"], &json["projection"]), (&true.into(), &"counters".into()), "{json}");
    }
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_applied_is_one_sentence_with_how_far_it_is_and_that_nobody_works_on_it() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    let now = "--timeout-ms=0";
    run_at(&db, &["wait", now]).complains(1, "the projection counters has not been begun: start a worker");
    run_at(&db, &["wait", now, "--projection=revenue"]).complains(1, "the projection revenue has not been begun");
    apply_all(&db).fine();
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "b", 1).await;
    let behind = "no worker is at work on partition 0 of 1, which is 2 events behind (no worker;";
    run_at(&db, &["wait", "--timeout-ms=50"]).complains(1, behind);
    run_at(&db, &["wait", "--timeout-ms=50"])
        .complains(1, "the projection counters has not applied the events after 50.0ms");
    run_at(&db, &["wait", now, "--aggregate", "t", "b"]).complains(1, behind);
    run_at(&db, &["wait", now, "--aggregate", "t", "c"]).complains(1, "t/c has no event that is visible");
    run_at(&db, &["wait", now, "--position=9"]).complains(1, "no event at position 9 is visible");
    let json = run_at(&db, &["wait", now, "--json"]);
    let printed: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &printed["applied"]), (1, &false.into()), "{json:#?}");
    assert!(printed["reason"].as_str().unwrap().contains(behind), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_event_and_one_that_is_not_committed_end_the_wait_at_once() {
    let db = TestDb::new().await;
    let (mut conn, mut writer) = (db.connect().await, db.connect().await);
    let wrong = insert(&mut conn, "a", 1, r#"{"amount": "much"}"#).await.unwrap();
    apply_all(&db);
    for target in [vec!["--aggregate", "t", "a"], vec![]] {
        let args = [vec!["wait", "--timeout-ms=3600000"], target].concat();
        run_at(&db, &args).complains(1, &format!("the projection counters has parked t/a at position {wrong} ("));
    }
    let mut open = writer.begin().await.unwrap();
    let position = append_one(&mut open, "b", 1).await.position.to_string();
    run_at(&db, &["wait", "--timeout-ms=3600000", "--position", &position]).complains(1, "not committed yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_interrupted_ends_and_leaves_nothing_behind() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut waiting = Evenfold::spawn(&["wait", "--timeout-ms=3600000", "--database-url", &db.url]);
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%definition%'
                    AND pid <> pg_backend_pid()";
    wait_until("it looks", SOON, async || scalar(&mut conn, sessions).await == 1).await;
    waiting.signal(Signal::SIGINT);
    assert_ne!(waiting.wait(), 0);
    wait_until("its session has ended", SOON, async || scalar(&mut conn, sessions).await == 0).await;
}

#[test]
fn a_version_without_an_aggregate_and_half_an_aggregate_are_refused() {
    use crate::support::cli::run;
    run(&["wait", "--version=1"]).complains(2, "--aggregate <TYPE> <ID>");
    run(&["wait", "--aggregate", "order"]).complains(2, "2 values");
    run(&["wait", "--position=0"]).complains(2, "it must be a whole number from 1 to");
    run(&["wait", "--timeout-ms=x"]).complains(2, "it must be a whole number from 0 to 3600000");
}
