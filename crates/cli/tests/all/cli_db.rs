//! `db`: evenfold's own server for people who want psql or sqlx against it.

use crate::support::cli::{CliOutput, DataDir, finish};
use crate::support::{Evenfold, SOON, TestDb, append_one, scalar, wait_until};
use evenfold::database::Database;
use evenfold::schema::{self, Schema};
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::Command;

/// The URL that a command printed, alone on its line.
fn url(output: &CliOutput) -> String {
    assert_eq!(output.code, 0, "{output:?}");
    let url = output.out.strip_suffix('\n').unwrap();
    assert!(url.starts_with("postgres://") && !url.contains(char::is_whitespace), "{output:?}");
    url.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_server_stays_can_be_connected_to_and_is_stopped() {
    let dir = DataDir::new();
    let start = url(&dir.run(&["db", "start"]));
    assert_eq!(url(&dir.run(&["db", "start"])), start, "started twice is started");
    let found = dir.run(&["db", "url"]);
    assert_eq!(url(&found), start);
    assert_eq!(found.fine(), format!("{start}\n"));

    let database = Database::at(&start).unwrap();
    let mut conn = database.connect().await.unwrap();
    schema::check(&Schema::default(), &mut conn).await.expect("it is migrated");
    let psql = std::env::var_os("EVENFOLD_PG_BIN").map_or("psql".into(), |dir| Path::new(&dir).join("psql"));
    let rows = Command::new(psql).args([&start, "-XAtc", "SELECT count(*) FROM evenfold.events"]).output().unwrap();
    assert_eq!(CliOutput::from(rows).fine(), "0\n");
    dir.run(&["counters"]).fine();
    conn = database.connect().await.expect("a command that ends leaves it running");
    drop(conn);

    assert_eq!(dir.run(&["db", "stop"]).fine(), "");
    assert!(database.connect().await.is_err());
    let stopped = dir.run(&["db", "stop"]);
    assert_eq!((stopped.code, stopped.err.as_str()), (0, "evenfold: the server was not running\n"));
    let not_running = dir.run(&["db", "url"]);
    assert_eq!(url(&not_running), start);
    assert_eq!(not_running.err, "evenfold: the server is not running: start it with `evenfold db start`\n");
}

#[test]
fn a_server_that_never_was_is_not_running() {
    let dir = DataDir::new();
    let output = dir.run(&["db", "stop"]);
    assert_eq!((output.code, output.out.as_str()), (0, ""));
    assert!(output.err.contains("the server was not running"), "{output:?}");
    assert!(!dir.path().exists(), "and nothing is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_url_share_one_server_which_is_not_stopped_under_them() {
    let dir = DataDir::new();
    let data_dir = dir.path().to_str().unwrap().to_owned();
    let line = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{"amount":3}}"#;
    let mut worker = Evenfold::spawn(&["--partition-key=0", "--total-partitions=1", "--data-dir", &data_dir]);
    wait_until("the worker", SOON, async || worker.log().contains("started")).await;

    dir.run(&["db", "stop"]).complains(1, "in use by other evenfold processes: stop them first");
    let appended: CliOutput = Evenfold::run(&["append", "--data-dir", &data_dir], line).into();
    assert_eq!(appended.fine(), "appended 1 events\n");
    wait_until("the counter", SOON, async || {
        let output = dir.run(&["counters", "a", "--json"]);
        output.code == 0 && output.out.contains(r#""value":3"#)
    })
    .await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0, "{}", worker.log());
    let last = dir.run(&["db", "stop"]);
    assert!(last.err.contains("was not running"), "the last one out has stopped it: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_removes_evenfolds_own_data_after_a_yes_and_never_that_of_a_url() {
    let dir = DataDir::new();
    assert!(dir.run(&["db", "reset"]).fine().starts_with("there is no data in "), "and nothing is asked");
    let start = url(&dir.run(&["db", "start"]));
    let mut conn = Database::at(&start).unwrap().connect().await.unwrap();
    append_one(&mut conn, "mine", 1).await;

    let data_dir = dir.path().to_str().unwrap().to_owned();
    let mut worker = Evenfold::spawn(&["--partition-key=0", "--total-partitions=1", "--data-dir", &data_dir]);
    wait_until("the counter", SOON, async || worker.log().contains(" INFO applied ")).await;
    dir.run(&["db", "reset", "--yes"]).complains(1, "in use by other evenfold processes: stop them first");
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0, "{}", worker.log());

    dir.run(&["db", "reset"]).complains(2, "remove all data of evenfold's own PostgreSQL in ");
    assert!(dir.run(&["counters", "mine"]).fine().contains("mine"), "a refusal changes nothing");

    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "theirs", 1).await;
    let mut reset = Evenfold::command(&["db", "reset", "--yes", "--data-dir", &data_dir]);
    reset.env("DATABASE_URL", &db.url);
    let output = finish(reset);
    assert!(output.fine().starts_with("the data in ") && output.out.ends_with(" is removed\n"), "{output:?}");
    assert!(output.err.contains("the database of the URL is left alone"), "{output:?}");
    assert_eq!(scalar(&mut db.connect().await, "SELECT count(*) FROM evenfold.events").await, 1);
    assert!(Database::at(&start).unwrap().connect().await.is_err(), "the server is stopped");
    assert!(dir.run(&["counters"]).fine().starts_with("no counters yet"), "and the next one is empty");
}

#[test]
fn a_data_directory_that_can_not_be_used_is_reported() {
    let dir = DataDir::new();
    std::fs::create_dir(dir.path()).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    dir.run(&["counters"])
        .complains(1, "is not empty and holds no evenfold database: choose an empty or a new directory");
    dir.run(&["db", "start"]).complains(1, "--data-dir");
    assert!(Path::new(&dir.path()).join("notes.txt").exists());
}

#[test]
fn the_binaries_are_taken_from_the_named_directory_only() {
    let dir = DataDir::new();
    let output = dir.run(&["counters", "--pg-bin", dir.root.path().to_str().unwrap()]);
    output.complains(1, "EVENFOLD_PG_BIN must name the directory of initdb, pg_ctl and postgres");
}

#[test]
fn a_data_directory_that_is_a_file_is_refused_and_nothing_is_put_elsewhere() {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = file.path().to_str().unwrap();
    finish(Evenfold::command(&["counters", "--data-dir", path]))
        .complains(1, "is not a directory: choose another one with --data-dir");
}
