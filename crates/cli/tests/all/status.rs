//! The status is read from the database alone, and is right when nobody is at work.

use crate::support::cli::run_at;
use crate::support::{Evenfold, SOON, Stepped, TestDb, append_one, event, ids_in, partition, scalar, wait_until};
use evenfold::checkpoint::{ClassStatus, Status, Takeover, lag, status};
use evenfold::counters::NAME;
use evenfold::event::NewEvent;
use evenfold::log::{self, EventBuffer, Fence, Interest, Layout, Slice, Window};
use evenfold::number::Position;
use evenfold::schema::Schema;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::{Duration, SystemTime};

async fn look(conn: &mut PgConnection) -> Status {
    status(&Schema::default(), conn, NAME).await.unwrap()
}

fn class<'a>(status: &'a Status, name: &str) -> &'a ClassStatus {
    status.classes.iter().find(|class| class.class == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_what_each_class_has_not_applied_when_no_worker_runs() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    assert_eq!(look(&mut conn).await.total_partitions, None);
    let mut team = Stepped::team(&db, 2, 2).await;
    let (even, odd) = (&ids_in(partition(0, 2), 1)[0], &ids_in(partition(1, 2), 1)[0]);
    for _ in 0..5 {
        append_one(&mut conn, even, 1).await;
        append_one(&mut conn, odd, 1).await;
    }
    team[0].step().await;
    let bad = NewEvent::new("t", odd, "added", &json!({ "amount": "x" })).unwrap();
    log::append(&mut conn, &[bad]).await.unwrap();
    team[1].drain().await;
    team.clear();
    sqlx::raw_sql("DELETE FROM evenfold.heartbeats").execute(&mut conn).await.unwrap();

    let status = look(&mut conn).await;
    assert_eq!((status.total_partitions, status.cover_complete, status.classes.len()), (Some(2), true, 2));
    let (even, odd) = (class(&status, "0/2"), class(&status, "1/2"));
    assert_eq!((even.behind, even.parked, even.heartbeat_seconds), (3, 0, None), "a window is open");
    assert!(even.behind_seconds > 0.0 && even.position < odd.position, "{status:#?}");
    assert_eq!((odd.behind, odd.parked, odd.owner.as_ref()), (0, 1, None));
    assert_eq!(
        (status.events, status.applied(), status.is_idle()),
        (Some(11), Some(7), true),
        "3 behind, and 1 parked"
    );
    assert_eq!(status.oldest_append_open_seconds, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_every_class_of_a_change_that_is_half_done_and_the_number_that_was_replaced() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::team(&db, 2, 2).await;
    Stepped::start(&db, 0, 3, 2).await;
    append_one(&mut conn, "a", 1).await;
    let status = look(&mut conn).await;
    assert_eq!((status.total_partitions, status.cover_complete), (Some(3), true));
    assert_eq!(status.superseded.iter().map(|(total, _)| *total).collect::<Vec<_>>(), [2]);
    assert_eq!(status.classes.iter().map(|class| class.behind).sum::<u64>(), 1);
    // Each of the two rows was cut into its three cells, since both overlap the new partition.
    assert_eq!(status.classes.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_a_hole_in_the_cover() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::team(&db, 3, 2).await;
    sqlx::raw_sql("DELETE FROM evenfold.checkpoints WHERE residue = 1").execute(&mut conn).await.unwrap();
    assert!(!look(&mut conn).await.cover_complete);
    let shown = Evenfold::run(&["status", "--database-url", &db.url], "");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("3 partitions, cover INCOMPLETE"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_an_open_transaction_that_has_appended() {
    let db = TestDb::new().await;
    let (mut conn, mut writer) = (db.connect().await, db.connect().await);
    Stepped::start(&db, 0, 1, 2).await;
    let mut tx = writer.begin().await.unwrap();
    log::append(&mut tx, &[event("a", 1)]).await.unwrap();
    assert!(look(&mut conn).await.oldest_append_open_seconds.is_some_and(|seconds| seconds >= 0.0));
    tx.rollback().await.unwrap();
    assert_eq!(look(&mut conn).await.oldest_append_open_seconds, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lag_is_counted_up_to_100_000_positions_and_estimated_beyond() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let quarter = partition(1, 4);
    let mut worker = Stepped::new(&db, quarter, 10, Takeover::Now).await;
    worker.drain().await;
    append_one(&mut conn, &ids_in(quarter, 1)[0], 1).await;
    for (last, events) in [(100_000, 1), (400_000, 100_000)] {
        sqlx::query("SELECT setval('evenfold.events_position_seq', $1)").bind(last).execute(&mut conn).await.unwrap();
        let lag = lag(&Schema::default(), &mut conn, None, NAME, quarter, &Interest::everything()).await.unwrap();
        assert_eq!(lag.events, events, "with {last} positions");
        assert!(lag.age > Duration::ZERO && lag.age < SOON, "the age is the event's: {:?}", lag.age);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_counts_what_is_behind_up_to_1_000_000_positions_and_says_that_it_estimates_beyond() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::new(&db, partition(0, 1), 10, Takeover::Now).await.drain().await;
    append_one(&mut conn, "a", 1).await;
    for (last, behind) in [(1_000_000, "1 behind"), (4_000_000, "~4,000,000 behind")] {
        sqlx::query("SELECT setval('evenfold.events_position_seq', $1)").bind(last).execute(&mut conn).await.unwrap();
        let shown = Evenfold::run(&["status", "--database-url", &db.url], "");
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(text.contains(behind), "with {last} positions: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_another_database_is_not_shown() {
    // Made from one template, in which the table has the same number.
    let (db, other) = (TestDb::new().await, TestDb::new().await);
    let (mut conn, mut writer) = (db.connect().await, other.connect().await);
    Stepped::start(&db, 0, 1, 2).await;
    let mut tx = writer.begin().await.unwrap();
    log::append(&mut tx, &[event("a", 1)]).await.unwrap();
    assert_eq!(look(&mut conn).await.oldest_append_open_seconds, None);
}

/// Times that another writer may have given, at the ends of what PostgreSQL has and beyond them.
const TIMES: [&str; 4] = ["-infinity", "infinity", "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00"];

async fn at_time(conn: &mut PgConnection, id: &str, version: i64, amount: &str, time: &str) {
    sqlx::query(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload, recorded_at)
         VALUES ($2, 't', $1, 'added', json_build_object('amount', $3::text::json), $4::text::timestamptz)",
    )
    .bind(id)
    .bind(version)
    .bind(amount)
    .bind(time)
    .execute(conn)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_infinite_or_extreme_ends_neither_status_nor_heartbeat_nor_retry() {
    for time in TIMES {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        let mut worker = Stepped::new(&db, partition(0, 1), 10, Takeover::Now).await;
        append_one(&mut conn, "first", 1).await;
        worker.drain().await;
        at_time(&mut conn, "odd", 1, "1", time).await;
        at_time(&mut conn, "odd", 2, "\"x\"", time).await;
        append_one(&mut conn, "usual", 1).await;
        let status = look(&mut conn).await;
        assert_eq!(status.classes[0].behind, 3, "{time}");
        // The age is that of the oldest event that has one.
        let (aeons, age) = (time.contains("BC"), status.classes[0].behind_seconds);
        assert!(if aeons { age > 1e11 } else { age < SOON.as_secs_f64() }, "{time}: {age}");
        for command in [["status"].as_slice(), &["status", "--json"], &["verify"]] {
            run_at(&db, command).fine();
        }
        // So far behind that it is estimated, from the first event that is left.
        sqlx::raw_sql("SELECT setval('evenfold.events_position_seq', 200000)").execute(&mut conn).await.unwrap();
        let estimated =
            lag(&Schema::default(), &mut conn, None, NAME, partition(0, 1), &Interest::everything()).await.unwrap();
        assert!(estimated.events > 100_000, "{time}: {estimated:?}");

        let running = Evenfold::spawn(&[
            "worker",
            "--partition-key=0",
            "--total-partitions=1",
            "--heartbeat-interval-ms=100",
            "--takeover-after-ms=100",
            "--database-url",
            &db.url,
        ]);
        wait_until("all is applied and a heartbeat says so", SOON, async || {
            scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats WHERE applied >= 2 AND state = 'caught up'")
                .await
                == 1
        })
        .await;
        drop(running);
        let retried = run_at(&db, &["parked", "retry", "--all"]);
        assert!(retried.out.contains("still parked at version 2"), "{time}: {retried:?}");
        run_at(&db, &["rebuild"]).fine();
        run_at(&db, &["repair"]).fine();
        run_at(&db, &["verify"]).fine();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_an_event_is_read_to_the_microsecond_and_infinity_is_beyond_all_others() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let usual = ["1970-01-01 00:00:00+00", "1999-12-31 23:59:59.999999+00", "2026-03-04 05:06:07.000008+00"];
    for (n, time) in (0..).zip(usual.iter().chain(&TIMES)) {
        at_time(&mut conn, &format!("a{n}"), 1, "1", time).await;
    }
    let (seen, mut buffer) = (Fence::before_all(), EventBuffer::default());
    let upto = Fence::take(&Schema::default(), &mut conn).await.unwrap();
    let window = Window { seen: &seen, upto: &upto, after: Position::new(0) };
    let interest = Interest::everything().with_envelope();
    log::read(&Layout::default(), &mut conn, window, &Slice::of(&[partition(0, 1)]), &interest, 100, &mut buffer)
        .await
        .unwrap();
    let times: Vec<SystemTime> = buffer.events().map(|event| event.envelope.unwrap().recorded_at()).collect();
    let after_1970 = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    let expected = [0, 946_684_799_999_999, 1_772_600_767_000_008].map(after_1970);
    assert_eq!(times[..3], expected);
    let [before_all, after_all, first, last] = times[3..] else { panic!("{times:?}") };
    assert!(before_all < first && first < expected[0] && expected[2] < last && last < after_all, "{times:?}");
}
