//! A database that can't be worked with ends in one sentence that says what to look at, and code 1.

use crate::support::cli::{CliOutput, DataDir, finish, run_at};
use crate::support::{Evenfold, SOON, Stepped, TestDb, append_one, drain, only_worker, wait_until};
use evenfold::database::Database;
use evenfold_embedded as embedded;
use std::net::TcpListener;

/// One command of each kind: a worker, a reader and a writer of the log, and the one that makes the tables.
const COMMANDS: [&[&str]; 4] = [&["worker", "--partition-key=0"], &["counters"], &["append"], &["migrate"]];

fn run_url(url: &str, args: &[&str]) -> CliOutput {
    let mut command = Evenfold::command(args);
    command.env("DATABASE_URL", url);
    finish(command)
}

/// Each command says so; all but the worker, which logs that it starts, say nothing else.
fn each_complains(url: &str, phrase: &str) {
    for args in COMMANDS {
        let output = run_url(url, args);
        output.complains(1, phrase);
        assert!(args[0] == "worker" || output.err.lines().count() == 1, "{output:#?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    // Free once the listener is gone: nobody answers at it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://user:secret@127.0.0.1:{port}/x");
    each_complains(&url, &format!("no PostgreSQL answers at 127.0.0.1:{port}"));
    let output = run_url(&url, &["counters"]);
    output.complains(1, "check that it runs there and that the URL is right");
    assert!(!output.err.contains("secret"), "{output:?}");
    each_complains("postgres://user@localhost/x?host=/nowhere", "no PostgreSQL answers at /nowhere");
    each_complains("postgres://user@no-such-host.invalid/x", "no PostgreSQL answers at no-such-host.invalid:5432");
}

#[test]
fn something_else_than_postgresql_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let url = format!("postgres://user@{address}/x");
    run_url(&url, &["counters"]).complains(1, &format!("no connection to PostgreSQL at {address}"));
    answering.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_let_the_user_in_is_reported() {
    // One of its own, which asks this one user for a password.
    let dir = DataDir::new();
    let options = dir.options();
    let status = tokio::task::spawn_blocking(move || embedded::keep(&options)).await.unwrap().unwrap();
    let (mut conn, _) = Database::at(&status.url).unwrap().connect_to_server().await.unwrap();
    sqlx::raw_sql("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right'").execute(&mut conn).await.unwrap();
    let rules = "local all guarded scram-sha-256\nlocal all all trust\n";
    std::fs::write(status.data_dir.join("data/pg_hba.conf"), rules).unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut conn).await.unwrap();

    let url = |login: &str| status.url.replace("evenfold@", &format!("{login}@"));
    let wrong = Database::at(&url("guarded:wrong")).unwrap();
    wait_until("the new rules", SOON, async || wrong.connect().await.is_err()).await;

    each_complains(&url("guarded:wrong"), "does not let the user guarded in: password authentication failed");
    each_complains(&url("guarded"), "check the user and the password in the URL");
    each_complains(&url("nobody-at-all"), "role \"nobody-at-all\" does not exist");
    assert!(!run_url(&url("guarded:wrong"), &["counters"]).err.contains("wrong"), "the password is printed");
    run_url(&url("guarded:right"), &["migrate"]).fine();
    run_url(&url("guarded:right"), &["counters"]).fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_exist_is_named() {
    let db = TestDb::new().await;
    let (server, name) = db.url.split_once("/evenfold_test_").unwrap();
    let query = name.split_once('?').map_or("", |(_, query)| query);
    let url = format!("{server}/evenfold_not_there?{query}");
    each_complains(&url, "database \"evenfold_not_there\" does not exist");
    each_complains(&url, "create it (`createdb`), or correct the URL");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_was_begun_otherwise_says_how() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;

    let worker = |args: &[&str]| run_at(&db, &[&["worker", "--partition-key=0", "--until-caught-up"], args].concat());
    worker(&["--total-partitions=1", "--amount-pointer=/count"]).complains(1, "give the same settings");
    worker(&["--total-partitions=1", "--amount-pointer=/count"]).complains(1, "\"/amount\"");
    worker(&["--total-partitions=1"]).fine();
    // Another number of partitions takes over, and the one that it replaced says so, while somebody is at work.
    worker(&[]).fine();
    let mut alive = Stepped::start(&db, 1, 4, 10).await;
    worker(&["--total-partitions=1"]).complains(1, "superseded: the projection counters has gone on with 4 partitions");
    alive.beat().await;
    worker(&["--total-partitions=1"]).complains(1, "start with --total-partitions=4");
    worker(&["--total-partitions=1", "--superseded-grace-ms=0"]).fine();
    worker(&["--total-partitions=4", "--takeover"]).fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_rights_gets_the_grant_that_is_missing() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let role = format!("plain_{}", std::process::id());
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE ROLE {role}"))).execute(&mut conn).await.unwrap();
    let output = run_url(&format!("{}&options=-c%20role%3D{role}", db.url), &["counters"]);
    let dropped = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP ROLE {role}"))).execute(&mut conn).await;
    output.complains(1, "permission denied for schema evenfold: grant it");
    dropped.unwrap();
}
