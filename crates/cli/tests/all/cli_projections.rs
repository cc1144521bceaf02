//! Projections in files of SQL: found in a directory, folded with the counters, and looked after by their names.

use crate::support::cli::{CliOutput, feed, finish, run_at};
use crate::support::{Evenfold, SOON, TestDb, advised, scalar, wait_until};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

const EVENTS: &str = r#"{"aggregate_type": "t", "aggregate_id": "a", "event_type": "added", "payload": {"amount": 5}}
{"aggregate_type": "t", "aggregate_id": "a", "event_type": "added", "payload": {"amount": 6}}
{"aggregate_type": "t", "aggregate_id": "bad", "event_type": "added", "payload": {"amount": "x"}}
"#;

const LARGEST: &str = "-- create
CREATE TABLE largest (id text PRIMARY KEY, amount bigint NOT NULL);
-- apply
INSERT INTO largest AS t SELECT aggregate_id, max((payload ->> 'amount')::bigint) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET amount = greatest(t.amount, excluded.amount);
";

/// Runs in a directory.
fn run_in(directory: &Path, db: &TestDb, args: &[&str]) -> CliOutput {
    let mut command = Evenfold::command(args);
    command.env("DATABASE_URL", &db.url).current_dir(directory);
    finish(command)
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("projections")).unwrap();
    for (name, text) in files {
        fs::write(directory.path().join("projections").join(name), text).unwrap();
    }
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_the_directory_is_folded_with_the_counters_and_looked_after_by_its_name() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    feed(&db, &["append"], EVENTS).fine();
    let files = directory(&[("largest.sql", LARGEST), ("notes.txt", "none")]);
    let here = |args: &[&str]| run_in(files.path(), &db, args);
    here(&["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", "--log=error"]).fine();
    assert_eq!(scalar(&mut conn, "SELECT amount FROM largest").await, 6);
    assert_eq!(scalar(&mut conn, "SELECT value FROM evenfold.counters WHERE aggregate_id = 'a'").await, 11);
    let status = here(&["status"]);
    let heads: Vec<&str> = status.fine().lines().filter(|line| line.contains("cover complete")).collect();
    assert_eq!(heads, ["counters: 1 partitions, cover complete", "largest: 1 partitions, cover complete"]);
    assert!(here(&["wait", "--aggregate", "t", "a"]).fine().contains("largest: all of t"));
    let parked = here(&["parked", "list", "--projection=largest"]);
    assert!(parked.fine().contains("invalid input syntax for type bigint"), "{parked:?}");
    // Corrected by hand, in the only way that leaves the log as it is: the event is dropped.
    here(&["parked", "retry", "t", "bad", "--projection=largest"]);
    here(&["parked", "drop", "t", "bad", "--projection=largest"]).fine();
    assert!(here(&["parked", "list", "--projection=largest"]).fine().contains("nothing is parked"));
    // The same, with more partitions in one process, and the directory named.
    feed(&db, &["append"], EVENTS.lines().next().unwrap().replace('5', "50")).fine();
    let named = files.path().join("projections");
    let named = named.to_str().unwrap();
    run_at(&db, &["pool", "--workers=3", "--takeover", "--until-caught-up", "--log=error", "--projections", named])
        .fine();
    assert_eq!(scalar(&mut conn, "SELECT amount FROM largest").await, 50);
    run_at(&db, &["pool", "--projection=largest"])
        .complains(2, "does not have the projection largest; it has: counters");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_ends_the_command_with_its_place_before_anything_is_done() {
    let db = TestDb::new().await;
    for (name, text, sentence) in [
        ("largest.sql", "-- event: a\n-- apply\nx", "projections/largest.sql:1:1: event: is no heading"),
        ("Largest.sql", LARGEST, "projections/Largest.sql can't be a projection: its name must be"),
        ("counters.sql", LARGEST, "this program has a projection counters already: rename the file counters.sql"),
    ] {
        let files = directory(&[(name, text)]);
        let refused = run_in(files.path(), &db, &["pool"]);
        assert!(refused.code == 2 && refused.err.contains(sentence), "{refused:?}");
    }
    run_at(&db, &["status", "--projections=/nowhere"]).complains(2, "the directory /nowhere can't be read");
    let text = format!("{}DELETE FROM evenfold.counters", &LARGEST[..LARGEST.find("INSERT").unwrap()]);
    let files = directory(&[("largest.sql", &text)]);
    let refused = run_in(files.path(), &db, &["pool", "--projection=largest", "--log=off"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("the projection largest can't be begun: projections/largest.sql:4:"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_can_be_folded_as_it_is_and_replaces_none() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    feed(&db, &["append"], EVENTS).fine();
    let empty = tempfile::tempdir().unwrap();
    let here = |args: &[&str]| run_in(empty.path(), &db, args);
    assert!(here(&["projection", "new", "by_type"]).fine().starts_with("projections/by_type.sql is written"));
    here(&["projection", "new", "by_type"]).complains(2, "is there already");
    here(&["projection", "new", "By-Type"]).complains(2, "its name must be 1 to 48 of the characters");
    here(&["pool", "--projection=by_type", "--until-caught-up", "--log=error"]).fine();
    assert_eq!(scalar(&mut conn, "SELECT sum(events)::bigint FROM by_type").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_is_about_the_counters_and_every_file_and_ends_with_1_where_one_differs() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    feed(&db, &["append"], EVENTS).fine();
    let files = directory(&[("largest.sql", LARGEST)]);
    let here = |args: &[&str]| run_in(files.path(), &db, args);
    let verify = here(&["verify"]);
    assert!(
        verify.fine().contains("largest\nNothing is verified: none of the 3 events in the log is applied."),
        "{verify:?}"
    );
    here(&["pool", "--workers=2", "--until-caught-up", "--log=error"]).fine();
    let verify = here(&["verify"]);
    let lines: Vec<&str> = verify.fine().lines().collect();
    assert_eq!(
        lines[..3],
        ["counters", "Recomputed by one SQL query over the whole log: all 1 counters agree", "(2 events)."]
    );
    assert!(lines[4].is_empty() && lines[5] == "largest", "{verify:?}");
    assert!(
        lines[6].starts_with("The whole log was folded again, in ")
            && lines[6].ends_with(" s and one snapshot: 2 events."),
        "{verify:?}"
    );
    assert_eq!(lines[7], "largest: all 1 rows agree.");
    let parked =
        ["1 aggregates are parked, and count on neither side:", "`evenfold parked list --projection largest`."];
    assert_eq!(lines[8..], parked);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{verify:?}");

    sqlx::raw_sql("UPDATE largest SET amount = 7").execute(&mut conn).await.unwrap();
    let verify = here(&["verify"]);
    assert_eq!(verify.code, 1, "{verify:?}");
    assert!(verify.out.contains("all 1 counters agree"), "{verify:?}");
    assert!(
        verify.out.ends_with(
            "largest: 1 rows that the log makes are missing, 1 are there that it does not make
  the log has {\"id\":\"a\",\"amount\":6}
  the read model has {\"id\":\"a\",\"amount\":7}
"
        ),
        "{verify:?}"
    );
    assert!(verify.err.contains("of 2 projections these are not verified: largest"), "{verify:?}");
    let json = here(&["verify", "--projection=largest", "--json", "--limit=1"]);
    let row: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let expected = serde_json::json!({"projection": "largest", "table": "largest", "side": "log", "times": 1,
        "row": {"id": "a", "amount": 6}});
    assert_eq!((json.code, row), (1, expected), "{json:?}");
    here(&["verify", "--projection=nobody"]).complains(2, "does not have the projection nobody");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'evenfold\\_%'").await, 0);
}

/// The same with a column more.
const LARGEST_OF: &str = "-- create
CREATE TABLE largest (id text PRIMARY KEY, amount bigint NOT NULL, of bigint NOT NULL);
-- apply
INSERT INTO largest AS t SELECT aggregate_id, max((payload ->> 'amount')::bigint), count(*) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET amount = greatest(t.amount, excluded.amount), of = t.of + excluded.of;
";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_is_rebuilt_without_a_stop_and_workers_of_the_old_one_end_with_that_advice() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    feed(&db, &["append"], EVENTS).fine();
    let files = directory(&[("largest.sql", LARGEST)]);
    let here = |args: &[&str]| run_in(files.path(), &db, args);
    assert_eq!(
        here(&["rebuild", "--projection=largest"]).fine(),
        "there is nothing to rebuild: no worker of largest has run\n"
    );
    let pool = ["pool", "--workers=2", "--until-caught-up", "--log=error"];
    here(&pool).fine();
    sqlx::raw_sql("UPDATE largest SET amount = 7").execute(&mut conn).await.unwrap();
    let complaint = here(&["verify", "--projection=largest"]).err;
    let advice = advised(&complaint);
    let rebuilt = here(&advice.iter().map(String::as_str).collect::<Vec<_>>());
    let head = "folded 2 events; the rebuilt largest is in use:\n";
    assert_eq!(rebuilt.fine(), format!("{head}1 rows that were others were written\n"));
    here(&["verify"]).fine();

    let mut worker = Evenfold::command(&[
        "worker",
        "--partition-key=0",
        "--total-partitions=2",
        "--projection=largest",
        "--log=off",
    ]);
    worker.env("DATABASE_URL", &db.url).current_dir(files.path());
    let worker = std::thread::spawn(move || finish(worker));
    wait_until("it is at work", SOON, async || {
        scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats WHERE projection = 'largest'").await == 1
    })
    .await;
    fs::write(files.path().join("projections/largest.sql"), LARGEST_OF).unwrap();
    let refused = here(&pool);
    assert!(refused.code == 1 && refused.err.contains("`evenfold rebuild --projection largest`"), "{refused:?}");
    let rebuilt = here(&["rebuild", "--projection=largest", "--workers=3", "--keep-old"]);
    let kept =
        "the new largest; what was there before is kept until you drop it:\nDROP SCHEMA evenfold_old_largest CASCADE\n";
    assert_eq!(rebuilt.fine(), format!("{head}{kept}"));
    assert!(rebuilt.out.lines().all(|line| line.chars().count() <= 80), "{rebuilt:?}");
    let ended = worker.join().unwrap();
    assert!(ended.code == 1 && ended.err.contains("is defined by"), "{ended:?}");
    here(&pool).fine();
    here(&["verify"]).fine();
    assert_eq!(scalar(&mut conn, "SELECT of FROM largest").await, 2);
    here(&["rebuild", "--workers=2"]).complains(2, "the counters are rebuilt by one worker");
    here(&["rebuild"]).fine();
}

/// At any moment: while it folds, while it switches over, after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_again_and_again_goes_on_each_time_and_ends_with_the_right_rows() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let line = |n: u32| {
        format!(
            "{{\"aggregate_type\":\"t\",\"aggregate_id\":\"a{n}\",\"event_type\":\"added\",\"payload\":{{\"amount\":{n}}}}}\n"
        )
    };
    feed(&db, &["append"], (0..3_000).map(line).collect::<String>()).fine();
    let files = directory(&[("largest.sql", LARGEST)]);
    let here = |args: &[&str]| run_in(files.path(), &db, args);
    here(&["pool", "--workers=2", "--until-caught-up", "--log=error", "--projection=largest"]).fine();
    fs::write(files.path().join("projections/largest.sql"), LARGEST_OF).unwrap();
    let folded = "SELECT coalesce((SELECT (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM evenfold_rebuild_largest.largest',
        false, true, '')))[1]::text::bigint WHERE to_regclass('evenfold_rebuild_largest.largest') IS NOT NULL), 0)";
    let mut before = 0;
    for more in [1, 500, 700, 900] {
        let mut command =
            Evenfold::command(&["rebuild", "--projection=largest", "--workers=2", "--batch-size=20", "--log=error"]);
        command.env("DATABASE_URL", &db.url).current_dir(files.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("it goes on", SOON, async || scalar(&mut conn, folded).await >= before + more).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let now = scalar(&mut conn, folded).await;
        assert!(now >= before + more && now < 3_000, "{now} after {before}");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM largest").await, 3_000, "what is in use is as it was");
        before = now;
    }
    let rebuilt = here(&["rebuild", "--projection=largest"]);
    let applied: i64 = rebuilt.fine().split(' ').nth(1).unwrap().replace(',', "").parse().unwrap();
    // The last commit of a worker that is killed may come after the count.
    assert!(applied > 0 && applied <= 3_000 - before, "{applied} of 3000, {before} before");
    assert_eq!(scalar(&mut conn, "SELECT sum(of)::bigint FROM largest").await, 3_000);
    here(&["verify", "--projection=largest"]).fine();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'evenfold\\_%'").await, 0);
}
