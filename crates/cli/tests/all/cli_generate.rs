//! `generate`: as many events as asked for, over as many aggregates, no faster than the rate given, and the same again
//! by a seed.

use crate::support::cli::{CliOutput, DataDir, run_at};
use crate::support::{Evenfold, SOON, TestDb, scalar, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgConnection;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn it_writes_exactly_as_many_events_over_as_many_aggregates() {
    for (events, aggregates, writers, batch_size) in [(1000, 10, 4, 7), (1, 64, 64, 10_000), (999, 1, 1, 1000)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let args = [
            "generate".to_owned(),
            "--yes".to_owned(),
            format!("--events={events}"),
            format!("--aggregates={aggregates}"),
            format!("--writers={writers}"),
            format!("--batch-size={batch_size}"),
        ];
        let output = run_at(&db, &args.each_ref().map(String::as_str));
        let expected = if events == 1000 {
            "appended 1,000 events in ".to_owned()
        } else {
            format!("appended {events} events in ")
        };
        assert!(output.fine().starts_with(&expected) && output.out.ends_with("/s\n"), "{output:?}");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, events);
        let made = scalar(&mut conn, "SELECT count(DISTINCT aggregate_id) FROM evenfold.events").await;
        assert_eq!(made, if events == 1 { 1 } else { aggregates }, "with this many events none is left out");
        let size =
            scalar(&mut conn, "SELECT max(n) FROM (SELECT count(*) n FROM evenfold.events GROUP BY xid) batches").await;
        assert!(size <= batch_size, "{size} events in one transaction");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_appended_before_a_lost_connection_are_reported() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let args = ["generate", "--yes", "--rate=500", "--writers=1", "--database-url", &db.url];
    let mut writing = Evenfold::spawn(&args);
    wait_until("some events", SOON, async || scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await > 100)
        .await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'evenfold generate'";
    assert_eq!(scalar(&mut conn, end).await, 1);
    assert_eq!(writing.wait(), 1);
    let (log, events) = (writing.log(), scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await);
    assert!(log.contains(&format!("; {events} events had been appended by then, and stay in the log")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_evenfold_did_not_make_gets_no_sample_events_without_a_yes() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let refused = run_at(&db, &["generate", "--events=2000"]);
    refused.complains(2, "this would append 2,000 sample events to the log in the database of the URL");
    assert!(refused.err.contains("which keeps them for ever: say --yes if that is meant"), "{refused:?}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 0);
    run_at(&db, &["generate", "--events=2000", "--yes"]).fine();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 2000);

    let dir = DataDir::new();
    assert!(dir.run(&["generate", "--events=10"]).fine().starts_with("appended 10 events"), "its own is asked nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_writers_write() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run_at(&db, &["generate", "--yes", "--events=800", "--aggregates=80", "--writers=8", "--batch-size=10"]).fine();
    let shares = "SELECT count(*) FROM (SELECT 1 FROM evenfold.events GROUP BY right(aggregate_id, 8)::int % 8
         HAVING count(*) = 100) AS shares";
    assert_eq!(scalar(&mut conn, shares).await, 8);
}

async fn contents(conn: &mut PgConnection) -> Vec<(String, String, i64, String)> {
    sqlx::query_as("SELECT aggregate_id, event_type, version, payload::text FROM evenfold.events ORDER BY 1, 3")
        .fetch_all(conn)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_writes_the_same_again_and_another_one_does_not() {
    let mut written = Vec::new();
    for seed in ["--seed=7", "--seed=7", "--seed=8"] {
        let db = TestDb::new().await;
        run_at(&db, &["generate", "--yes", "--events=300", "--aggregates=20", "--writers=4", "--batch-size=20", seed])
            .fine();
        written.push(contents(&mut db.connect().await).await);
    }
    assert_eq!(written[0], written[1]);
    assert_ne!(written[0], written[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_not_exceeded() {
    let db = TestDb::new().await;
    let started = Instant::now();
    run_at(
        &db,
        &["generate", "--yes", "--events=300", "--aggregates=20", "--writers=2", "--batch-size=10", "--rate=200"],
    )
    .fine();
    assert!(started.elapsed() >= Duration::from_millis(1500), "300 events in {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_sigterm_end_it_and_it_says_how_much_was_written() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let mut command =
            Evenfold::command(&["generate", "--yes", "--events=1000000000", "--rate=1000", "--batch-size=10"]);
        command.env("DATABASE_URL", &db.url).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        wait_until("the first events", SOON, async || {
            scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await > 0
        })
        .await;
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let output: CliOutput = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap().into();
        let appended =
            output.fine().strip_prefix("appended ").and_then(|rest| rest.split_once(" events in ")).unwrap().0;
        let written = scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await;
        assert_eq!(appended.replace(',', ""), written.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_writes_is_applied_without_a_parked_event() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run_at(&db, &["generate", "--yes", "--events=500", "--aggregates=20", "--writers=2"]).fine();
    crate::support::cli::apply_all(&db).fine();
    assert_eq!(scalar(&mut conn, "SELECT sum(events)::bigint FROM evenfold.counters").await, 500);
    crate::support::assert_counters_agree(&mut conn).await;
}
