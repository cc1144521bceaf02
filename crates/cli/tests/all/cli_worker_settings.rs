//! What turning each of the worker's settings changes.

use crate::cli_worker::field;
use crate::support::cli::run_at;
use crate::support::{Evenfold, SOON, TestDb, append_one, assert_counters_agree, counter, event, scalar, wait_until};
use evenfold::event::NewEvent;
use evenfold::log;
use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::{Connection, PgConnection};

const ONE: [&str; 3] = ["worker", "--partition-key=0", "--total-partitions=1"];

fn spawn(db: &TestDb, args: &[&str]) -> Evenfold {
    Evenfold::spawn(&[&ONE[..], &["--database-url", &db.url], args].concat())
}

async fn wait_for_counter(conn: &mut PgConnection, value: i64, version: i64) {
    wait_until("the counter", SOON, async || counter(conn, "a").await == Some((value, version))).await;
}

fn stop(mut worker: Evenfold) -> String {
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0, "{}", worker.log());
    worker.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_size_bounds_the_events_of_one_transaction() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    log::append(&mut conn, &[1, 2, 3, 4, 5].map(|n| event("a", n))).await.unwrap();
    for (size, batches) in [("--batch-size=1", 5), ("--batch-size=2", 3), ("--batch-size=5000", 1)] {
        sqlx::raw_sql("DELETE FROM evenfold.projections; DELETE FROM evenfold.counters")
            .execute(&mut conn)
            .await
            .unwrap();
        let output = run_at(&db, &[&ONE[..], &["--until-caught-up", size]].concat());
        output.fine();
        assert_eq!(field(output.err.lines().last().unwrap(), "batches"), batches, "{size}: {output:#?}");
        assert_counters_agree(&mut conn).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn max_actors_decides_whether_a_counter_stays_in_memory() {
    // A counter that is changed behind a worker's back shows whether it is read again.
    for (max_actors, expected) in [("--max-actors=2", 101), ("--max-actors=1000", 2)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        append_one(&mut conn, "a", 1).await;
        let worker = spawn(&db, &["--batch-size=1", max_actors]);
        wait_for_counter(&mut conn, 1, 1).await;
        log::append(&mut conn, &["b", "c", "d", "e"].map(|id| event(id, 1))).await.unwrap();
        wait_until("the others", SOON, async || counter(&mut conn, "e").await.is_some()).await;
        sqlx::raw_sql("UPDATE evenfold.counters SET value = 100 WHERE aggregate_id = 'a'")
            .execute(&mut conn)
            .await
            .unwrap();
        append_one(&mut conn, "a", 1).await;
        wait_for_counter(&mut conn, expected, 2).await;
        stop(worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poll_interval_is_the_longest_pause_after_finding_nothing() {
    let listening =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    // Time enough for looking often to cease, and for ten polls of the default.
    let later = "SELECT count(*) FROM evenfold.heartbeats
         WHERE beat_at > (SELECT max(recorded_at) FROM evenfold.events) + '500 ms'";
    for (interval, applied) in [("--poll-interval-ms=3600000", 1), ("--poll-interval-ms=1", 2)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let worker = spawn(&db, &[interval, "--heartbeat-interval-ms=100"]);
        wait_until("the listener", SOON, async || scalar(&mut conn, listening).await == 1).await;
        append_one(&mut conn, "a", 1).await;
        sqlx::raw_sql("NOTIFY evenfold_events").execute(&mut conn).await.unwrap();
        // Its only batch took everything.
        wait_for_counter(&mut conn, 1, 1).await;
        wait_until("a later heartbeat", SOON, async || scalar(&mut conn, later).await == 1).await;
        // Nobody is notified of this one.
        sqlx::raw_sql(
            "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
             VALUES (2, 't', 'a', 'added', '{}')",
        )
        .execute(&mut conn)
        .await
        .unwrap();
        wait_until("a later heartbeat", SOON, async || scalar(&mut conn, later).await == 1).await;
        let log = stop(worker);
        assert_eq!(field(log.lines().last().unwrap(), "applied"), applied, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn database_timeout_abandons_a_batch_that_hangs_and_tries_again() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker) = (db.connect().await, db.connect().await);
    let mut lock = blocker.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.counters IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    append_one(&mut conn, "a", 1).await;
    let worker = spawn(&db, &["--database-timeout-ms=1000"]);
    wait_until("the batch to be abandoned", SOON, async || worker.log().contains("trying again")).await;
    assert!(worker.log().contains("a batch took longer than 1s"), "{}", worker.log());
    lock.rollback().await.unwrap();
    wait_for_counter(&mut conn, 1, 1).await;
    wait_until("the log", SOON, async || worker.log().contains("is worked on again")).await;
    stop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_interval_is_the_pause_between_two_heartbeats() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let worker = spawn(&db, &["--heartbeat-interval-ms=100"]);
    let mut last = None;
    // With the default of two seconds, no two beats are this close.
    wait_until("two beats within a second", SOON, async || {
        let beat: Option<i64> =
            sqlx::query_scalar("SELECT (extract(epoch FROM beat_at) * 1000)::bigint FROM evenfold.heartbeats")
                .fetch_optional(&mut conn)
                .await
                .unwrap();
        let before = std::mem::replace(&mut last, beat);
        before.zip(beat).is_some_and(|(before, now)| before < now && now - before < 1000)
    })
    .await;
    stop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn amount_pointer_decides_what_is_summed() {
    for (pointer, value) in [("--amount-pointer=/lines/1/n", 40), ("--amount-pointer=/amount", 1), ("", 1)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let payload = json!({ "lines": [{ "n": 2 }, { "n": 40 }] });
        log::append(&mut conn, &[NewEvent::new("t", "a", "e", &payload).unwrap()]).await.unwrap();
        let args: Vec<&str> = ONE.into_iter().chain(["--until-caught-up"]).chain([pointer]).collect();
        run_at(&db, args.strip_suffix(&[""]).unwrap_or(&args)).fine();
        assert_eq!(counter(&mut conn, "a").await, Some((value, 1)), "{pointer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn until_caught_up_ends_the_worker_and_without_it_it_goes_on() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    run_at(&db, &[&ONE[..], &["--until-caught-up"]].concat()).fine();
    assert_eq!(counter(&mut conn, "a").await, Some((1, 1)));
    run_at(&db, &[&ONE[..], &["--until-caught-up"]].concat()).fine();

    // Many polls of finding nothing do not end it, and then it still applies.
    let mut worker = spawn(&db, &["--poll-interval-ms=1", "--heartbeat-interval-ms=100"]);
    let beats =
        "SELECT count(*) FROM evenfold.heartbeats WHERE state = 'caught up' AND beat_at > started_at + '500 ms'";
    wait_until("five beats at rest", SOON, async || scalar(&mut conn, beats).await == 1).await;
    assert_eq!(worker.ended(), None);
    append_one(&mut conn, "a", 1).await;
    wait_for_counter(&mut conn, 2, 2).await;
    stop(worker);
}

/// Two workers with one key, until one of them has lost: the other one and the loser.
async fn rivals(db: &TestDb, conn: &mut PgConnection, takeover_after: &str) -> (Evenfold, Evenfold) {
    let args = [takeover_after, "--poll-interval-ms=5", "--log=debug"];
    let (one, two) = (spawn(db, &args), spawn(db, &args));
    let lost = |worker: &Evenfold| worker.log().contains("another worker has this partition");
    wait_until("one of them to lose", SOON, async || {
        append_one(conn, "a", 1).await;
        lost(&one) || lost(&two)
    })
    .await;
    if lost(&one) { (two, one) } else { (one, two) }
}

#[tokio::test(flavor = "multi_thread")]
async fn takeover_after_is_how_long_a_partition_must_stand_still() {
    for (takeover_after, expires) in [("--takeover-after-ms=100", true), ("--takeover-after-ms=3600000", false)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let (mut winner, loser) = rivals(&db, &mut conn, takeover_after).await;
        winner.signal(Signal::SIGKILL);
        winner.wait();
        let last = append_one(&mut conn, "a", 1).await.version.get();
        let version = async |conn: &mut PgConnection| counter(conn, "a").await.map_or(0, |(_, version)| version);
        if expires {
            wait_until("the other to take over", SOON, async || version(&mut conn).await == last).await;
        } else {
            let looks = || loser.log().matches("another worker has this partition").count();
            let before = looks();
            wait_until("many looks", SOON, async || looks() > before + 100).await;
            assert!(version(&mut conn).await < last, "{}", loser.log());
        }
        stop(loser);
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    }
}
