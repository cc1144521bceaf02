//! The statements that run all the time are answered by the indexes that were made for them.

use crate::support::{TestDb, only_worker, partition};
use evenfold::class::Class;
use evenfold::log::{self, EventBuffer, Fence, Interest, Layout, Slice, Window};
use evenfold::number::Position;
use evenfold::schema::Schema;
use evenfold::schema::create_index;
use evenfold::{Aggregate, Version};
use sqlx::{AssertSqlSafe, PgConnection};

const GENERIC: &str = "force_generic_plan";

/// The plan that a prepared statement gets when PostgreSQL does not look at its parameters.
async fn generic_plan(conn: &mut PgConnection, sql: &str, arguments: &str) -> String {
    plan(conn, GENERIC, sql, arguments).await
}

async fn plan(conn: &mut PgConnection, mode: &str, sql: &str, arguments: &str) -> String {
    let statement = format!(
        "SET plan_cache_mode = {mode}; DEALLOCATE ALL; PREPARE hot AS {sql}; EXPLAIN EXECUTE hot ({arguments})"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n")
}

/// A log of 20,000 events in one transaction each, or all in one, as after an import; analyzed or not yet.
async fn with_events(conn: &mut PgConnection, (transactions, analyze): (&str, &str)) {
    let statement = format!(
        "ALTER TABLE evenfold.events DISABLE TRIGGER events_place;
         INSERT INTO evenfold.events (position, xid, version, hash, aggregate_type, aggregate_id, event_type, payload)
         SELECT nextval('evenfold.events_position_seq'), {transactions}, n / 100 + 1, n % 100, 't', 'a' || n % 100, 'e', '{{}}' FROM generate_series(0, 19999) n;
         ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_place;
         {analyze}"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.unwrap();
}

const MANY: &str = "(n + 3)::text::xid8";
const ONE: &str = "'3'::xid8";
const LOGS: [(&str, &str); 4] = [(MANY, "ANALYZE"), (ONE, "ANALYZE"), (MANY, ""), (ONE, "")];

/// The statements for the range and for the late events of a window, as a worker of these classes has them prepared.
async fn read_by(db: &TestDb, classes: &[Class]) -> [String; 2] {
    let mut conn = db.connect().await;
    let seen = Fence::of_transactions(Position::new(1), "3:4:3".parse().unwrap(), 5);
    let upto = Fence::of_transactions(Position::new(1), "5:5:".parse().unwrap(), 5);
    let window = Window { seen: &seen, upto: &upto, after: Position::new(0) };
    let mut buffer = EventBuffer::default();
    log::read(&Layout::default(), &mut conn, window, &Slice::of(classes), &Interest::everything(), 10, &mut buffer)
        .await
        .unwrap();
    let prepared =
        "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '-- The events%' ORDER BY statement";
    let statements: Vec<String> = sqlx::query_scalar(prepared).fetch_all(&mut conn).await.unwrap();
    let [range, late] = statements.try_into().unwrap();
    assert!(range.contains("above its floor") && late.contains("below its floor"), "{range}; {late}");
    [range, late]
}

/// The plans of both statements from position 19,000 on, with residue 1; the late events are from 19,500 on.
async fn plans_of(conn: &mut PgConnection, mode: &str, [range, late]: &[String; 2]) -> [String; 2] {
    let arguments = "19000, '{1}', '1:1:', '9:9:', NULL, NULL, 5000";
    let range = plan(conn, mode, range, arguments).await;
    let late = plan(conn, mode, late, &format!("{arguments}, 19500, '{{5,6}}', '8', '9'")).await;
    [range, late]
}

fn assert_late_by_transaction(plan: &str) {
    assert!(plan.contains("events_xid_idx"), "{plan}");
    assert!(!plan.contains("Seq Scan") && !plan.contains("events_pkey") && !plan.contains("events_hash"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_read_by_one_range_scan_and_late_events_by_their_transactions() {
    for log in LOGS {
        let db = TestDb::new().await;
        let mut conn = db.database.by_index().connect().await.unwrap();
        with_events(&mut conn, log).await;
        for classes in [vec![partition(0, 1)], vec![partition(1, 4)], vec![partition(1, 4), partition(2, 4)]] {
            let [range, late] = plans_of(&mut conn, GENERIC, &read_by(&db, &classes).await).await;
            assert!(range.contains("Index Scan using events_pkey"), "{range}");
            assert!(!range.contains("Sort") && !range.contains("Seq Scan"), "{range}");
            assert_eq!(range.contains(" % "), classes[0].modulus() > 1, "only the whole log has no filter: {range}");
            assert_late_by_transaction(&late);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_index_for_the_total_a_worker_reads_no_others_events() {
    for log in LOGS {
        for analyze in ["", "ANALYZE evenfold.events"] {
            let db = TestDb::new().await;
            with_events(&mut db.connect().await, log).await;
            assert!(create_index(&Schema::default(), &mut db.connect().await, 4).await.unwrap());
            let mut conn = db.database.by_index().connect().await.unwrap();
            sqlx::raw_sql(analyze).execute(&mut conn).await.unwrap();
            for mode in [GENERIC, "force_custom_plan"] {
                let [range, late] = plans_of(&mut conn, mode, &read_by(&db, &[partition(1, 4)]).await).await;
                let condition = range.lines().find(|line| line.contains("Index Cond")).unwrap_or_default();
                assert!(condition.contains("hash % ") && condition.contains("\"position\" >"), "{range}");
                assert!(!range.contains("Sort"), "{range}");
                assert_late_by_transaction(&late);
                // Of another number, and of several partitions: as without it.
                for classes in [vec![partition(1, 8)], vec![partition(0, 4), partition(1, 4)], vec![partition(0, 1)]] {
                    let [range, late] = plans_of(&mut conn, mode, &read_by(&db, &classes).await).await;
                    assert!(range.contains("Index Scan using events_pkey") && !range.contains("Sort"), "{range}");
                    assert_late_by_transaction(&late);
                }
            }
        }
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
        let plan = generic_plan(&mut conn, lag, "'counters', 1, 0, NULL, NULL, NULL").await;
        assert!(plan.contains("events_xid_idx") && !plan.contains("Seq Scan on events"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_an_aggregate_is_one_step_down_the_index() {
    let db = TestDb::new().await;
    let mut conn = db.database.by_index().connect().await.unwrap();
    with_events(&mut conn, LOGS[0]).await;
    let nulls = |count| ["NULL"; 11][..count].join(", ");
    for (append, arguments) in [
        (include_str!("../../src/log/append.sql"), nulls(11)),
        (include_str!("../../src/log/append_one.sql"), nulls(10)),
    ] {
        let plan = generic_plan(&mut conn, append, &arguments).await;
        assert!(plan.contains("events_version_key"), "{plan}");
        assert!(!plan.contains("Seq Scan on events") && !plan.contains("Join"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_an_aggregate_are_read_in_the_order_of_its_index() {
    for log in LOGS {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        with_events(&mut conn, log).await;
        let mut history = evenfold::load(&mut conn, &Aggregate::new("t", "a7"), Version::new(198));
        assert_eq!(history.next().await.unwrap().unwrap().version, 199);
        drop(history);
        let prepared = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE 'SELECT version, position%'";
        let statement: String = sqlx::query_scalar(prepared).fetch_one(&mut conn).await.unwrap();
        let plan = generic_plan(&mut conn, &statement, "'t', 'a7', 198").await;
        assert!(plan.contains("Index Scan using events_version_key") && !plan.contains("Sort"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_for_new_events_walks_the_end_of_the_log_and_finds_late_ones_by_their_transactions() {
    for log in LOGS {
        let db = TestDb::new().await;
        let mut conn = db.database.by_index().connect().await.unwrap();
        with_events(&mut conn, log).await;
        for (snapshot, late) in [("9:9:", false), ("3:9:5", true)] {
            let seen = Fence::of_transactions(Position::new(19_000), snapshot.parse().unwrap(), 9);
            let slice = Slice::of(&[partition(1, 4)]);
            let mut buffer = EventBuffer::default();
            let mut looking = db.connect().await;
            log::poll(
                &Schema::default(),
                &mut looking,
                (&seen, Position::new(19_000)),
                &slice,
                &Interest::everything(),
                10,
                &mut buffer,
            )
            .await
            .unwrap();
            let prepared = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '-- What is new%'";
            let statement: String = sqlx::query_scalar(prepared).fetch_one(&mut looking).await.unwrap();
            let arguments = "19000, '{1}', '9:9:', NULL, NULL, 1000";
            let arguments = if late { format!("{arguments}, '{{5,6}}', '8', '9'") } else { arguments.to_owned() };
            let plan = generic_plan(&mut conn, &statement, &arguments).await;
            assert!(plan.contains("Index Scan using events_pkey"), "{plan}");
            assert!(!plan.contains("Seq Scan on events "), "{plan}");
            assert_eq!(plan.contains("events_xid_idx"), late, "{plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_read_back_by_their_names_also_while_the_tables_are_new() {
    let db = TestDb::new().await;
    let mut conn = db.database.by_index().connect().await.unwrap();
    let pointer = evenfold::counter::AmountPointer::default();
    evenfold::counters::current(&Schema::default(), &mut conn, &pointer, "t", &["a"]).await.unwrap();
    let prepared = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '-- The rows of these%'";
    let statement: String = sqlx::query_scalar(prepared).fetch_one(&mut conn).await.unwrap();
    let plan = generic_plan(&mut conn, &statement, "'t', '{a,b}'").await;
    let by_name = "Index Cond: ((aggregate_type = $1) AND (aggregate_id = k.aggregate_id)";
    assert_eq!(plan.matches(by_name).count(), 2, "{plan}");
    assert!(plan.contains("counters_pkey") && plan.contains("events_version_key"), "{plan}");
}
