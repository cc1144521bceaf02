//! Whoever waits for his writes reads them afterwards, or learns why he can't.

#[path = "wait_until/partitions.rs"]
mod partitions;

use crate::support::{
    Stepped, TestDb, append_one, counter, drain, event, insert, only_worker, partition, pointer, scalar, worker_of,
};
use evenfold::Position;
use evenfold::checkpoint::Takeover;
use evenfold::counters::{Counters, NAME};
use evenfold::event::{Aggregate, NewEvent};
use evenfold::log::{self, Interest};
use evenfold::projection::{
    self, Batch, BoxError, Pool, Projection, RunOptions, Target, WaitError, Worker, WorkerOptions, parked,
};
use evenfold::schema::Schema;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Long enough for anything that should come.
const LONG: Duration = Duration::from_secs(30);

/// One look.
const NOW: Duration = Duration::ZERO;

async fn wait_for(conn: &mut PgConnection, target: impl Into<Target>, timeout: Duration) -> Result<(), WaitError> {
    projection::wait_until(&Schema::default(), conn, NAME, target, timeout).await
}

/// Looks once, and gives the sentence.
async fn refused(conn: &mut PgConnection, target: impl Into<Target>) -> String {
    wait_for(conn, target, NOW).await.unwrap_err().to_string()
}

fn aggregate(id: &str) -> Aggregate {
    Aggregate { aggregate_type: "t".to_owned(), aggregate_id: id.to_owned() }
}

fn up_to(id: &str, version: i64) -> Target {
    Target::Aggregate { aggregate: aggregate(id), version: Some(version.into()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_what_he_appended_reads_it_in_the_read_model() {
    let db = TestDb::new().await;
    let stop = CancellationToken::new();
    let partitions: Vec<_> = (0..4).map(|key| partition(key, 4)).collect();
    let mut pool = Pool::start(&db.database, &partitions, |c| worker_of(c, 10), &RunOptions::default(), &stop).unwrap();
    let mut conn = db.connect().await;
    for round in 1..=100_i64 {
        let id = format!("a{}", round % 7);
        let appended = log::append(&mut conn, &[event(&id, 1), event("other", 1)]).await.unwrap();
        let target = match round % 4 {
            0 => Target::from(&appended),
            1 => Target::from(aggregate(&id)),
            2 => up_to(&id, appended[0].version.get()),
            _ => Target::Everything,
        };
        wait_for(&mut conn, target, LONG).await.unwrap();
        let version = appended[0].version.get();
        assert_eq!(counter(&mut conn, &id).await, Some((version, version)), "round {round}");
    }
    stop.cancel();
    while pool.ended().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_pending_until_its_own_class_has_applied_it_however_far_the_positions_are() {
    let db = TestDb::new().await;
    let (mut conn, mut slow) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut conn, 10).await;
    let mut open = slow.begin().await.unwrap();
    let late = append_one(&mut open, "late", 1).await;
    let early = append_one(&mut conn, "early", 1).await;
    drain(&mut worker, &mut conn).await;
    wait_for(&mut conn, early, NOW).await.unwrap();
    wait_for(&mut conn, Target::Everything, NOW).await.unwrap();
    open.commit().await.unwrap();

    // Its position is below what the checkpoint has come to.
    assert!(late.position < early.position);
    for target in [Target::from(late), Target::from(aggregate("late")), Target::Everything] {
        let error = refused(&mut conn, target).await;
        assert!(error.contains("partition 0 of 1, which is 1 event behind"), "{error}");
    }
    wait_for(&mut conn, early, NOW).await.unwrap();
    drain(&mut worker, &mut conn).await;
    wait_for(&mut conn, vec![late.position, early.position], NOW).await.unwrap();
    wait_for(&mut conn, Target::Everything, NOW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_what_was_visible_when_the_wait_began_and_nothing_that_was_appended_later() {
    let db = TestDb::new().await;
    let (mut conn, mut waiter) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut conn, 1).await;
    let first = append_one(&mut conn, "a", 1).await;
    let waiting = tokio::spawn(async move { wait_for(&mut waiter, Target::Everything, LONG).await });
    // It is at its pauses once it has looked.
    let looking = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND query LIKE '-- Per checkpoint, whether it has passed%'";
    crate::support::wait_until("the wait looks", LONG, async || scalar(&mut conn, looking).await == 1).await;
    append_one(&mut conn, "b", 1).await;
    worker.step(&mut conn).await.unwrap();
    waiting.await.unwrap().unwrap();
    wait_for(&mut conn, first, NOW).await.unwrap();
    assert!(refused(&mut conn, Target::Everything).await.contains("1 event behind"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_event_ends_the_wait_with_its_reason_also_for_later_events_of_its_aggregate() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    let other = append_one(&mut conn, "other", 1).await;
    append_one(&mut conn, "a", 1).await;
    let wrong = Position::new(insert(&mut conn, "a", 2, r#"{"amount": "much"}"#).await.unwrap());
    drain(&mut worker, &mut conn).await;
    let later = append_one(&mut conn, "a", 1).await;
    let expected = format!("has parked t/a at position {wrong} (");
    let started = Instant::now();
    for round in ["before the later event is read", "after"] {
        for target in [Target::from(wrong), Target::from(later), up_to("a", 3), Target::Everything] {
            let error = wait_for(&mut conn, target, LONG).await.unwrap_err();
            assert!(matches!(&error, WaitError::Parked { position, .. } if *position == wrong), "{round}: {error}");
            assert!(error.to_string().contains(&expected) && error.to_string().contains("amount"), "{round}: {error}");
        }
        // What comes before it, and what has nothing to do with it, is applied.
        wait_for(&mut conn, up_to("a", 1), NOW).await.unwrap();
        wait_for(&mut conn, other, NOW).await.unwrap();
        drain(&mut worker, &mut conn).await;
    }
    assert!(started.elapsed() < LONG, "nothing was waited for");

    let mut counters = Counters::new(pointer(), 100);
    parked::drop_first(&Schema::default(), &mut conn, &mut counters, &aggregate("a")).await.unwrap();
    let error = refused(&mut conn, wrong).await;
    assert!(error.ends_with(&format!("the event at position {wrong}: it was parked, and dropped")), "{error}");
    parked::retry(&Schema::default(), &mut conn, &mut counters, &aggregate("a")).await.unwrap();
    wait_for(&mut conn, later, NOW).await.unwrap();
    wait_for(&mut conn, Target::Everything, NOW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_can_see_is_not_waited_for() {
    let db = TestDb::new().await;
    let (mut conn, mut writer) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    let mut open = writer.begin().await.unwrap();
    let appended = append_one(&mut open, "b", 1).await;
    let invisible = format!("no event at position {} is visible", appended.position);
    let started = Instant::now();
    for round in ["uncommitted", "rolled back"] {
        let error = wait_for(&mut conn, appended, LONG).await.unwrap_err().to_string();
        assert!(error.contains(&invisible), "{round}: {error}");
        let error = wait_for(&mut conn, aggregate("b"), LONG).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "t/b has no event that is visible: wait after the commit, or correct its type, id or version"
        );
        let error = wait_for(&mut conn, up_to("a", 2), LONG).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "t/a has no version 2 that is visible: wait after the commit, or correct its type, id or version"
        );
        if round == "uncommitted" {
            // Its own transaction sees it, and would wait for itself.
            let error = wait_for(&mut open, appended, LONG).await.unwrap_err();
            assert!(matches!(error, WaitError::InTransaction), "{error}");
            sqlx::query("ROLLBACK").execute(&mut *open).await.unwrap();
        }
    }
    assert!(started.elapsed() < LONG);
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut *open).await.unwrap();
    assert!(matches!(wait_for(&mut open, Target::Everything, LONG).await, Err(WaitError::InTransaction)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_says_which_partition_is_how_far_behind_and_that_nobody_works_on_it_or_who_does() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let appended = append_one(&mut conn, "a", 1).await;
    let started = Instant::now();
    let error = wait_for(&mut conn, appended, Duration::from_millis(50)).await.unwrap_err().to_string();
    assert_eq!(error, "the projection counters has not been begun: start a worker, or correct its name");
    assert!(started.elapsed() >= Duration::from_millis(50), "it may be begun meanwhile");

    let mut team = Stepped::team(&db, 2, 10).await;
    append_one(&mut conn, "a", 1).await;
    let of_a = (0..2).find(|&key| partition(key, 2).contains(evenfold::hash::IdHash::of("a"))).unwrap();
    let error = refused(&mut conn, appended).await;
    let behind = format!("test:1 is at work on partition {of_a} of 2, which is 2 events behind (starting)");
    assert_eq!(error, format!("the projection counters has not applied the events after 0.0ns: {behind}"));

    sqlx::query("DELETE FROM evenfold.heartbeats").execute(&mut conn).await.unwrap();
    let error = refused(&mut conn, appended).await;
    let idle = format!("no worker is at work on partition {of_a} of 2, which is 2 events behind (no worker;");
    assert!(error.contains(&idle), "{error}");
    for one in &mut team {
        one.drain().await;
    }
    wait_for(&mut conn, appended, NOW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_names_workers_whose_number_of_partitions_was_superseded() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::start(&db, 0, 2, 10).await;
    Stepped::start(&db, 0, 3, 10).await;
    let late = Stepped::new(&db, partition(1, 2), 10, Takeover::After(projection::GRACE)).await.worker;
    let stop = CancellationToken::new();
    let (database, shutdown) = (db.database.clone(), stop.clone());
    let run = tokio::spawn(async move { projection::run(&database, late, &RunOptions::default(), shutdown).await });
    let waits = "SELECT count(*) FROM evenfold.heartbeats WHERE starts_with(state, 'superseded')";
    crate::support::wait_until("it waits", LONG, async || scalar(&mut conn, waits).await == 1).await;
    let appended = append_one(&mut conn, "a", 1).await;
    let error = refused(&mut conn, appended).await;
    assert!(error.ends_with("1 workers of 2 partitions wait, since that number was superseded by 3"), "{error}");
    stop.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_checkpoint_stands_for_an_event_nothing_is_waited_for() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::team(&db, 2, 10).await;
    let appended = append_one(&mut conn, "a", 1).await;
    sqlx::query("DELETE FROM evenfold.checkpoints").execute(&mut conn).await.unwrap();
    for target in [Target::from(appended), Target::Everything] {
        let error = wait_for(&mut conn, target, LONG).await.unwrap_err();
        assert!(matches!(error, WaitError::Uncovered { .. }), "{error}");
    }
}

/// Wants some events only.
struct Picky;

impl Projection for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn interest(&self) -> Interest {
        Interest::everything().in_aggregates(["t"]).in_events(["wanted"])
    }

    async fn apply(&mut self, _: &mut PgConnection, _: &mut Batch<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_projection_does_not_want_is_not_waited_for() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = Worker::new(partition(0, 1), Picky, WorkerOptions::default());
    worker.register(&mut conn).await.unwrap();
    let wait = async |conn: &mut PgConnection, target: Target| {
        projection::wait_until(&Schema::default(), conn, "picky", target, NOW).await.is_ok()
    };
    let new = |kind: &str, name: &str| NewEvent::new(kind, "a", name, &json!({})).unwrap();
    let unwanted = log::append(&mut conn, &[new("t", "unwanted"), new("u", "wanted")]).await.unwrap();
    assert!(wait(&mut conn, Target::from(&unwanted)).await);
    assert!(wait(&mut conn, Target::Everything).await);
    let wanted = log::append(&mut conn, &[new("t", "wanted")]).await.unwrap();
    assert!(!wait(&mut conn, Target::from(&wanted)).await);
    assert!(!wait(&mut conn, Target::Everything).await);
    worker.step(&mut conn).await.unwrap();
    assert!(wait(&mut conn, Target::from(&wanted)).await);
    assert!(wait(&mut conn, Target::Everything).await);
}
