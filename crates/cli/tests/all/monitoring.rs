//! `evenfold monitor`: what is counted in the database, whoever works there.

use crate::support::cli::run_at;
use crate::support::figures::{figure, linted};
use crate::support::{Client, HttpReply};
use crate::support::{Evenfold, SOON, TestDb, append_one, scalar, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// A dead worker is red within this time, everywhere.
const RED: Duration = Duration::from_secs(10);

struct Monitor {
    process: Evenfold,
    address: SocketAddr,
}

impl Monitor {
    async fn start(db: &TestDb) -> Self {
        Self::at(db, "127.0.0.1:0").await
    }

    async fn at(db: &TestDb, http: &str) -> Self {
        let args = ["monitor", "--http", http, "--count-interval-ms=200", "--database-url", &db.url];
        let process = Evenfold::spawn(&args);
        let address = process.address().await;
        Self { process, address }
    }

    async fn get(&self, path: &str) -> HttpReply {
        Client::connect(self.address).await.get(path).await
    }

    async fn metrics(&self) -> String {
        self.get("/metrics").await.body
    }

    /// The value of a figure of the class 0/2 of the counters.
    async fn of_class(&self, name: &str) -> Option<f64> {
        let labels = "{projection=\"counters\",class=\"0/2\"}";
        figure(&self.metrics().await, &format!("evenfold_projection_{name}{labels}"))
    }
}

fn worker(db: &TestDb, key: &str) -> Evenfold {
    let args = ["worker", key, "--total-partitions=2", "--heartbeat-interval-ms=500", "--database-url", &db.url];
    Evenfold::spawn(&args)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_counts_as_status_does_and_turns_red_within_ten_seconds_of_a_kill() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 1..=40 {
        append_one(&mut conn, &format!("a{n}"), 1).await;
    }
    let (mut killed, _other) = (worker(&db, "--partition-key=0"), worker(&db, "--partition-key=1"));
    let monitor = Monitor::start(&db).await;
    wait_until("it to be ready", SOON, async || monitor.get("/readyz").await.status == 200).await;
    wait_until("all of it to be applied", SOON, async || {
        monitor.of_class("behind_events").await == Some(0.0) && monitor.of_class("worker_up").await == Some(1.0)
    })
    .await;
    let two = "{\"ready\":true,\"projections\":1,\"classes\":2}";
    assert_eq!(monitor.get("/readyz").await.body, two);
    linted(&monitor.metrics().await);
    let status: Value = serde_json::from_str(run_at(&db, &["status", "--json"]).fine()).unwrap();
    let text = monitor.metrics().await;
    for class in status["classes"].as_array().unwrap() {
        let labels = format!("{{projection=\"counters\",class={}}}", class["class"]);
        for (figures, field) in [
            ("position", "position"),
            ("behind_events", "behind"),
            ("parked_aggregates", "parked"),
            ("applied_events_total", "applied"),
        ] {
            let shown = figure(&text, &format!("evenfold_projection_{figures}{labels}"));
            assert_eq!(shown, class[field].as_f64(), "{field} of {labels}: {text}");
        }
    }
    assert_eq!(figure(&text, "evenfold_projection_partitions{projection=\"counters\"}"), Some(2.0), "{text}");
    assert_eq!(figure(&text, "evenfold_projection_cover_complete{projection=\"counters\"}"), Some(1.0), "{text}");

    killed.signal(Signal::SIGKILL);
    killed.wait();
    append_one(&mut conn, "later", 1).await;
    let mut answer = String::new();
    wait_until("the class to be red", RED, async || {
        let reply = monitor.get("/readyz").await;
        answer = reply.body;
        reply.status == 503 && monitor.of_class("worker_up").await == Some(0.0)
    })
    .await;
    assert!(answer.contains("counters: nobody is at work on 1 of its 2 classes (0/2): no heartbeat from "), "{answer}");
    assert_eq!(monitor.get("/livez").await.status, 200, "the monitor is alive");
    let _back = worker(&db, "--partition-key=0");
    wait_until("the class to be worked on again", SOON, async || monitor.get("/readyz").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lives_and_does_not_move_is_red_too() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker) = (db.connect().await, db.connect().await);
    let _workers = [worker(&db, "--partition-key=0"), worker(&db, "--partition-key=1")];
    append_one(&mut conn, "a", 1).await;
    let monitor = Monitor::start(&db).await;
    wait_until("it to be ready", SOON, async || monitor.get("/readyz").await.status == 200).await;
    let mut lock = sqlx::Connection::begin(&mut blocker).await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.counters").execute(&mut *lock).await.unwrap();
    append_one(&mut conn, "a", 1).await;
    let mut answer = String::new();
    wait_until("the class to be red", SOON, async || {
        let reply = monitor.get("/readyz").await;
        answer = reply.body;
        reply.status == 503
    })
    .await;
    assert!(answer.contains("the checkpoint does not move, though a worker runs, on 1 of its 2 classes"), "{answer}");
    lock.rollback().await.unwrap();
    wait_until("it to move again", SOON, async || monitor.get("/readyz").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_database_that_can_not_be_asked_no_figure_is_shown_that_would_look_like_news() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    let _workers = [worker(&db, "--partition-key=0"), worker(&db, "--partition-key=1")];
    let monitor = Monitor::start(&db).await;
    wait_until("it to be ready", SOON, async || monitor.get("/readyz").await.status == 200).await;
    sqlx::raw_sql("ALTER TABLE evenfold.events DISABLE TRIGGER events_place").execute(&mut conn).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'evenfold monitor'";
    scalar(&mut conn, end).await;
    wait_until("the figures to be gone", SOON, async || {
        let text = monitor.metrics().await;
        figure(&text, "evenfold_monitor_database_up") == Some(0.0) && !text.contains("evenfold_projection_")
    })
    .await;
    wait_until("the reason", SOON, async || {
        let answer = monitor.get("/readyz").await;
        answer.status == 503 && answer.body.contains("ENABLE ALWAYS TRIGGER events_place")
    })
    .await;
    assert!(monitor.process.log().contains("the projections can't be counted"), "{}", monitor.process.log());
    linted(&monitor.metrics().await);
    sqlx::raw_sql("ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_place").execute(&mut conn).await.unwrap();
    wait_until("the figures to be back", SOON, async || {
        figure(&monitor.metrics().await, "evenfold_monitor_database_up") == Some(1.0)
    })
    .await;
}

/// 100,001 positions are too many to be counted every second.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_backlog_is_estimated_and_a_projection_that_nobody_works_on_is_red() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    run_at(&db, &["pool", "--workers=2", "--until-caught-up"]).fine();
    let fill = "INSERT INTO evenfold.events (version, event_id, aggregate_type, aggregate_id, event_type, payload)
                SELECT 1, gen_random_uuid(), 'counter', 'b' || n, 'incremented', '{}' FROM generate_series(1, 110000) n";
    sqlx::raw_sql(fill).execute(&mut conn).await.unwrap();
    let monitor = Monitor::start(&db).await;
    let mut behind = 0.0;
    wait_until("the backlog", SOON, async || {
        behind = monitor.of_class("behind_events").await.unwrap_or_default();
        behind > 0.0
    })
    .await;
    assert!((54_000.0..=56_000.0).contains(&behind), "half of them: {behind}");
    let answer = monitor.get("/readyz").await;
    assert!(
        answer.body.contains("counters: nobody is at work on all of its 2 classes (0/2, 1/2): no worker has it"),
        "{answer:?}"
    );
}

/// Whoever may see how projections stand may not see what events contain.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_no_event_is_shown_to_other_machines() {
    let db = TestDb::new().await;
    let payload = "/v1/parked/payload?projection=counters&position=1";
    let mut monitor = Monitor::start(&db).await;
    assert_eq!(monitor.get(payload).await.code(), (404, "not_parked".to_owned()), "on this machine it is looked for");
    monitor = Monitor::at(&db, "0.0.0.0:0").await;
    monitor.address.set_ip([127, 0, 0, 1].into());
    assert_eq!(monitor.get(payload).await.code(), (403, "read_only".to_owned()));
    let nothing = "{\"ready\":true,\"projections\":0,\"classes\":0}";
    wait_until("it to count that there is nothing", SOON, async || monitor.get("/readyz").await.body == nothing).await;
}
