//! Each benchmark runs to its end, says what it has measured, and leaves nothing behind, however it ends.

use crate::support::cli::{CliOutput, DataDir, finish, run_at};
use crate::support::{Evenfold, SOON, TestDb, scalar, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::PgConnection;

/// Each benchmark at a size that takes a moment, and its figures.
const BENCHMARKS: [(&[&str], &[&str]); 10] = [
    (
        &["catch-up", "--events=600", "--aggregates=20", "--workers=3"],
        &["20 aggregates", "pool of 3", "pool of 3: rows", "600 aggregates", "its peak memory"],
    ),
    (
        &["latency", "--seconds=1"],
        &[
            "100/s: p50",
            "100/s: p99",
            "1,000/s: p50",
            "1,000/s: p99",
            "after idle: p50",
            "after idle: p99",
            "1,000/s, open tx: p50",
            "1,000/s, open tx: p99",
        ],
    ),
    (
        &["sources", "--events=600", "--aggregates=20", "--seconds=1", "--writers=2", "--missing=100"],
        &[
            "catch up",
            "catch up: CPU",
            "catch up, jsonb",
            "jsonb: CPU",
            "log elsewhere",
            "100/s: p50",
            "after idle: p50",
            "writers",
            "peak memory",
            "more memory",
        ],
    ),
    (
        &["figures", "--classes=20", "--events=10000", "--seconds=1"],
        &["scrape", "monitor: CPU", "server: CPU", "worker: CPU, scraped"],
    ),
    (&["append", "--seconds=1", "--writers=3"], &["append", "grouped, 50 each", "grouped, 250 each", "WAL per event"]),
    (
        &["fan-out", "--events=600", "--aggregates=20", "--processes=3", "--index"],
        &[
            "1 process: rows",
            "1 process: CPU",
            "1 process: wall",
            "3 processes: rows",
            "3 processes: CPU",
            "3 processes: wall",
        ],
    ),
    (&["growth", "--sizes=600,1200", "--aggregates=20", "--seconds=1"], GROWTH),
    (&["groups", "--messages=1000"], GROUPS),
    (&["cache", "--seconds=1", "--connections=8", "--writes=100000"], CACHE),
    (&["counter", "--seconds=1", "--connections=8", "--keys=50", "--requests=1000"], COUNTER),
];

/// The rows of seven nodes need a NATS server.
const COUNTER: &[&str] = &[
    "volatile",
    "durable",
    "durable: p99",
    "durable, one key",
    "typed actors",
    "7 nodes",
    "typed actors, 7 nodes",
    "its peak memory",
];

/// The figures that there are on this machine.
fn expected(figures: &'static [&'static str]) -> Vec<&'static str> {
    let path = std::env::var("PATH").unwrap();
    let nats = path.split(':').chain(["/usr/sbin"]).any(|dir| std::path::Path::new(dir).join("nats-server").exists());
    figures.iter().copied().filter(|figure| nats || !figure.ends_with("7 nodes")).collect()
}

const GROWTH: &[&str] = &[
    "1,200: look",
    "1,200: latency: p50",
    "1,200: append",
    "1,200: catch up",
    "1,200: peak memory",
    "1,200: start",
    "1,200: 2 to 3",
    "1,200: lag",
    "1,200: lag, behind",
    "1,200: status",
    "1,200: status, behind",
    "1,200: verify",
    "1,200: table",
    "1,200: indexes",
];

const GROUPS: &[&str] = &["sends", "sends", "sends", "asks, 64 clients", "typed actors: asks", "sends"];

const CACHE: &[&str] = &["get", "get", "GET", "GET: p95", "PUT", "PUT: p95", "writes: bytes", "writes: resident"];

/// What a benchmark has of its own in the database: schemas, and connections other than this one.
const LEFT: &str = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'evenfold\\_bench\\_%')
    + (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND backend_type = 'client backend')";

async fn nothing_is_left(conn: &mut PgConnection) {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'evenfold\\_bench\\_%'";
    assert_eq!(scalar(conn, schemas).await, 0, "schemas are left");
    // The server takes a moment to see that a process is gone.
    wait_until("the connections to end", SOON, async || scalar(conn, LEFT).await == 0).await;
    assert_eq!(scalar(conn, "SELECT count(*) FROM evenfold.events").await, 0, "what is in use is left alone");
}

/// Processes that were given this test's database, of which nobody else knows. None where the system does not report
/// it.
fn processes(db: &TestDb) -> usize {
    let database = db.url.split('?').next().unwrap();
    let others = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let environments = others.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments.filter(|environment| String::from_utf8_lossy(environment).contains(database)).count()
}

/// A benchmark, whose second server is next to a directory of its own: another test may run the same one.
fn run(db: &TestDb, args: &[&str]) -> CliOutput {
    let dir = DataDir::new();
    run_at(db, &[args, &["--data-dir", dir.path().to_str().unwrap()]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_benchmark_prints_a_table_of_its_figures_and_leaves_nothing_behind() {
    for (args, figures) in BENCHMARKS {
        let db = TestDb::new().await;
        let output = run(&db, &[args, &["--runs=1"]].concat());
        let out = output.fine();
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
        let (about, table) = out.split_once("\n\n").unwrap();
        assert!(about.contains("one run."), "{about}");
        assert_eq!(
            about.contains("apt install nats-server"),
            args[0] == "counter" && expected(COUNTER).len() < COUNTER.len()
        );
        let (header, rows) = table.split_once('\n').unwrap();
        let header: Vec<&str> = header.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(header, ["what", "median", "against", "its median", "ratio", "goal", "met"]);
        let rows: Vec<&str> = rows.lines().map(|row| row.split("  ").next().unwrap()).collect();
        assert_eq!(rows, expected(figures));
        nothing_is_left(&mut db.connect().await).await;
    }
}

/// Whether the server's processes are this machine's, and not a container's or another system's.
async fn server_is_visible(conn: &mut PgConnection) -> bool {
    let backend = scalar(conn, "SELECT pg_backend_pid()::bigint").await;
    std::fs::read_to_string(format!("/proc/{backend}/cmdline")).is_ok_and(|title| title.starts_with("postgres: "))
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_each_figure_is_an_object_whose_ratio_is_that_of_its_medians() {
    for (args, figures) in BENCHMARKS {
        let db = TestDb::new().await;
        let visible = server_is_visible(&mut db.connect().await).await;
        let output = run(&db, &[args, &["--runs=2", "--json"]].concat());
        let lines: Vec<Value> = output.fine().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
        assert_eq!(names, expected(figures));
        for line in &lines {
            assert_eq!(line["benchmark"], args[0], "{line}");
            if line["what"].as_str().unwrap().ends_with("CPU") && !visible {
                assert_eq!((&line["median"], &line["met"]), (&Value::Null, &Value::Null), "{line}");
                continue;
            }
            // What memory they take is not measured in each run.
            let what = line["what"].as_str().unwrap();
            let once = what.starts_with("writes: ") || (args[0], what) == ("counter", "its peak memory");
            assert_eq!(line["runs"], if once { 1 } else { 2 }, "{line}");
            let number = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no {name}: {line}"));
            let (median, yardstick) = (number("median"), number("yardstick_median"));
            // So little processor time may be less than a tick.
            if yardstick > 0.0 {
                assert!((number("ratio") - median / yardstick).abs() < 1e-9, "{line}");
                let met = match (line["at_most"].as_f64(), line["at_least"].as_f64()) {
                    (Some(most), None) => Value::Bool(median / yardstick <= most),
                    (None, Some(least)) => Value::Bool(median / yardstick >= least),
                    _ => Value::Null,
                };
                assert_eq!(line["met"], met, "{line}");
            }
            // What is measured as a difference may be less than nothing.
            let may_be_none = line["unit"] == "ms" || what.ends_with("CPU") || what == "more memory";
            assert!(median > 0.0 || may_be_none, "{line}");
        }
        let rows = lines.iter().filter(|line| line["unit"] == "events");
        assert!(rows.clone().all(|line| line["yardstick_median"] == 600.0 && line["median"] == 600.0), "{lines:#?}");
        nothing_is_left(&mut db.connect().await).await;
    }
}

#[test]
fn a_benchmark_needs_no_database() {
    let dir = DataDir::new();
    let output = dir.run(&["catch-up", "--events=100", "--aggregates=10", "--runs=1"]);
    assert!(output.fine().contains("10 aggregates"), "{output:?}");
}

/// Starts a benchmark that would take long.
fn start(db: &TestDb, args: &[&str]) -> Evenfold {
    let mut command = Evenfold::command(args);
    command.env("DATABASE_URL", &db.url);
    Evenfold::start(command)
}

/// What it printed when it ended, which must be soon.
async fn ended(mut bench: Evenfold) -> CliOutput {
    wait_until("the benchmark to end", SOON, async || bench.ended().is_some()).await;
    CliOutput { code: bench.wait(), out: String::new(), err: bench.log(), program: "evenfold".to_owned() }
}

async fn interrupted_when(args: &[&str], condition: &'static str, signal: Signal) {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let bench = start(&db, args);
    wait_until(condition, SOON, async || scalar(&mut conn, condition).await > 0).await;
    bench.signal(signal);
    ended(bench).await.complains(1, "interrupted: the benchmark's schema is removed");
    assert_eq!(processes(&db), 0, "{args:?}");
    nothing_is_left(&mut conn).await;
}

const FILLING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'";
const WORKING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE 'evenfold counters %' AND query LIKE '%INTO \"evenfold\\_bench\\_%\".counters %'";
const APPENDING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND query LIKE '%INSERT INTO \"evenfold\\_bench\\_%\".plain%' AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_benchmark_leaves_nothing_behind() {
    let large = ["--events=60000", "--aggregates=60000", "--runs=1000"];
    interrupted_when(&[&["catch-up"], &large[..]].concat(), FILLING, Signal::SIGINT).await;
    interrupted_when(&[&["catch-up"], &large[..]].concat(), WORKING, Signal::SIGTERM).await;
    // Its worker processes would go on for long, and then wait for ever for the tables to be there again.
    let slow = ["fan-out", "--batch-size=1", "--max-actors=2"];
    interrupted_when(&[&slow[..], &large[..]].concat(), WORKING, Signal::SIGINT).await;
    interrupted_when(&["latency", "--seconds=1", "--runs=1000"], WORKING, Signal::SIGINT).await;
    interrupted_when(&["append", "--seconds=60"], APPENDING, Signal::SIGINT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_that_fails_says_why_and_leaves_nothing_behind() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let bench = start(&db, &["append", "--seconds=60"]);
    wait_until("appends", SOON, async || scalar(&mut conn, APPENDING).await > 0).await;
    let schema: String =
        sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'evenfold\\_bench%'")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    let sql = format!("ALTER TABLE {schema}.plain RENAME TO elsewhere");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    ended(bench).await.complains(1, ".plain\" does not exist");
    nothing_is_left(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_benchmark_leaves_a_schema_that_says_what_it_is() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut bench = start(&db, &["append", "--seconds=60"]);
    wait_until("appends", SOON, async || scalar(&mut conn, APPENDING).await > 0).await;
    bench.signal(Signal::SIGKILL);
    bench.wait();
    let comment: String = sqlx::query_scalar(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname LIKE 'evenfold\\_bench\\_%'",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(comment, "evenfold bench append: nobody needs it once that has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_create_a_schema_gets_the_grant_to_run() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let role = format!("benchless_{}", std::process::id());
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE ROLE {role}"))).execute(&mut conn).await.unwrap();
    let mut command = Evenfold::command(&["append"]);
    command.env("DATABASE_URL", format!("{}&options=-c%20role%3D{role}", db.url));
    let output = finish(command);
    let dropped = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP ROLE {role}"))).execute(&mut conn).await;
    output.complains(1, "run `GRANT CREATE ON DATABASE");
    dropped.unwrap();
}
