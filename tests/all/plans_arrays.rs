//! Statements that take the array of a batch look each element up by an index, whatever the statistics say: a nested
//! loop over the table and the array made a batch of 10,000 events compare 100,000,000 pairs.

use crate::support::{TestDb, append_one, drain, event, only_worker, pointer};
use evenfold::checkpoint::{count_parked, list_parked, parked_among};
use evenfold::counters::{Counters, NAME};
use evenfold::event::Aggregate;
use evenfold::log::{self, EventBuffer};
use evenfold::projection::parked::{RetryAll, drop_first, retry};
use evenfold::schema::Schema;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// What the planner may take the tables for.
const STATES: [(&str, &str); 4] = [
    ("never analyzed, and new", ""),
    ("analyzed when they had one row", "GROW_AFTER"),
    ("never analyzed, and large", "GROW"),
    ("analyzed, and large", "GROW ANALYZE"),
];

const GROW: &str = "
    INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
        SELECT 1, 't', 'many' || n, 'e', '{}' FROM generate_series(1, 20000) n;
    INSERT INTO evenfold.parked_events (projection, position, aggregate_type, aggregate_id, version, hash, reason)
        SELECT 'counters', position, aggregate_type, aggregate_id, version, hash, 'x' FROM evenfold.events
        WHERE aggregate_id LIKE 'many%';
    INSERT INTO evenfold.counters SELECT 't', 'more' || n, 1, 1, 1, n FROM generate_series(1, 20000) n;
    INSERT INTO evenfold.counters_rebuild SELECT * FROM evenfold.counters";

async fn run(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

/// The statements of this connection that take an array, as they were prepared.
async fn with_arrays(conn: &mut PgConnection) -> Vec<(String, i32)> {
    sqlx::query_as(
        "SELECT statement, cardinality(parameter_types) FROM pg_prepared_statements
         WHERE statement ~ 'unnest|ANY' AND statement !~ 'pg_prepared_statements' ORDER BY statement",
    )
    .fetch_all(conn)
    .await
    .unwrap()
}

async fn generic_plan(conn: &mut PgConnection, (statement, parameters): &(String, i32)) -> String {
    let nulls = vec!["NULL"; usize::try_from(*parameters).unwrap()].join(", ");
    let sql = format!("DEALLOCATE ALL; PREPARE hot AS {statement}; EXPLAIN EXECUTE hot ({nulls})");
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n")
}

/// Has a worker and an operator do everything on a connection that goes by the indexes, and gives what they prepared.
async fn statements(db: &TestDb) -> Vec<(String, i32)> {
    let mut conn = db.database.by_index().connect().await.unwrap();
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    // A worker that has not the counter in memory reads it back.
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    run(
        &mut conn,
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         SELECT n, 't', 'bad', 'e', '{\"amount\": []}' FROM generate_series(1, 3) n",
    )
    .await;
    drain(&mut worker, &mut conn).await;
    append_one(&mut conn, "bad", 1).await;
    drain(&mut worker, &mut conn).await;
    let (mut counters, bad) =
        (Counters::new(pointer(), 100), Aggregate { aggregate_type: "t".into(), aggregate_id: "bad".into() });
    retry(&Schema::default(), &mut conn, &mut counters, &bad).await.unwrap();
    drop_first(&Schema::default(), &mut conn, &mut counters, &bad).await.unwrap();
    RetryAll::default().next(&Schema::default(), &mut conn, &mut counters).await.unwrap();
    list_parked(&Schema::default(), &mut conn, NAME, 10).await.unwrap();
    count_parked(&Schema::default(), &mut conn, NAME).await.unwrap();
    log::append(&mut conn, &[event("b", 1), event("c", 1)]).await.unwrap();
    log::find(&Schema::default(), &mut conn, &[Uuid::nil()]).await.unwrap();
    parked_among(&Schema::default(), &mut conn, NAME, &EventBuffer::default()).await.unwrap();
    let statements = with_arrays(&mut conn).await;
    for (part, count) in [("INTO evenfold.parked_events", 1), ("parked_events", 4), ("counters", 3), ("events e", 1)] {
        let found = statements.iter().filter(|(statement, _)| statement.contains(part)).count();
        assert!(found >= count, "{part}: {found} of {count} in {statements:#?}");
    }
    statements
}

#[tokio::test(flavor = "multi_thread")]
async fn every_element_of_an_array_is_looked_up_by_an_index_whatever_the_statistics_are() {
    for (state, how) in STATES {
        let db = TestDb::new().await;
        let statements = statements(&db).await;
        let mut conn = db.database.by_index().connect().await.unwrap();
        match how {
            "" => {}
            "GROW_AFTER" => {
                // The plan is the one of the small tables, and stays when they have grown.
                let small = "DELETE FROM evenfold.parked_events; DELETE FROM evenfold.counters WHERE aggregate_id <> 'a';
                             INSERT INTO evenfold.parked_events SELECT 'counters', position, aggregate_type, aggregate_id, version,
                                 hash, 'x' FROM evenfold.events LIMIT 1;
                             INSERT INTO evenfold.counters_rebuild SELECT * FROM evenfold.counters;
                             VACUUM FULL evenfold.parked_events";
                for part in small.split(';') {
                    run(&mut conn, part).await;
                }
                run(&mut conn, "ANALYZE").await;
            }
            "GROW" => run(&mut conn, GROW).await,
            _ => {
                run(&mut conn, GROW).await;
                run(&mut conn, "ANALYZE").await;
            }
        }
        for statement in &statements {
            let plan = generic_plan(&mut conn, statement).await;
            // The checkpoints of one worker are a few rows; and what an event's type is compared with is a filter.
            let others = plan.lines().filter(|line| !line.contains("checkpoints"));
            for line in others {
                assert!(!line.contains("Seq Scan"), "{state}: {}\n{plan}", statement.0);
            }
            if !statement.0.contains("checkpoints") {
                assert!(!plan.contains("Join Filter"), "{state}: {}\n{plan}", statement.0);
            }
            for (table, keys) in [
                ("parked_events_pkey", "\"position\" = k"),
                ("parked_events_aggregate_idx", "aggregate_id = k"),
                ("counters_pkey", "aggregate_id = k"),
                ("events_event_id_key", "event_id = i"),
            ] {
                if plan.contains(&format!("{table} on")) {
                    assert!(plan.contains(keys), "{state}: {}\n{plan}", statement.0);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parked_aggregates_are_walked_by_their_index_whatever_the_statistics_are() {
    for (state, how) in STATES {
        let db = TestDb::new().await;
        let _ = statements(&db).await;
        let mut conn = db.database.by_index().connect().await.unwrap();
        if how.contains("GROW") {
            run(&mut conn, GROW).await;
        }
        if how.contains("ANALYZE") {
            run(&mut conn, "ANALYZE").await;
        }
        let mut retrying = db.database.by_index().connect().await.unwrap();
        let counters = &mut Counters::new(pointer(), 20_000);
        RetryAll::default().next(&Schema::default(), &mut retrying, counters).await.unwrap();
        let walked: Vec<(String, i32)> = sqlx::query_as(
            "SELECT statement, cardinality(parameter_types) FROM pg_prepared_statements
             WHERE statement LIKE '-- The next parked%' OR statement LIKE '-- The parked events of some%'",
        )
        .fetch_all(&mut retrying)
        .await
        .unwrap();
        assert_eq!(walked.len(), 2, "{walked:?}");
        for statement in &walked {
            let plan = generic_plan(&mut conn, statement).await;
            assert!(plan.contains("parked_events_aggregate_idx"), "{state}: {plan}");
            assert!(plan.contains("(ROW(aggregate_type, aggregate_id") && !plan.contains("Sort"), "{state}: {plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Join Filter"), "{state}: {plan}");
        }
    }
}
