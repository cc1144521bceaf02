//! `--http`: what a process that folds shows of itself, and whether it is ready.

use crate::support::cli::run;
use crate::support::figures::{figure, linted};
use crate::support::{Client, HttpReply};
use crate::support::{Evenfold, SOON, TestDb, append_one, scalar, wait_until};
use nix::sys::signal::Signal;
use sqlx::Connection;
use std::net::SocketAddr;

const ONE: [&str; 3] = ["--http=127.0.0.1:0", "--total-partitions=1", "--heartbeat-interval-ms=100"];

async fn get(address: SocketAddr, path: &str) -> HttpReply {
    Client::connect(address).await.get(path).await
}

async fn ready(address: SocketAddr) -> bool {
    get(address, "/readyz").await.status == 200
}

/// Waits for an answer of 503 with this in its sentence.
async fn unready(address: SocketAddr, phrase: &str) {
    let mut answer = String::new();
    wait_until(phrase, SOON, async || {
        let reply = get(address, "/readyz").await;
        answer = reply.body;
        reply.status == 503 && answer.contains(phrase)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_shows_what_was_counted_in_the_database_in_a_format_that_promtool_accepts() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 1..=30 {
        append_one(&mut conn, &format!("a{}", n % 7), n).await;
    }
    let args = ["worker", "--partition-key=0", "--batch-size=10", "--database-url", &db.url];
    let worker = Evenfold::spawn(&[&args[..], &ONE].concat());
    let address = worker.address().await;
    let labels = "{projection=\"counters\",class=\"0/1\"}";
    let mut text = String::new();
    wait_until("all of it to be applied, and counted", SOON, async || {
        text = get(address, "/metrics").await.body;
        figure(&text, &format!("evenfold_worker_applied_events_total{labels}")) == Some(30.0)
            && figure(&text, &format!("evenfold_worker_behind_events{labels}")) == Some(0.0)
    })
    .await;
    let value = |name: &str| figure(&text, &format!("{name}{labels}"));
    let last = scalar(&mut conn, "SELECT max(position) FROM evenfold.events").await;
    assert_eq!(value("evenfold_worker_position"), Some(f64::from(u32::try_from(last).unwrap())));
    let batches = value("evenfold_worker_batches_total").unwrap();
    assert!(batches >= 3.0, "{text}");
    assert_eq!(value("evenfold_worker_batch_events_sum"), Some(30.0), "{text}");
    assert_eq!(value("evenfold_worker_batch_events_count"), Some(batches), "{text}");
    assert_eq!(value("evenfold_worker_batch_duration_seconds_count"), Some(batches), "{text}");
    assert_eq!(value("evenfold_worker_parked_aggregates"), Some(0.0), "{text}");
    assert_eq!(value("evenfold_worker_missing_positions"), Some(0.0), "{text}");
    assert!(value("evenfold_worker_step_age_seconds").unwrap() < 10.0, "{text}");
    assert!(value("evenfold_worker_compute_seconds_total").unwrap() > 0.0, "{text}");
    assert!(value("evenfold_worker_coordination_seconds_total").unwrap() > 0.0, "{text}");
    let version = format!("evenfold_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(figure(&text, &version), Some(1.0), "{text}");
    assert!(text.contains("evenfold_worker_phase{projection=\"counters\",class=\"0/1\",phase="), "{text}");
    linted(&text);
    let answer = get(address, "/readyz").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"ready\":true,\"workers\":1}"));
    let alive = get(address, "/livez").await;
    assert_eq!((alive.status, alive.body.as_str()), (200, "{\"alive\":true}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_sessions_are_ended_counts_that_it_has_connected_again() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let worker = Evenfold::spawn(&[&["worker", "--partition-key=0", "--database-url", &db.url][..], &ONE].concat());
    let address = worker.address().await;
    wait_until("it to be ready", SOON, async || ready(address).await).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'evenfold counters 0/1'";
    assert_eq!(scalar(&mut conn, end).await, 1);
    let name = "evenfold_worker_reconnects_total{projection=\"counters\",class=\"0/1\"}";
    wait_until("the count", SOON, async || figure(&get(address, "/metrics").await.body, name) == Some(1.0)).await;
    wait_until("it to be ready again", SOON, async || ready(address).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_can_not_have_its_tables_is_not_ready_and_says_why_and_is_alive() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let worker = Evenfold::spawn(&[&["worker", "--partition-key=0", "--database-url", &db.url][..], &ONE].concat());
    let address = worker.address().await;
    wait_until("it to be ready", SOON, async || ready(address).await).await;
    sqlx::raw_sql("ALTER TABLE evenfold.events DISABLE TRIGGER events_place").execute(&mut conn).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'evenfold counters%'";
    scalar(&mut conn, end).await;
    unready(address, "ENABLE ALWAYS TRIGGER events_place").await;
    let answer = get(address, "/readyz").await.body;
    for phrase in ["nobody in this process has worked on partition 0/1 of counters for", "the next try is in"] {
        assert!(answer.contains(phrase), "{answer}");
    }
    assert_eq!(get(address, "/livez").await.status, 200);
    let phase = "evenfold_worker_phase{projection=\"counters\",class=\"0/1\",phase=\"retrying\"}";
    assert_eq!(figure(&get(address, "/metrics").await.body, phase), Some(1.0));
    sqlx::raw_sql("ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_place").execute(&mut conn).await.unwrap();
    wait_until("it to be ready again", SOON, async || ready(address).await).await;
}

/// Its heartbeat goes on: it is its steps that show it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_in_a_batch_is_not_ready() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker) = (db.connect().await, db.connect().await);
    let args = ["worker", "--partition-key=0", "--max-step-age-ms=1000", "--database-url", &db.url];
    let worker = Evenfold::spawn(&[&args[..], &ONE].concat());
    let address = worker.address().await;
    append_one(&mut conn, "a", 1).await;
    wait_until("it to be ready", SOON, async || ready(address).await).await;
    let mut lock = blocker.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.counters").execute(&mut *lock).await.unwrap();
    append_one(&mut conn, "a", 1).await;
    unready(address, "the worker of partition 0/1 of counters has not finished a step for").await;
    lock.rollback().await.unwrap();
    wait_until("it to be ready again", SOON, async || ready(address).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_waits_for_a_partition_is_ready_and_shows_that_it_has_none() {
    let db = TestDb::new().await;
    let args = ["worker", "--partition-key=auto", "--database-url", &db.url];
    let first = Evenfold::spawn(&[&args[..], &ONE].concat());
    let one = first.address().await;
    let has = "evenfold_worker_phase{projection=\"counters\",class=\"0/1\",phase=\"caught_up\"}";
    wait_until("the partition", SOON, async || figure(&get(one, "/metrics").await.body, has) == Some(1.0)).await;
    let second = Evenfold::spawn(&[&args[..], &ONE].concat());
    let two = second.address().await;
    let waits = "evenfold_worker_phase{projection=\"counters\",class=\"none\",phase=\"standing_by\"}";
    wait_until("it to wait", SOON, async || figure(&get(two, "/metrics").await.body, waits) == Some(1.0)).await;
    assert!(ready(one).await && ready(two).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_shows_each_of_its_partitions_and_ends_with_its_listener() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    let args = ["pool", "--workers=3", "--http=127.0.0.1:0", "--log=info", "--database-url", &db.url];
    let mut pool = Evenfold::spawn(&args);
    let address = pool.address().await;
    wait_until("it to be ready", SOON, async || ready(address).await).await;
    let text = get(address, "/metrics").await.body;
    for class in ["0/3", "1/3", "2/3"] {
        let name = format!("evenfold_worker_applied_events_total{{projection=\"counters\",class=\"{class}\"}}");
        assert!(figure(&text, &name).is_some(), "{class}: {text}");
    }
    linted(&text);
    pool.signal(Signal::SIGTERM);
    assert_eq!(pool.wait(), 0, "{}", pool.log());
}

#[test]
fn an_address_that_can_not_be_listened_on_is_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let worker = |http: &str| run(&["worker", "--partition-key=0", "--http", http]);
    worker(&address).complains(1, "is in use: stop who has it, or choose another port (--http)");
    worker("192.0.2.1:9601").complains(1, "192.0.2.1 is no address of this machine: correct --http");
    worker("9601").complains(2, "'--http <ADDRESS:PORT>'");
}
