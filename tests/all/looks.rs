//! Looking again and again, as a worker does that has caught up: each event is found once, whenever it is committed.

use crate::support::{TestDb, append_one, event, partition};
use evenfold::log::{self, EventBuffer, Fence, Interest, Slice};
use evenfold::number::Position;
use evenfold::schema::Schema;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use tokio::task::JoinSet;

const WRITERS: u64 = 6;
const EVENTS: u64 = 2_000;

/// Appends one event after the other on the first connection, and some on the second, in transactions that stay open
/// meanwhile, and are rolled back at times.
async fn write(mut conn: PgConnection, mut slow: PgConnection, writer: u64) {
    let mut open_until = None;
    for number in 0..EVENTS {
        append_one(&mut conn, &format!("{writer}-{}", number % 100), 1).await;
        if open_until.is_none() && fastrand::u8(0..20) == 0 {
            sqlx::raw_sql("BEGIN").execute(&mut slow).await.unwrap();
            log::append(&mut slow, &[event(&format!("{writer}-slow"), 1)]).await.unwrap();
            open_until = Some(number + fastrand::u64(0..100));
        }
        if open_until.is_some_and(|until| until <= number) {
            let end = if fastrand::bool() { "COMMIT" } else { "ROLLBACK" };
            sqlx::raw_sql(end).execute(&mut slow).await.unwrap();
            open_until = None;
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut slow).await.unwrap();
}

/// What the planner knows changes, so statements are planned anew, and pages are written in full.
async fn disturb(mut conn: PgConnection) {
    for _ in 0..100 {
        sqlx::raw_sql("VACUUM ANALYZE evenfold.events").execute(&mut conn).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_found_by_exactly_one_look_while_many_write() {
    let db = TestDb::new().await;
    let (mut conn, slice) = (db.database.by_index().connect().await.unwrap(), Slice::of(&[partition(0, 1)]));
    let mut others = JoinSet::new();
    others.spawn(disturb(db.connect().await));
    for writer in 0..WRITERS {
        others.spawn(write(db.connect().await, db.connect().await, writer));
    }
    let (mut seen, mut floor, mut found) = (Fence::before_all(), Position::START, BTreeMap::<i64, u32>::new());
    let (mut buffer, mut looks) = (EventBuffer::default(), 0);
    loop {
        let last = others.is_empty();
        let (everything, limit) = (Interest::everything(), 1_000_000);
        let polled = log::poll(&Schema::default(), &mut conn, (&seen, floor), &slice, &everything, limit, &mut buffer)
            .await
            .unwrap();
        for event in buffer.events() {
            *found.entry(event.position.get()).or_default() += 1;
        }
        (seen, floor) = (polled.fence, polled.last_position);
        looks += 1;
        if last {
            break;
        }
        while let Some(ended) = others.try_join_next() {
            ended.unwrap();
        }
    }
    let sql = "SELECT position FROM evenfold.events ORDER BY 1";
    let stored: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap();
    let missed: Vec<&i64> = stored.iter().filter(|position| !found.contains_key(position)).collect();
    let twice: Vec<_> = found.iter().filter(|(_, times)| **times != 1).collect();
    assert!(missed.is_empty() && twice.is_empty(), "missed {missed:?}, twice {twice:?}");
    assert!(stored.len() as u64 >= WRITERS * EVENTS && looks > 100, "{looks} looks");
}
