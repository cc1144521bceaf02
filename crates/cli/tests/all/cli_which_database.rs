//! Which database a process works on is the first thing that it says: a misspelt variable is seen at once.

use crate::support::cli::{CliOutput, DataDir, apply_all, finish, run_at};
use crate::support::{Evenfold, SOON, TestDb, append_one, wait_until};
use nix::sys::signal::Signal;

/// The name of a test's database, and where its server listens.
fn place(db: &TestDb) -> String {
    let (_, rest) = db.url.split_once("://").unwrap();
    let name = rest.split_once('/').unwrap().1.split('?').next().unwrap();
    match db.url.split_once("?host=") {
        Some((_, socket)) => format!("{name} at {socket}"),
        None => {
            format!("{name} at {}", rest.rsplit_once('@').map_or(rest, |(_, host)| host).split('/').next().unwrap())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_log_line_of_whoever_works_on_it_names_the_database() {
    let db = TestDb::new().await;
    let started: [&[&str]; 3] =
        [&["--partition-key=0"], &["pool", "--log=info"], &["serve", "--port=0", "--metrics-port=0"]];
    for args in started {
        let mut process = Evenfold::spawn(&[args, &["--database-url", &db.url]].concat());
        wait_until("its first line", SOON, async || process.log().contains('\n')).await;
        process.signal(Signal::SIGTERM);
        process.wait();
        let log = process.log();
        let first = log.lines().next().unwrap();
        assert!(first.contains(" INFO ") && first.contains(&format!("database: {}", place(&db))), "{args:?}: {log}");
        assert!(first.contains("schema=\"evenfold\"") && first.contains("version=\"1"), "{args:?}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_command_names_it_in_one_line_on_standard_error() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    apply_all(&db).fine();
    let commands: [&[&str]; 12] = [
        &["counters"],
        &["counters", "a", "--json"],
        &["append"],
        &["generate", "--events=1", "--writers=1", "--yes"],
        &["verify"],
        &["status"],
        &["parked", "list"],
        &["parked", "retry", "--all"],
        &["index"],
        &["migrate"],
        &["repair"],
        &["rebuild"],
    ];
    for args in commands {
        let output = run_at(&db, args);
        output.fine();
        let (line, rest) = output.err.split_once('\n').unwrap();
        let expected = format!("database: {}, schema evenfold, PostgreSQL 1", place(&db));
        assert!(line.starts_with(&expected) && rest.is_empty(), "{args:?}: {output:?}");
        assert!(!output.out.contains("database: "), "{args:?}: {output:?}");

        let quiet = run_at(&db, &[args, &["--log=warn"]].concat());
        assert_eq!(quiet.err, "", "{args:?}");
        let logged = run_at(&db, &[args, &["--log=info"]].concat());
        assert!(logged.err.lines().next().unwrap().contains(" INFO database: "), "{args:?}: {logged:?}");
    }
}

#[test]
fn a_misspelt_variable_leads_to_a_database_of_its_own_and_is_seen() {
    let dir = DataDir::new();
    let misspelt = |args: &[&str]| {
        let mut command = Evenfold::command(args);
        command.env("DATABSE_URL", "postgres://user@127.0.0.1:1/mine").env("EVENFOLD_DATA_DIR", dir.path());
        finish(command)
    };
    let expected = format!("a PostgreSQL of its own in {} (no DATABASE_URL is set)", dir.path().display());
    let one_shot: [&[&str]; 5] =
        [&["append"], &["generate", "--events=1", "--writers=1"], &["counters", "--json"], &["verify"], &["status"]];
    for args in one_shot {
        let output = misspelt(args);
        output.fine();
        assert!(output.err.starts_with(&format!("database: {expected}")), "{args:?}: {output:?}");
    }
    let worker: CliOutput = misspelt(&["--partition-key=0", "--total-partitions=1", "--until-caught-up"]);
    worker.fine();
    assert!(worker.err.lines().next().unwrap().contains(&format!(" INFO database: {expected}")), "{worker:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_about_a_database_have_no_password_in_them() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    // The tests' server trusts whoever reaches it, with any password.
    let url = match db.url.split_once('@') {
        Some((login, rest)) => format!("{login}:s3cret@{rest}"),
        None => return,
    };
    for args in [&["counters"][..], &["counters", "--log=info"], &["worker", "--partition-key=0", "--until-caught-up"]]
    {
        let mut command = Evenfold::command(args);
        command.env("DATABASE_URL", &url);
        let output = finish(command);
        assert!(output.err.contains(&place(&db)), "{args:?}: {output:?}");
        assert!(!output.err.contains("s3cret") && !output.out.contains("s3cret"), "{args:?}: {output:?}");
    }
}
