//! When `serve` says that it is ready, and that it is not.

use crate::support::{Evenfold, LOCKED_OUT, SOON, Serving, TestDb, scalar, wait_until};
use serde_json::json;
use sqlx::Connection;

/// Ends the sessions that wait for a lock, as a failover would; gives how many.
const END_WAITING: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";

async fn readiness(serving: &Serving) -> (u16, String) {
    let reply = serving.client().await.get("/readyz").await;
    (reply.status, reply.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_whose_sessions_end_while_the_service_starts_are_named_and_folded_later() {
    let db = TestDb::new().await;
    let (mut blocker, mut conn) = (db.connect().await, db.connect().await);
    // For connections that wait by themselves for no longer than the role wants.
    let sql = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = 300', current_database()); END $$";
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    let mut lock = blocker.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.topologies").execute(&mut *lock).await.unwrap();
    let mut serving = Serving::start(&["--total-partitions=4"], &[("DATABASE_URL", &db.url)]);
    wait_until("workers that register", SOON, async || scalar(&mut conn, LOCKED_OUT).await > 0).await;
    let mut answer = (0, String::new());
    wait_until("an answer that nobody folds a partition", SOON, async || {
        scalar(&mut conn, END_WAITING).await;
        answer = readiness(&serving).await;
        answer.0 == 503 && answer.1.contains("folded")
    })
    .await;
    for phrase in ["not_ready", "nobody in this process has folded partition ", " seconds: ", "the next try is in "] {
        assert!(answer.1.contains(phrase), "{phrase}: {answer:?}");
    }
    // It is answered first and logged then, and what is logged comes through a pipe.
    let logged =
        async || serving.process.log().lines().any(|line| line.contains("ERROR") && line.contains("partition"));
    wait_until("the same in the log", SOON, logged).await;
    let mut client = serving.client().await;
    for n in 0..20 {
        let counted = client.post(&format!("/counter/c{n}/increment"), "").await;
        assert_eq!(counted.status, 200, "counting does not wait for the read model: {counted:?}");
    }
    lock.rollback().await.unwrap();
    wait_until("all partitions are folded", SOON, async || {
        readiness(&serving).await.0 == 200 && scalar(&mut conn, "SELECT count(*) FROM evenfold.counters").await == 20
    })
    .await;
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.checkpoints").await, 4);
    assert_eq!(serving.end(nix::sys::signal::Signal::SIGTERM).0, 0, "{}", serving.process.log());
}

/// A server that answers, and that nobody may work with, is not one that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_log_is_what_readiness_reports_until_it_is_mended() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let serving = Serving::start(&["--total-partitions=2"], &[("DATABASE_URL", &db.url)]);
    wait_until("the service to be ready", SOON, async || readiness(&serving).await.0 == 200).await;
    sqlx::raw_sql("ALTER TABLE evenfold.events DISABLE TRIGGER events_place").execute(&mut conn).await.unwrap();
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    scalar(&mut conn, others).await;
    let mut answer = (0, String::new());
    wait_until("the reason", SOON, async || {
        answer = readiness(&serving).await;
        assert!(!answer.1.contains("did not answer"), "{answer:?}");
        answer.0 == 503 && answer.1.contains("ENABLE ALWAYS TRIGGER events_place")
    })
    .await;
    sqlx::raw_sql("ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_place").execute(&mut conn).await.unwrap();
    wait_until("the service to be ready again", SOON, async || readiness(&serving).await.0 == 200).await;
    let log = serving.process.log();
    assert!(!log.contains("after_connect"), "the driver's own words: {log}");
}

/// Nothing that it answers would be what is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_refused_where_the_counters_count_something_else() {
    let db = TestDb::new().await;
    let worker = ["--until-caught-up", "--amount-pointer=/cents", "--database-url", &db.url];
    let begun = Evenfold::run(&[&["worker", "--partition-key=0", "--total-partitions=1"], &worker[..]].concat(), "");
    assert!(begun.status.success(), "{begun:?}");
    let refused = Evenfold::finish(Serving::command(&["--no-workers", "--port=0"], &[("DATABASE_URL", &db.url)]), b"");
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(1) && stderr.contains("is defined by") && stderr.contains("/cents"),
        "{stderr}"
    );
}

/// What the service folded has other owners then, in whatever process: nothing that it answers depends on that.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_partitions_were_replaced_by_another_number_of_them_is_ready() {
    let db = TestDb::new().await;
    let serving = Serving::start(&["--total-partitions=2"], &[("DATABASE_URL", &db.url)]);
    let (mut client, mut conn) = (serving.client().await, db.connect().await);
    // One that has not registered yet would wait, instead of ending.
    let working = "SELECT count(*) FROM evenfold.heartbeats WHERE total_partitions = 2 AND state = 'caught up'";
    wait_until("the service to fold", SOON, async || scalar(&mut conn, working).await == 2).await;
    let pool = Evenfold::spawn(&["pool", "--workers=3", "--takeover", "--database-url", &db.url]);
    let mut n = 0;
    wait_until("the service to fold nothing any more", SOON, async || {
        n += 1;
        assert_eq!(client.post(&format!("/counter/c{n}/increment"), "").await.status, 200);
        serving.process.log().matches("this partition is not folded here any more: superseded").count() == 2
    })
    .await;
    assert_eq!(readiness(&serving).await.0, 200, "{}", pool.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_keeps_counters_in_memory_is_ready_without_a_database() {
    let serving = Serving::start(&["--volatile"], &[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")]);
    assert_eq!(serving.client().await.get("/readyz").await.json(), json!({"ready": true}));
}
