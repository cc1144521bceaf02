//! A payload and its metadata have 1 MiB each at most, whoever writes them, and what is larger from before takes no
//! worker's memory.

use crate::support::cli::run_at;
use crate::support::{
    Evenfold, SOON, TestDb, append_one, assert_counters_agree, counter, drain, insert, only_worker, partition, pointer,
    scalar, wait_until,
};
use evenfold::checkpoint::list_parked;
use evenfold::counter::{BadAmount, Refused};
use evenfold::counters::{NAME, current};
use evenfold::event::{MAX_JSON_BYTES, Unreadable};
use evenfold::log::{self, EventBuffer, Fence, Interest, Slice};
use evenfold::schema::Schema;
use sqlx::{AssertSqlSafe, PgConnection};

const MEBIBYTE: usize = 1024 * 1024;

/// A JSON text of this many bytes, which PostgreSQL compresses to less than a fiftieth.
fn text(bytes: usize) -> String {
    let rest = r#"{"amount":1,"x":""}"#.len();
    format!(r#"{{"amount":1,"x":"{}"}}"#, "x".repeat(bytes - rest))
}

/// The most memory that the only worker has had so far, in bytes.
async fn peak_memory(conn: &mut PgConnection) -> u64 {
    let process = scalar(conn, "SELECT split_part(process, ':', 2)::bigint FROM evenfold.heartbeats").await;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn execute(conn: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(conn).await.unwrap();
}

/// Takes the limit away, as it was not there in the earliest versions, and gives what brings it back for the rows to
/// come.
async fn lift_the_limit(conn: &mut PgConnection) -> String {
    let place: String =
        sqlx::query_scalar("SELECT pg_get_functiondef('evenfold.place'::regproc)").fetch_one(&mut *conn).await.unwrap();
    let lifted = place.replace("1048576", "1073741823");
    assert_ne!(lifted, place);
    execute(conn, lifted).await;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_what_is_larger_than_1_mib_however_it_comes() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    insert(&mut conn, "a", 1, &text(MAX_JSON_BYTES)).await.unwrap();
    let refused = |error: sqlx::Error| {
        let error = error.into_database_error().unwrap();
        assert_eq!(error.constraint(), Some("events_payload_check"), "{error}");
    };
    refused(insert(&mut conn, "a", 2, &text(MAX_JSON_BYTES + 1)).await.unwrap_err());
    // Compressed, and in a table of its own, where a value comes from another table.
    execute(&mut conn, "CREATE TABLE other (id text, contents json)").await;
    for (id, bytes) in [("fits", MAX_JSON_BYTES), ("large", MAX_JSON_BYTES + 1)] {
        sqlx::query("INSERT INTO other VALUES ($1, $2::text::json)")
            .bind(id)
            .bind(text(bytes))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    for column in ["payload", "metadata"] {
        for (id, fits) in [("fits", true), ("large", false)] {
            let sql = format!(
                "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload, metadata)
                 SELECT 1, 't', '{column}-{id}', 'e', {} FROM other WHERE id = '{id}'",
                if column == "payload" { "contents, NULL" } else { "'1', contents" }
            );
            let inserted = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await;
            assert_eq!(inserted.is_ok(), fits, "{column} {id}: {inserted:?}");
            if let Err(error) = inserted {
                refused(error);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_payloads_of_100_mb_from_before_are_parked_without_being_fetched() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let limit = lift_the_limit(&mut conn).await;
    for n in 1..=3 {
        insert(&mut conn, &format!("large{n}"), 1, r#"{"amount":1}"#).await.unwrap();
        insert(&mut conn, &format!("large{n}"), 2, &text(100 * MEBIBYTE)).await.unwrap();
        insert(&mut conn, "fine", n, r#"{"amount":1}"#).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload, metadata)
         VALUES (1, 't', 'metadata', 'e', '{}', $1::text::json)",
    )
    .bind(text(2 * MEBIBYTE))
    .execute(&mut conn)
    .await
    .unwrap();
    execute(&mut conn, limit).await;

    let worker = Evenfold::spawn(&["worker", "--database-url", &db.url, "--partition-key=0", "--total-partitions=1"]);
    wait_until("all are applied or parked", SOON, async || {
        scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await >= 4
            && counter(&mut conn, "fine").await == Some((3, 3))
    })
    .await;
    let peak = peak_memory(&mut conn).await;
    assert!(peak < 100 << 20, "a worker has taken {} MB", peak >> 20);
    drop(worker);
    let parked = list_parked(&Schema::default(), &mut conn, NAME, 10).await.unwrap();
    assert_eq!(parked.len(), 4, "{parked:?}");
    for parked in parked {
        assert_eq!(parked.reason, "its payload or its metadata is larger than 1048576 bytes");
    }
    // The counter service asks for what an aggregate stands at in its own way.
    let stands = current(&Schema::default(), &mut conn, &pointer(), "t", &["large1", "fine"]).await.unwrap();
    assert_eq!(stands[0], Err(Refused::Amount(BadAmount::Unreadable(Unreadable::TooLarge))));
    assert_eq!(stands[1].as_ref().unwrap().value, 3);
    for command in [["status"].as_slice(), &["verify"], &["rebuild"], &["verify"]] {
        run_at(&db, command).fine();
    }
    assert_eq!(run_at(&db, &["parked", "retry", "--all"]).code, 1);
    assert_eq!(list_parked(&Schema::default(), &mut conn, NAME, 10).await.unwrap().len(), 4);
    run_at(&db, &["parked", "drop", "t", "large2"]).fine();
    assert_eq!(counter(&mut conn, "large2").await, Some((1, 2)));
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_rows_that_are_too_large_is_repaired_after_a_restore() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let limit = lift_the_limit(&mut conn).await;
    insert(&mut conn, "large", 1, &text(2 * MEBIBYTE)).await.unwrap();
    append_one(&mut conn, "a", 1).await;
    execute(&mut conn, limit).await;
    let mut worker = only_worker(&mut conn, 10).await;
    drain(&mut worker, &mut conn).await;
    execute(&mut conn, "UPDATE evenfold.log_origin SET system_identifier = 7").await;
    assert!(run_at(&db, &["repair"]).fine().contains("2 events renumbered"));
    append_one(&mut conn, "a", 1).await;
    let mut worker = only_worker(&mut conn, 10).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "a").await, Some((2, 2)));
    // Only the rows that a repair has rewritten may be larger.
    assert!(insert(&mut conn, "large", 2, &text(2 * MEBIBYTE)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_takes_along_no_more_than_16_mib_and_the_rest_comes_after_it() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 1_000).await;
    drain(&mut worker, &mut conn).await;
    let fence = Fence::take(&Schema::default(), &mut conn).await.unwrap();
    for n in 1..=40 {
        insert(&mut conn, "a", n, &text(1_000_000)).await.unwrap();
    }
    let (slice, mut buffer) = (Slice::of(&[partition(0, 1)]), EventBuffer::default());
    let look = log::poll(
        &Schema::default(),
        &mut conn,
        (&fence, fence.floor),
        &slice,
        &Interest::everything(),
        1_000,
        &mut buffer,
    )
    .await;
    assert!(!look.unwrap().complete && (16..20).contains(&buffer.len()), "{}", buffer.len());
    assert_eq!(drain(&mut worker, &mut conn).await, 40);
    assert_eq!(counter(&mut conn, "a").await, Some((40, 40)));
}
