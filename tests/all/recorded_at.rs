//! When an event was recorded: now, or when whoever imports it says.

use crate::support::{TestDb, event};
use evenfold::{Aggregate, InvalidEvent, NewEvent, Version, append, load};
use sqlx::PgConnection;
use std::time::{Duration, SystemTime};

/// 2001-02-03 04:05:06.789012 in UTC, in seconds and microseconds of Unix time.
const TIME: Duration = Duration::new(981_173_106, 789_012_000);

fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + TIME
}

async fn times(conn: &mut PgConnection, id: &str) -> Vec<SystemTime> {
    let mut history = load(conn, &Aggregate::new("t", id), Version::NONE);
    let mut times = Vec::new();
    while let Some(event) = history.next().await.unwrap() {
        times.push(event.recorded_at());
    }
    times
}

async fn sql(conn: &mut PgConnection, statement: &'static str) -> Result<(), String> {
    sqlx::raw_sql(statement).execute(conn).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_event_keeps_its_time_to_the_microsecond_and_others_have_that_of_the_append() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let imported = || event("a", 1).with_recorded_at(time()).unwrap();
    append(&mut conn, &[imported()]).await.unwrap();
    append(&mut conn, &[imported(), event("a", 2), imported()]).await.unwrap();
    let line = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":1,
                   "recorded_at":"2001-02-03T06:05:06.789012+02:00"}"#;
    append(&mut conn, &[NewEvent::from_json(line).unwrap()]).await.unwrap();
    let times = times(&mut conn, "a").await;
    let imported: Vec<bool> = times.iter().map(|recorded| *recorded == time()).collect();
    assert_eq!(imported, [true, true, false, true, true], "{times:?}");
    assert!(times[2].elapsed().unwrap() < Duration::from_mins(1), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_for_other_languages_take_it_as_well_and_only_with_its_offset() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    // What a text without an offset would be taken for.
    sql(&mut conn, "SET TimeZone = 'Asia/Tokyo'").await.unwrap();
    let one = "SELECT evenfold.append('t', 'a', 'e', '1', recorded_at => '2001-02-03T04:05:06.789012Z')";
    sql(&mut conn, one).await.unwrap();
    let many = r#"SELECT evenfold.append('[
        {"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":1,"recorded_at":"2001-02-03T04:05:06.789012Z"},
        {"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":1,"recorded_at":null},
        {"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":1,"recorded_at":"2001-02-02 23:05:06.789012-05"}
    ]')"#;
    sql(&mut conn, many).await.unwrap();
    let imported: Vec<bool> = times(&mut conn, "a").await.iter().map(|recorded| *recorded == time()).collect();
    assert_eq!(imported, [true, true, false, true]);
    let without = r#"SELECT evenfold.append('[{"aggregate_type":"t","aggregate_id":"b","event_type":"e","payload":1,
        "recorded_at":"2001-02-03T04:05:06"}]')"#;
    let refused = sql(&mut conn, without).await.unwrap_err();
    assert!(refused.contains("recorded_at must have its offset from UTC"), "{refused}");
    assert_eq!(times(&mut conn, "b").await, [SystemTime::UNIX_EPOCH; 0]);
}

#[test]
fn a_time_that_postgresql_does_not_have_is_refused_in_a_sentence() {
    let far = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 366 * 300_000);
    let refused = event("a", 1).with_recorded_at(far).unwrap_err();
    assert!(matches!(refused, InvalidEvent::RecordedAt(_)), "{refused}");
}
