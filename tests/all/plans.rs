//! The statements that run all the time are answered by the indexes that were made for them.

use crate::support::{TestDb, only_worker};
use sqlx::{AssertSqlSafe, PgConnection};

/// The plan that a prepared statement gets when PostgreSQL does not look at its parameters.
async fn generic_plan(conn: &mut PgConnection, sql: &str, arguments: &str) -> String {
    let statement = format!(
        "SET plan_cache_mode = force_generic_plan; DEALLOCATE ALL; PREPARE hot AS {sql}; EXPLAIN EXECUTE hot ({arguments})"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n")
}

/// A log of 20,000 events in one transaction each, or all in one, as after an import; analyzed or not yet.
async fn with_events(conn: &mut PgConnection, (transactions, analyze): (&str, &str)) {
    let statement = format!(
        "ALTER TABLE events DISABLE TRIGGER events_own_numbers;
         INSERT INTO events (xid, version, hash, aggregate_type, aggregate_id, event_type, payload)
         SELECT {transactions}, n / 100 + 1, n % 100, 't', 'a' || n % 100, 'e', '{{}}' FROM generate_series(0, 19999) n;
         ALTER TABLE events ENABLE TRIGGER events_own_numbers;
         {analyze}"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.unwrap();
}

const MANY: &str = "(n + 3)::text::xid8";
const ONE: &str = "'3'::xid8";
const LOGS: [(&str, &str); 4] = [(MANY, "ANALYZE"), (ONE, "ANALYZE"), (MANY, ""), (ONE, "")];

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_read_by_one_range_scan_and_late_events_by_their_transactions() {
    for log in LOGS {
        let db = TestDb::new().await;
        let mut conn = db.database.by_index().connect().await.unwrap();
        with_events(&mut conn, log).await;
        let range = include_str!("../../src/log/range.sql");
        let arguments = "19000, 4, '{1}', '1:1:', '9:9:', NULL, NULL, false, 5000";
        let plan = generic_plan(&mut conn, range, arguments).await;
        assert!(plan.contains("Index Scan using events_pkey"), "{plan}");
        assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{plan}");
        let late = include_str!("../../src/log/late.sql");
        let plan = generic_plan(&mut conn, late, &format!("{arguments}, 19500, '{{5,6}}', '8', '9'")).await;
        assert!(plan.contains("events_xid_idx"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("events_pkey"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_counted_without_reading_what_is_applied() {
    for log in LOGS {
        let db = TestDb::new().await;
        let mut conn = db.database.by_index().connect().await.unwrap();
        let _worker = only_worker(&mut conn, 10).await;
        with_events(&mut conn, log).await;
        let lag = include_str!("../../src/checkpoint/lag.sql");
        let plan = generic_plan(&mut conn, lag, "'counters', 1, 0, NULL, NULL").await;
        assert!(plan.contains("events_xid_idx") && !plan.contains("Seq Scan on events"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_an_aggregate_is_one_step_down_the_index() {
    let db = TestDb::new().await;
    let mut conn = db.database.by_index().connect().await.unwrap();
    with_events(&mut conn, LOGS[0]).await;
    let nulls = |count| ["NULL"; 9][..count].join(", ");
    for (append, arguments) in
        [(include_str!("../../src/log/append.sql"), nulls(9)), (include_str!("../../src/log/append_one.sql"), nulls(8))]
    {
        let plan = generic_plan(&mut conn, append, &arguments).await;
        assert!(plan.contains("events_version_key"), "{plan}");
        assert!(!plan.contains("Seq Scan on events") && !plan.contains("Join"), "{plan}");
    }
}
