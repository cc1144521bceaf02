//! What a worker logs: its partition, one line per batch, each event at debug level, and at the end how much it was.

use crate::support::cli::{apply_all, run, run_at};
use crate::support::{Evenfold, SOON, TestDb, append_one, counter, event, scalar, wait_until};
use evenfold::log;
use nix::sys::signal::Signal;

const ONE: [&str; 2] = ["--partition-key=0", "--total-partitions=1"];

/// The lines that report a batch.
fn batches(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(" INFO applied ")).collect()
}

/// The number behind a name, as in `events=3`.
pub fn field(line: &str, name: &str) -> i64 {
    let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_is_one_line_with_its_events_and_position_and_the_end_sums_them_up() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 1..=7 {
        append_one(&mut conn, "a", n).await;
    }
    let output = run_at(&db, &[&ONE[..], &["--until-caught-up", "--batch-size=3"]].concat());
    assert_eq!(output.fine(), "", "results only on standard output");
    let lines = batches(&output.err);
    let batches: Vec<_> =
        lines.iter().map(|line| ["events", "position", "applied_total"].map(|name| field(line, name))).collect();
    assert_eq!(batches, [[3, 3, 3], [3, 6, 6], [1, 7, 7]], "{output:#?}");
    assert!(output.err.lines().skip(1).all(|line| line.contains("partition=0/1")), "{output:#?}");

    let (first, last) = (output.err.lines().nth(1).unwrap(), output.err.lines().last().unwrap());
    assert!(first.contains("started partition=0/1 total=1 batch_size=3"), "{first}");
    assert!(last.contains("stopped partition=0/1"), "{last}");
    let sums = ["applied", "parked", "batches", "position"].map(|name| field(last, name));
    assert_eq!(sums, [7, 0, 3, 7], "{last}");
    assert!(!output.err.contains("DEBUG"), "no event without being asked: {output:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_the_end_is_one_object_on_standard_output() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 1..=7 {
        append_one(&mut conn, "a", n).await;
    }
    let output = run_at(&db, &[&ONE[..], &["--until-caught-up", "--batch-size=3", "--json"]].concat());
    let (line, rest) = output.fine().split_once('\n').unwrap();
    assert_eq!(rest, "");
    let summary: serde_json::Value = serde_json::from_str(line).unwrap();
    let numbers = ["received", "applied", "parked", "batches", "position"].map(|name| summary[name].as_i64().unwrap());
    assert_eq!(numbers, [7, 7, 0, 3, 7], "{summary}");
    assert!(summary["elapsed_ms"].is_u64(), "{summary}");
    if cfg!(target_os = "linux") {
        let mib = summary["peak_rss_bytes"].as_u64().unwrap() / 1_048_576;
        assert!((2..1000).contains(&mib), "{summary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reports_no_lag_that_was_counted_before_it() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    // The first heartbeat counts these, and no other one for two seconds.
    for n in 1..=20 {
        append_one(&mut conn, "a", n).await;
    }
    let args = ["--heartbeat-interval-ms=2000", "--batch-size=2"];
    let mut worker = Evenfold::spawn(&[&ONE[..], &args, &["--database-url", &db.url]].concat());
    wait_until("a heartbeat", SOON, async || scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats").await == 1)
        .await;
    wait_until("the events", SOON, async || batches(&worker.log()).len() >= 10).await;
    append_one(&mut conn, "a", 1).await;
    wait_until("one more", SOON, async || batches(&worker.log()).len() >= 11).await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0);
    let log = worker.log();
    let line = batches(&log)[10];
    assert_eq!((field(line, "events"), field(line, "applied_total")), (1, 21));
    assert!(!log.contains("behind=") && !log.contains("oldest="), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_applied_nothing_reports_no_position() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    apply_all(&db).fine();
    let output = run_at(&db, &[&ONE[..], &["--until-caught-up", "--json"]].concat());
    let done: serde_json::Value = serde_json::from_str(output.fine()).unwrap();
    assert_eq!((&done["applied"], &done["position"]), (&0.into(), &serde_json::Value::Null), "{done}");
    let last = output.err.lines().last().unwrap();
    assert!(last.contains("stopped") && !last.contains("position="), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_debug_level_each_event_is_a_line() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    log::append(&mut conn, &[event("a", 1), event("b", 2), event("a", 3)]).await.unwrap();
    for (level, expected) in [("--log=debug", 3), ("--log=evenfold=debug,warn", 3), ("--log=info", 0)] {
        sqlx::raw_sql("DELETE FROM evenfold.projections; DELETE FROM evenfold.counters")
            .execute(&mut conn)
            .await
            .unwrap();
        let output = run_at(&db, &[&ONE[..], &["--until-caught-up", level]].concat());
        output.fine();
        let events: Vec<&str> = output.err.lines().filter(|line| line.contains("DEBUG applied ")).collect();
        assert_eq!(events.len(), expected, "{level}: {output:#?}");
        for (line, position) in events.iter().zip(1..) {
            let (id, version): (String, i64) =
                sqlx::query_as("SELECT aggregate_id, version FROM evenfold.events WHERE position = $1")
                    .bind(position)
                    .fetch_one(&mut conn)
                    .await
                    .unwrap();
            let expected = format!("position={position} aggregate_type=\"t\" aggregate_id=\"{id}\" version={version}");
            assert!(line.contains(&expected) && line.contains("event_type=\"added\""), "{expected}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_can_be_silenced_and_is_silent_for_commands_that_print() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    let output = run_at(&db, &[&ONE[..], &["--until-caught-up", "--log=warn"]].concat());
    assert_eq!((output.fine(), output.err.as_str()), ("", ""));
    let output = run_at(&db, &["counters"]);
    output.fine();
    let (line, rest) = output.err.split_once('\n').unwrap();
    assert!(line.starts_with("database: ") && rest.is_empty(), "nothing but which database it is: {output:?}");
    let output = run_at(&db, &["counters", "--log=warn"]);
    assert_eq!((output.fine().is_empty(), output.err.as_str()), (false, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_event_is_a_warning_with_its_reason() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    sqlx::raw_sql(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         VALUES (1, 't', 'a', 'added', '{\"amount\": \"five\"}')",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let output = apply_all(&db);
    output.fine();
    let warning = output.err.lines().find(|line| line.contains(" WARN parked ")).unwrap();
    assert!(warning.contains("aggregate_id=\"a\"") && warning.contains("the amount is a string"), "{warning}");
    assert_eq!(field(output.err.lines().last().unwrap(), "parked"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_by_variables_apply_all_of_it_between_them() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 0..20 {
        append_one(&mut conn, &format!("a{n}"), 1).await;
    }
    let mut applied = 0;
    for key in ["0", "1", "2", "3"] {
        let mut command = Evenfold::command(&["--until-caught-up"]);
        command.env("DATABASE_URL", &db.url).env("PARTITION_KEY", key);
        let output = crate::support::cli::finish(command);
        output.fine();
        assert!(output.err.contains(&format!("partition={key}/4")), "{output:#?}");
        let share = field(output.err.lines().last().unwrap(), "applied");
        assert!(share > 0 && share < 20, "{output:#?}");
        applied += share;
    }
    assert_eq!(applied, 20);
    assert_eq!(counter(&mut conn, "a19").await, Some((1, 1)));
}

#[test]
fn a_worker_that_can_not_start_says_so_after_its_first_line_and_ends() {
    let output = run(&["--partition-key=0", "--database-url=postgres://user@127.0.0.1:1/x"]);
    output.complains(1, "no PostgreSQL answers at 127.0.0.1:1");
    assert!(output.err.lines().count() <= 2, "{output:#?}");
}
