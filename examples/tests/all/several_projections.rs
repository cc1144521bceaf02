//! Several projections in one program: they are folded together, share connections, and fail alone.

use crate::example::{example, run_at};
use evenfold_testkit::cli::CliOutput;
use evenfold_testkit::{Evenfold, SOON, TestDb, scalar, wait_until};
use nix::sys::signal::Signal;
use sqlx::PgConnection;
use std::process::Stdio;

const ORDERS: &str = r#"{"aggregate_type": "order", "aggregate_id": "1", "event_type": "order-placed", "payload": {"customer": "ada", "cents": 5}}
{"aggregate_type": "order", "aggregate_id": "2", "event_type": "order-placed", "payload": {"customer": "bob", "cents": 70}}
{"aggregate_type": "order", "aggregate_id": "3", "event_type": "order-placed", "payload": {"customer": "ada", "cents": 900}}
"#;

const CENTS: &str = "SELECT coalesce(sum(cents), 0)::bigint FROM revenue";
const PLACED: &str = "SELECT coalesce(sum(orders), 0)::bigint FROM loyalty";

fn run(db: &TestDb, args: &[&str]) -> CliOutput {
    run_at(db, "several_projections", args, "")
}

fn append(db: &TestDb) {
    run_at(db, "several_projections", &["append"], ORDERS).fine();
}

/// Runs until it is to stop, with what it prints in a file.
struct Running {
    process: Evenfold,
    printed: tempfile::NamedTempFile,
}

impl Running {
    fn start(db: &TestDb, args: &[&str]) -> Self {
        let printed = tempfile::NamedTempFile::new().unwrap();
        let mut command = example("several_projections", args);
        command.env("DATABASE_URL", &db.url);
        let process = Evenfold::start_into(command, Stdio::from(printed.reopen().unwrap()));
        Self { process, printed }
    }

    /// Ctrl-C; the exit code, and what it has printed.
    fn interrupt(mut self) -> (i32, String, String) {
        self.process.signal(Signal::SIGINT);
        let code = self.process.wait();
        (code, std::fs::read_to_string(self.printed.path()).unwrap(), self.process.log())
    }
}

async fn connections(conn: &mut PgConnection, name: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE $1",
    )
    .bind(name)
    .fetch_one(conn)
    .await
    .unwrap()
}

const AT_WORK: &str = "SELECT count(*) FROM evenfold.heartbeats WHERE state = 'caught up'";

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_runs_all_of_them_on_one_listener_and_one_connection_for_heartbeats_until_ctrl_c() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append(&db);
    let pool = Running::start(&db, &["pool", "--workers=3"]);
    wait_until("all are at work", SOON, async || scalar(&mut conn, AT_WORK).await == 6).await;
    let waited = run(&db, &["wait"]);
    assert_eq!(waited.fine().lines().count(), 2, "{waited:?}");
    assert_eq!((scalar(&mut conn, CENTS).await, scalar(&mut conn, PLACED).await), (975, 3));
    assert_eq!(connections(&mut conn, "evenfold listener").await, 1);
    assert_eq!(connections(&mut conn, "evenfold heartbeats").await, 1);
    for name in ["revenue", "loyalty"] {
        assert_eq!(connections(&mut conn, &format!("evenfold {name} _/3")).await, 3, "{name}");
    }
    let status = run(&db, &["status"]);
    let heads: Vec<&str> = status.fine().lines().filter(|line| line.contains("cover complete")).collect();
    assert_eq!(heads, ["revenue: 3 partitions, cover complete", "loyalty: 3 partitions, cover complete"]);
    assert!(status.out.lines().all(|line| line.chars().count() <= 80), "{status:?}");
    let check = run(&db, &["status", "--check"]);
    assert_eq!(check.fine().lines().count(), 2, "{check:?}");

    let (code, printed, log) = pool.interrupt();
    assert_eq!(code, 0, "{log}");
    for name in ["revenue", "loyalty"] {
        assert_eq!(printed.lines().filter(|line| *line == name).count(), 1, "one summary each: {printed}");
    }
    assert_eq!(printed.lines().filter(|line| line.starts_with("partition ")).count(), 2, "{printed}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_its_partition_of_each_and_ends_with_one_summary_each() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append(&db);
    let worker =
        Running::start(&db, &["worker", "--partition-key=0", "--total-partitions=1", "--json", "--at-least=50"]);
    wait_until("both are at work", SOON, async || scalar(&mut conn, AT_WORK).await == 2).await;
    run(&db, &["wait"]).fine();
    assert_eq!((scalar(&mut conn, CENTS).await, scalar(&mut conn, PLACED).await), (970, 3));
    assert_eq!(connections(&mut conn, "evenfold listener").await, 1);
    assert_eq!(connections(&mut conn, "evenfold heartbeats").await, 1);
    let (code, printed, log) = worker.interrupt();
    assert_eq!(code, 0, "{log}");
    let done: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |value: &serde_json::Value| (value["projection"].as_str().unwrap().to_owned(), value["applied"].as_u64());
    assert_eq!(
        done.iter().map(of).collect::<Vec<_>>(),
        [("revenue".to_owned(), Some(3)), ("loyalty".to_owned(), Some(3))]
    );
    assert_eq!(log.lines().filter(|line| line.contains(" stopped ")).count(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_is_an_error_while_the_other_goes_on() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append(&db);
    let until = "--until-caught-up";
    run(&db, &["pool", "--workers=1", until, "--log=error", "--projection=revenue", "--at-least=50"]).fine();
    let pool = Running::start(&db, &["pool", "--workers=1"]);
    let refused = async || {
        pool.process.log().contains("nobody works on this here any more: the projection revenue is defined by")
    };
    wait_until("the error in the log", SOON, refused).await;
    append(&db);
    wait_until("the other one to go on", SOON, async || scalar(&mut conn, PLACED).await == 6).await;
    assert_eq!(scalar(&mut conn, CENTS).await, 970);
    let (code, printed, log) = pool.interrupt();
    assert_eq!(code, 1);
    assert!(printed.contains("0/1        failed"), "{printed}");
    assert!(
        log.lines()
            .last()
            .unwrap()
            .starts_with("several_projections: revenue 0/1: the projection revenue is defined by"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn some_can_be_chosen_and_what_is_advised_is_this_programs() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append(&db);
    let some = ["pool", "--workers=1", "--until-caught-up", "--log=error"];
    run(&db, &[&some[..], &["--projection=loyalty"]].concat()).fine();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.projections").await, 1);
    run(&db, &[&some[..], &["--projection=loyalty", "--projection=revenue"]].concat()).fine();
    assert_eq!((scalar(&mut conn, CENTS).await, scalar(&mut conn, PLACED).await), (975, 3));
    run(&db, &["pool", "--projection=loyalty", "--projection=loyalty"]).complains(2, "is given twice");
    run(&db, &["pool", "--projection=stock"]).complains(2, "it has: revenue, loyalty");
    run(&db, &["parked", "list"]).complains(2, "which projection? give --projection: revenue, loyalty");

    let bad = r#"{"aggregate_type": "order", "aggregate_id": "4", "event_type": "order-placed", "payload": {}}"#;
    run_at(&db, "several_projections", &["append"], bad).fine();
    run(&db, &some).fine();
    let check = run(&db, &["status", "--check"]);
    let advised = "revenue: class 0/1: 1 parked aggregates; `several_projections parked list` says why";
    assert!(check.code == 1 && check.err.contains(advised), "{check:?}");
    let empty = TestDb::empty().await;
    run(&empty, &["status"]).complains(1, "run `several_projections migrate`");
}
