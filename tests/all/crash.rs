//! The server crashes while workers that do not wait for the disk have committed: their last commits are lost, read
//! model and checkpoint together, and are made again.

use crate::support::{
    Postgres, SOON, TestDb, append_one, assert_counters_agree, drain, note_synchronous_commit, only_worker, partition,
    scalar, wait_until, worker_of,
};
use evenfold::database::Database;
use evenfold::projection::{self, RunOptions};
use evenfold::schema::{self, Schema};
use sqlx::PgConnection;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

/// Nothing is written to disk but what somebody waits for, or what was committed before that.
const LAZY: &str = "wal_writer_delay = 10s\nwal_writer_flush_after = 1GB";

const COUNTED: &str = "SELECT coalesce(sum(value), 0)::bigint FROM evenfold.counters";

/// Whether one of so many crashes has taken back what a worker had committed.
async fn a_crash_takes_back(options: &RunOptions, most: i64) -> bool {
    let server = block_in_place(|| Postgres::start("UTF8", LAZY));
    let database = Database::at(&server.url()).unwrap();
    let mut conn = database.connect_to_server().await.unwrap().0;
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    for crash in 1..=most {
        let (on, with, worker) = (database.clone(), options.clone(), worker_of(partition(0, 1), 10));
        let running =
            tokio::spawn(async move { projection::run(&on, worker, &with, CancellationToken::new()).await.unwrap() });
        append_one(&mut conn, "a", 1).await;
        wait_until("the event to be applied", SOON, async || scalar(&mut conn, COUNTED).await == crash).await;
        running.abort();
        block_in_place(|| {
            server.kill();
            server.start_after_kill();
        });
        conn = connected(&database).await;
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, crash, "an event is lost");
        let lost = scalar(&mut conn, COUNTED).await < crash;
        let mut again = only_worker(&mut conn, 10).await;
        drain(&mut again, &mut conn).await;
        assert_eq!(scalar(&mut conn, COUNTED).await, crash);
        assert_counters_agree(&mut conn).await;
        if lost {
            return true;
        }
    }
    false
}

async fn connected(database: &Database) -> PgConnection {
    let mut conn = None;
    wait_until("a connection", SOON, async || {
        conn = database.connect().await.ok();
        conn.is_some()
    })
    .await;
    conn.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_takes_read_model_and_checkpoint_back_together_and_what_is_lost_is_applied_again() {
    // A heartbeat in between has everything on disk.
    assert!(a_crash_takes_back(&RunOptions::default(), 20).await, "nothing was lost: what is tested?");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_takes_nothing_back_from_workers_that_wait_for_the_disk() {
    assert!(!a_crash_takes_back(&RunOptions::default().synchronous_commit(true), 3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_the_disk_where_it_is_to_or_the_url_says_so_or_its_end_says_that_all_is_applied() {
    let until_caught_up = RunOptions::default().until_caught_up(true);
    let kept = "options=-c%20synchronous_commit%3Dlocal";
    let cases = [
        ("", RunOptions::default(), "off"),
        ("", RunOptions::default().synchronous_commit(true), "remote_write"),
        ("", until_caught_up, "remote_write"),
        (kept, RunOptions::default(), "local"),
    ];
    for (url, options, expected) in cases {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        note_synchronous_commit(&mut conn, "evenfold.counters").await;
        append_one(&mut conn, "a", 1).await;
        let database =
            Database::at(&format!("{}{}{url}", db.url, if db.url.contains('?') { '&' } else { '?' })).unwrap();
        let (stop, worker) = (CancellationToken::new(), worker_of(partition(0, 1), 10));
        let stopped = stop.clone();
        let running = tokio::spawn(async move { projection::run(&database, worker, &options, stopped).await });
        wait_until("the event to be applied", SOON, async || scalar(&mut conn, COUNTED).await == 1).await;
        stop.cancel();
        running.await.unwrap().unwrap();
        let noted: Vec<String> = sqlx::query_scalar("SELECT setting FROM noted").fetch_all(&mut conn).await.unwrap();
        assert_eq!(noted, [expected], "{url}");
    }
}
