//! What `status` says in words, and `status --check` by its exit code.

use crate::support::cli::{CliOutput, run_at};
use crate::support::{Evenfold, SOON, Stepped, TestDb, append_one, event, ids_in, partition, scalar, wait_until};
use evenfold::event::NewEvent;
use evenfold::log;
use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::PgConnection;

async fn sql(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

fn status(db: &TestDb) -> String {
    let shown = run_at(db, &["status"]).fine().to_owned();
    let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 80, "{widest} columns:\n{shown}");
    shown
}

/// The reasons, which are lines on standard error; none with exit code 0.
fn check(db: &TestDb, limits: &[&str]) -> Vec<String> {
    let output: CliOutput = run_at(db, &[&["status", "--check"], limits].concat());
    let reasons: Vec<String> =
        output.err.lines().filter(|line| line.starts_with("evenfold: ")).map(str::to_owned).collect();
    assert_eq!(output.code, i32::from(!reasons.is_empty()), "{output:#?}");
    assert_eq!(output.out.is_empty(), !reasons.is_empty(), "one line, if all is well: {output:#?}");
    reasons
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_folds_is_reported_in_words() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 0..100 {
        append_one(&mut conn, &format!("a{n}"), 1).await;
    }
    let output = status(&db);
    assert!(output.contains("has not been begun: start a worker\n0 of 100 events are applied."), "{output}");
    let mut team = Stepped::team(&db, 2, 1_000).await;
    let applied = team[0].drain().await;
    drop(team);
    sql(&mut conn, "DELETE FROM evenfold.heartbeats").await;
    let output = status(&db);
    assert!(output.contains(&format!("\n{applied} of 100 events are applied; no worker is at work.\n")), "{output}");
    assert!(output.contains("\ntotal: 0 of 2 classes with a worker, "), "{output}");
    let line = "no worker is at work on 2 of 2 classes (";
    assert!(output.lines().any(|l| l.starts_with(line)), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_dead_when_neither_its_heartbeat_nor_its_checkpoint_has_moved() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut team = Stepped::team(&db, 2, 10).await;
    append_one(&mut conn, &ids_in(partition(0, 2), 1)[0], 1).await;
    team[0].drain().await;
    assert!(!status(&db).contains("no worker"), "both have a heartbeat, and one has never had anything to write");
    sql(&mut conn, "UPDATE evenfold.heartbeats SET beat_at = beat_at - interval '40 s'").await;
    let output = status(&db);
    assert!(output.contains("total: 1 of 2 classes with a worker, "), "{output}");
    assert!(output.contains(" s from test:1, but its checkpoint moved "), "{output}");
    assert!(output.contains("1/2: no heartbeat for 4"), "{output}");
    sql(&mut conn, "UPDATE evenfold.checkpoints SET moved_at = moved_at - interval '50 s'").await;
    let output = status(&db);
    assert!(output.contains("1 of 1 events are applied; no worker is at work."), "{output}");
    let output = output.replace("\n  ", " ");
    let both = "no worker is at work on 2 of 2 classes (0/2, 1/2): no heartbeat for 4";
    assert!(output.contains(both) && output.contains(" s from test:1; its checkpoint has not moved for 5"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_into_80_columns_whatever_the_hosts_are_called_and_the_reasons_say() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    drop(Stepped::team(&db, 16, 10).await);
    sql(&mut conn, "SELECT setval('evenfold.events_position_seq', 123456789)").await;
    append_one(&mut conn, "a", 1).await;
    sql(
        &mut conn,
        "UPDATE evenfold.heartbeats SET process = repeat('host-', 12) || ':123456', state = 'retrying: ' || partition_key || repeat(' word', 60),
             per_second = 123456, beat_at = now() - interval '4 s';
         UPDATE evenfold.checkpoints SET floor = 123456789",
    )
    .await;
    let output = status(&db);
    assert!(output.contains("…") && output.contains(":123456\n"), "the end of the process is shown: {output}");
    assert!(output.contains("… and 9 more: status --check names all"), "{output}");
    assert_eq!(check(&db, &[]).len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_classes_come_first_and_the_totals_count_all_of_them() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut team = Stepped::team(&db, 6, 10).await;
    for (key, events) in [(1, 2), (2, 5), (4, 1)] {
        for _ in 0..events {
            append_one(&mut conn, &ids_in(partition(key, 6), 1)[0], 1).await;
        }
    }
    let bad = NewEvent::new("t", &ids_in(partition(3, 6), 1)[0], "added", &json!({ "amount": "x" })).unwrap();
    log::append(&mut conn, &[bad]).await.unwrap();
    team[3].drain().await;
    // One is dead, and what it did last is no rate of now.
    sql(
        &mut conn,
        "UPDATE evenfold.heartbeats SET per_second = 1000;
         UPDATE evenfold.heartbeats SET beat_at = beat_at - interval '40 s' WHERE partition_key = 5;
         UPDATE evenfold.checkpoints SET moved_at = moved_at - interval '50 s' WHERE residue = 5;
         ALTER TABLE evenfold.events DISABLE TRIGGER events_append_only;
         UPDATE evenfold.events SET recorded_at = now() - interval '90.2 s' WHERE position <= 2;
         UPDATE evenfold.events SET recorded_at = now() - interval '60.2 s' WHERE position > 2;
         ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only",
    )
    .await;
    let output = status(&db);
    let rows: Vec<&str> = output.lines().filter_map(|line| line.split_once("/6  ")).map(|(class, _)| class).collect();
    // Dead, parked, the oldest event, most events, fewest, none.
    assert_eq!(rows, ["5", "3", "1", "2", "4", "0"], "{output}");
    let total = "total: 5 of 6 classes with a worker, 8 behind, oldest 9";
    assert!(output.contains(total) && output.contains(" s, 1 parked, 5,000/s\n"), "{output}");
    assert!(output.contains("1 aggregate is parked, of 3/6: `evenfold parked list` says why\n"), "{output}");
    assert!(output.contains("5/6: no heartbeat for 4"), "{output}");
    assert_eq!(output.matches("1000/s").count(), 5, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_partitions_that_waits_is_shown() {
    let db = TestDb::new().await;
    drop(Stepped::start(&db, 0, 2, 10).await);
    drop(Stepped::start(&db, 0, 3, 10).await);
    let mut waits =
        Evenfold::spawn(&["worker", "--partition-key=1", "--total-partitions=2", "--database-url", &db.url]);
    wait_until("the status to say so", SOON, async || {
        status(&db).contains("waiting, to take over again: 1 worker(s) of 2 partitions")
    })
    .await;
    waits.signal(Signal::SIGTERM);
    assert_eq!(waits.wait(), 0, "{}", waits.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_fails_without_a_worker_and_with_parked_aggregates_and_passes_otherwise() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let [reason] = &check(&db, &[])[..] else { panic!("one reason") };
    assert!(reason.contains("the projection counters has not been begun"), "{reason}");
    let args = ["worker", "--partition-key=0", "--total-partitions=1", "--database-url", &db.url];
    let mut worker = Evenfold::spawn(&args);
    wait_until("a worker", SOON, async || run_at(&db, &["status", "--check"]).code == 0).await;
    let limits = ["--max-lag=0", "--max-lag-seconds=1"];
    assert_eq!(check(&db, &limits), [""; 0], "nothing is behind");
    let bad = NewEvent::new("t", "a", "added", &json!({ "amount": "x" })).unwrap();
    log::append(&mut conn, &[bad, event("b", 1)]).await.unwrap();
    wait_until("it to be parked", SOON, async || {
        scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await == 1
    })
    .await;
    let [reason] = &check(&db, &[])[..] else { panic!("one reason") };
    assert!(reason.contains("class 0/1: 1 parked aggregates; `evenfold parked list` says why"), "{reason}");
    assert!(run_at(&db, &["parked", "list"]).fine().contains('a'), "the advice works");
    run_at(&db, &["parked", "drop", "t", "a"]).fine();
    assert_eq!(check(&db, &limits), [""; 0]);

    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0);
    let [reason] = &check(&db, &limits)[..] else { panic!("one reason") };
    assert!(reason.starts_with("evenfold: class 0/1: no worker; its checkpoint has not moved for "), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_fails_for_a_class_that_is_too_far_behind_by_events_or_by_time() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    // It has a heartbeat, and does nothing: as if its fold were hanging.
    let _hangs = Stepped::start(&db, 0, 1, 10).await;
    for _ in 0..3 {
        append_one(&mut conn, "a", 1).await;
    }
    sql(
        &mut conn,
        "ALTER TABLE evenfold.events DISABLE TRIGGER events_append_only;
         UPDATE evenfold.events SET recorded_at = recorded_at - interval '60 s';
         ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only",
    )
    .await;
    assert_eq!(check(&db, &["--max-lag=3", "--max-lag-seconds=100"]), [""; 0]);
    let reasons = check(&db, &["--max-lag=2", "--max-lag-seconds=50"]);
    let [events, seconds] = &reasons[..] else { panic!("two reasons: {reasons:?}") };
    assert!(events.contains("class 0/1: 3 events behind, more than 2"), "{events}");
    assert!(seconds.contains("class 0/1: the oldest of 3 events behind is 6") && seconds.ends_with("more than 50 s"));
}
