//! An append wakes those who listen, when it commits, and not so often that commits wait for each other.

use crate::support::{SOON, TestDb, append_one, event};
use evenfold::event::ExpectedVersion;
use evenfold::log;
use evenfold::number::Version;
use evenfold::schema::Schema;
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use uuid::Uuid;

async fn listener(db: &TestDb) -> PgListener {
    let pool = PgPoolOptions::new().max_connections(1).connect(&db.url).await.unwrap();
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen_all([&Schema::default().channel(), "end"]).await.unwrap();
    listener
}

/// How many notifications were made before now: those of one database come in the order of the commits.
async fn received(listener: &mut PgListener, conn: &mut PgConnection) -> usize {
    sqlx::query("SELECT pg_notify('end', '')").execute(conn).await.unwrap();
    let mut count = 0;
    loop {
        let notification = tokio::time::timeout(SOON, listener.recv()).await.unwrap().unwrap();
        if notification.channel() == "end" {
            return count;
        }
        count += 1;
    }
}

/// Time in which this test appends nothing: the next turn is due.
async fn quiet(listener: &mut PgListener, conn: &mut PgConnection) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(60) {
        received(listener, conn).await;
    }
}

/// Tries again until it succeeds: other tests of this process append as well, and take their turns.
async fn until_received(mut attempt: impl AsyncFnMut() -> usize) {
    let started = Instant::now();
    loop {
        match attempt().await {
            0 => assert!(started.elapsed() < SOON, "no append is notified"),
            count => return assert_eq!(count, 1, "at once"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_notified_when_it_commits_and_not_when_it_is_rolled_back() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut listener = listener(&db).await;
    until_received(async || {
        append_one(&mut conn, "a", 1).await;
        received(&mut listener, &mut conn).await
    })
    .await;
    until_received(async || {
        let mut tx = conn.begin().await.unwrap();
        log::append(&mut tx, &[event("a", 1), event("b", 1)]).await.unwrap();
        assert_eq!(received(&mut listener, &mut other).await, 0, "not committed yet");
        tx.commit().await.unwrap();
        received(&mut listener, &mut other).await
    })
    .await;
    for _ in 0..10 {
        let mut tx = conn.begin().await.unwrap();
        append_one(&mut tx, "a", 1).await;
        tx.rollback().await.unwrap();
        assert_eq!(received(&mut listener, &mut other).await, 0, "rolled back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_fails_or_is_open_for_long_leaves_its_turn_to_the_next() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut listener = listener(&db).await;
    let wrong = event("a", 1).expecting(ExpectedVersion::Exactly(Version::new(700_000)));
    until_received(async || {
        quiet(&mut listener, &mut conn).await;
        assert!(log::append(&mut conn, std::slice::from_ref(&wrong)).await.is_err());
        append_one(&mut conn, "a", 1).await;
        received(&mut listener, &mut conn).await
    })
    .await;
    until_received(async || {
        quiet(&mut listener, &mut conn).await;
        let mut tx = conn.begin().await.unwrap();
        append_one(&mut tx, "b", 1).await;
        append_one(&mut other, "a", 1).await;
        let count = received(&mut listener, &mut other).await;
        tx.rollback().await.unwrap();
        count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_notified_once_in_fifty_milliseconds_whatever_the_number_of_events() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut listener = listener(&db).await;
    let many: Vec<_> = (0..1_000).map(|n| event(&format!("a{n}"), 1)).collect();
    until_received(async || {
        log::append(&mut conn, &many.iter().map(|e| e.clone().with_event_id(Uuid::new_v4())).collect::<Vec<_>>())
            .await
            .unwrap();
        received(&mut listener, &mut conn).await
    })
    .await;
    let started = Instant::now();
    for n in 0..1_000 {
        append_one(&mut conn, &format!("b{n}"), 1).await;
    }
    let pauses = started.elapsed().as_millis() / 50;
    let count = received(&mut listener, &mut conn).await;
    assert!(count as u128 <= pauses + 1, "{count} times in {:?}", started.elapsed());
}
