//! Rebuilds that were stopped, and what they begin from: other definitions, parked events, other schemas.

use crate::fold::{append_all, event, fold, projection, rows};
use crate::rebuild::{SUMS, WIDER, append_sums, assert_verified, options, run, sql, switched};
use evenfold::projection::parked::drop_first;
use evenfold::shadow::{RebuildError, RebuildOptions, Rebuilt, Switch, rebuild, verify};
use evenfold::{Aggregate, Batch, BoxError, Log, Projection, Schema, migrate};
use evenfold_sql::SqlProjection;
use evenfold_testkit::{TestDb, scalar};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

/// A projection in Rust that makes one column more.
#[derive(Clone)]
struct CreatesMore(SqlProjection);

impl Projection for CreatesMore {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn settings(&self) -> String {
        self.0.settings()
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        self.0.create(conn).await?;
        sqlx::raw_sql("ALTER TABLE sums ADD COLUMN more bigint").execute(conn).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.0.apply(conn, batch).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_stopped_goes_on_and_one_with_another_definition_or_other_tables_begins_anew() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let events: Vec<_> = (0..2_000).map(|n| event(&format!("a{n}"), "added", &json!({"n": n}))).collect();
    append_all(&mut conn, &events).await;
    let sums = projection("sums", SUMS);
    fold(&db, &sums, 1, 10_000).await.unwrap();
    let stopped = async |of: &SqlProjection, workers| {
        let (own, stop) = (of.clone(), CancellationToken::new());
        let watch = {
            let stop = stop.clone();
            move |applied| {
                if applied > 100 {
                    stop.cancel();
                }
            }
        };
        let options = options(workers).batch_size(10);
        let rebuilt = rebuild(&db.database, move || own.clone(), &options, &stop, &watch).await.unwrap();
        assert_eq!(rebuilt.outcome, Rebuilt::Stopped);
        assert!(rebuilt.applied > 100 && rebuilt.applied < 2_000, "it was stopped on the way: {}", rebuilt.applied);
        rebuilt.applied
    };
    let first = stopped(&sums, 2).await;
    // With another number of workers.
    let (rest, switch) = switched(&db, &sums, 3).await;
    assert_eq!((first + rest, switch), (2_000, Switch::Rows(0)));
    stopped(&sums, 2).await;
    assert_eq!(switched(&db, &projection("sums", WIDER), 2).await.0, 2_000, "another definition");
    let other_tables = projection("sums", &WIDER.replace("DEFAULT 0", "DEFAULT 1"));
    stopped(&projection("sums", WIDER), 2).await;
    let (all, switch) = switched(&db, &other_tables, 2).await;
    assert!(all == 2_000 && matches!(switch, Switch::Tables { .. }), "{all} {switch:?}");
    // The same definition, by a program whose create() makes another column now.
    stopped(&other_tables, 1).await;
    let (create_more, stop) = (CreatesMore(other_tables.clone()), CancellationToken::new());
    let rebuilt = rebuild(&db.database, move || create_more.clone(), &options(1), &stop, &|_| {}).await.unwrap();
    assert!(rebuilt.applied == 2_000 && matches!(rebuilt.switch, Some(Switch::Tables { .. })), "{rebuilt:?}");
    assert_eq!(scalar(&mut conn, "SELECT count(more) FROM sums").await, 0);
    assert_eq!(switched(&db, &other_tables, 1).await.0, 2_000, "and back");
    // A shadow that somebody has dropped.
    stopped(&other_tables, 1).await;
    sql(&mut conn, "DROP SCHEMA evenfold_rebuild_sums CASCADE").await;
    assert_eq!(switched(&db, &other_tables, 1).await, (2_000, Switch::Rows(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_and_dropped_events_lost_checkpoints_and_the_number_of_partitions_are_right_afterwards() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for id in ["parked", "dropped"] {
        for n in [json!(1), json!("x"), json!(5)] {
            append_all(&mut conn, &[event(id, "added", &json!({"n": n}))]).await;
        }
    }
    append_sums(&mut conn, 20).await;
    let mut sums = projection("sums", SUMS);
    fold(&db, &sums, 3, 100).await.unwrap();
    drop_first(&Schema::default(), &mut conn, &mut sums, &Aggregate::new("order", "dropped")).await.unwrap();
    let right = rows(&mut conn, "SELECT * FROM sums").await;
    let parked = "SELECT projection, position, reason, dropped_at IS NULL FROM evenfold.parked_events";
    let before = rows(&mut conn, parked).await;
    sql(&mut conn, "DELETE FROM evenfold.checkpoints WHERE residue = 1; UPDATE sums SET n = 0").await;
    let sums = projection("sums", SUMS);
    switched(&db, &sums, 2).await;
    assert_eq!(rows(&mut conn, "SELECT * FROM sums").await, right);
    assert_eq!(rows(&mut conn, parked).await, before);
    assert_eq!(rows(&mut conn, "SELECT modulus, residue FROM evenfold.checkpoints").await, ["(3,0)", "(3,1)", "(3,2)"]);
    append_all(&mut conn, &[event("dropped", "added", &json!({"n": 10}))]).await;
    fold(&db, &sums, 3, 100).await.unwrap();
    assert_verified(&db, &sums).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rebuild_of_a_projection_runs_at_a_time_and_there_is_none_of_what_is_not_begun() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_sums(&mut conn, 10).await;
    let sums = projection("sums", SUMS);
    assert_eq!(run(&db, &sums, &options(1)).await.unwrap().outcome, Rebuilt::NothingThere);
    fold(&db, &sums, 1, 100).await.unwrap();
    let claim = "SELECT pg_advisory_lock(hashtextextended('evenfold rebuild evenfold sums', 0))";
    sqlx::query(claim).execute(&mut conn).await.unwrap();
    assert!(matches!(run(&db, &sums, &options(1)).await, Err(RebuildError::Busy)));
    let without = RebuildOptions::default();
    conn.close().await.unwrap();
    let refused = run(&db, &projection("sums", WIDER), &without).await.unwrap_err();
    assert!(refused.is_final() && refused.to_string().contains("--new-definition"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_of_a_log_in_another_schema_is_verified_and_rebuilt_there() {
    let mut db = TestDb::empty().await;
    let (mut conn, schema) = (db.connect().await, Schema::named("order").unwrap());
    migrate(&schema, &mut conn).await.unwrap();
    db.database = db.database.in_schema(schema.clone());
    let events: Vec<_> = (0..100).map(|n| event(&format!("a{n}"), "added", &json!({"n": n}))).collect();
    Log::in_schema(schema.clone()).append(&mut conn, &events).await.unwrap();
    let sums = projection("sums", SUMS);
    fold(&db, &sums, 2, 10).await.unwrap();
    sql(&mut conn, "UPDATE sums SET n = 0 WHERE id = 'a5'").await;
    let verified = verify(&schema, &mut conn, &mut sums.clone(), 5).await.unwrap();
    assert!(!verified.agrees() && verified.events == 100, "{verified:#?}");
    assert_eq!(switched(&db, &sums, 2).await, (100, Switch::Rows(1)));
    assert!(verify(&schema, &mut conn, &mut sums.clone(), 5).await.unwrap().agrees());
}
