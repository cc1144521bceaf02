//! What is applied, folded again in a shadow and compared: right while workers run, and every difference is found.

use crate::examples::{all_at_work, alone, example, history};
use crate::fold::{append_all, event, fold, projection, rows};
use evenfold::projection::parked::drop_first;
use evenfold::shadow::{DifferingRow, Side, TableOutcome, Verified, VerifyError, verify};
use evenfold::{Aggregate, Schema};
use evenfold_sql::SqlProjection;
use evenfold_testkit::{SOON, TestDb, scalar, wait_until};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio_util::sync::CancellationToken;

async fn verified(db: &TestDb, projection: &SqlProjection) -> Result<Verified, VerifyError> {
    let mut conn = db.database.by_index().connect().await.unwrap();
    verify(&Schema::default(), &mut conn, &mut projection.clone(), 5).await
}

const SCHEMAS: &str = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'evenfold\\_%'";

#[tokio::test(flavor = "multi_thread")]
async fn each_example_agrees_at_every_moment_of_workers_that_run() {
    let mut random = fastrand::Rng::with_seed(fastrand::u64(..));
    println!("seed {}", random.get_seed());
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let stop = CancellationToken::new();
    let mut pools = all_at_work(&db, &stop);
    let events: Vec<_> = history(&mut random, "a", 800).into_iter().flatten().collect();
    let (last, mut writer) = (i64::try_from(events.len()).unwrap(), db.connect().await);
    let writing = tokio::spawn(async move {
        for one in events.chunks(2) {
            append_all(&mut writer, one).await;
        }
    });
    let mut on_the_way = 0;
    loop {
        let ended = writing.is_finished();
        for (name, ..) in alone() {
            let verified = verified(&db, &example(name)).await.unwrap();
            assert!(verified.agrees(), "{name}: {verified:#?}");
            on_the_way += u32::from(verified.events > 0 && verified.events < last.unsigned_abs());
        }
        if ended {
            break;
        }
    }
    writing.await.unwrap();
    assert!(on_the_way > 6, "workers were at work meanwhile: {on_the_way}");
    wait_until("everything", SOON, async || {
        scalar(&mut conn, "SELECT count(*) FROM timeline").await == last
            && scalar(&mut conn, "SELECT coalesce(sum(events), 0)::bigint FROM totals").await == last
    })
    .await;
    stop.cancel();
    for pool in &mut pools {
        while let Some((_, ended)) = pool.ended().await {
            ended.unwrap();
        }
    }
    for (name, ..) in alone() {
        let Verified { begun: true, events, tables, .. } = verified(&db, &example(name)).await.unwrap() else {
            panic!("{name} was begun")
        };
        let compared: i64 =
            tables.iter().map(|t| if let TableOutcome::Compared { rows, .. } = t.outcome { rows } else { 0 }).sum();
        assert!(events > 0 && compared > 0, "{name}: {events} events, {compared} rows");
    }
    assert_eq!(scalar(&mut conn, SCHEMAS).await, 0, "nothing is left");
}

const OWN: &str = "-- create
CREATE TABLE own (id text PRIMARY KEY, n bigint NOT NULL, last json);
CREATE TABLE seen (position bigint PRIMARY KEY);
-- apply
INSERT INTO seen SELECT position FROM batch;
INSERT INTO own AS t SELECT aggregate_id, sum((payload ->> 'n')::bigint), (array_agg(payload ORDER BY version DESC))[1]
FROM batch GROUP BY 1 ORDER BY 1 ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n, last = excluded.last";

async fn applied(db: &TestDb, conn: &mut PgConnection) -> SqlProjection {
    for n in 1..=3 {
        append_all(conn, &[event("a", "added", &json!({"n": n})), event("b", "added", &json!({"n": 10 * n}))]).await;
    }
    let own = projection("own", OWN);
    fold(db, &own, 2, 2).await.unwrap();
    own
}

/// What differs in a table: the rows that are missing, and those that are there.
fn differing(verified: &Verified, name: &str) -> (i64, i64, Vec<DifferingRow>) {
    let table = verified.tables.iter().find(|table| table.name == name).unwrap();
    match &table.outcome {
        TableOutcome::Compared { missing, extra, differing, .. } => (*missing, *extra, differing.clone()),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_changed_added_or_deleted_and_a_table_that_was_emptied_are_found_and_nothing_is_written() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let own = applied(&db, &mut conn).await;
    let before = verified(&db, &own).await.unwrap();
    assert!(before.agrees() && before.events == 6 && before.tables.len() == 2, "{before:?}");
    for (damage, table, expected) in [
        ("UPDATE own SET n = 7 WHERE id = 'a'", "own", (1, 1)),
        ("UPDATE own SET last = '{\"n\":  3}' WHERE id = 'a'", "own", (1, 1)),
        ("UPDATE own SET last = NULL WHERE id = 'a'", "own", (1, 1)),
        ("INSERT INTO own VALUES ('c', 1)", "own", (0, 1)),
        ("DELETE FROM own WHERE id = 'a'", "own", (1, 0)),
        ("TRUNCATE own", "own", (2, 0)),
        ("DELETE FROM seen", "seen", (6, 0)),
    ] {
        sqlx::raw_sql("CREATE TABLE kept AS SELECT * FROM own; CREATE TABLE kept_seen AS SELECT * FROM seen")
            .execute(&mut conn)
            .await
            .unwrap();
        sqlx::raw_sql(damage).execute(&mut conn).await.unwrap();
        let damaged = rows(&mut conn, "SELECT * FROM own").await;
        let verified = verified(&db, &own).await.unwrap();
        let (missing, extra, listed) = differing(&verified, table);
        assert_eq!((missing, extra), expected, "{damage}: {verified:?}");
        assert!(!verified.agrees() && listed.len() == usize::try_from(missing + extra).unwrap().min(5), "{listed:?}");
        assert_eq!(rows(&mut conn, "SELECT * FROM own").await, damaged, "nothing is written");
        sqlx::raw_sql(
            "TRUNCATE own, seen; INSERT INTO own SELECT * FROM kept; INSERT INTO seen SELECT * FROM kept_seen;
             DROP TABLE kept, kept_seen",
        )
        .execute(&mut conn)
        .await
        .unwrap();
    }
    sqlx::raw_sql("UPDATE own SET n = 7 WHERE id = 'a'").execute(&mut conn).await.unwrap();
    let (.., listed) = differing(&verified(&db, &own).await.unwrap(), "own");
    let row =
        |side, n| DifferingRow { side, times: 1, row: format!("{{\"id\":\"a\",\"n\":{n},\"last\":{{\"n\":3}}}}") };
    assert_eq!(listed, [row(Side::Log, 6), row(Side::ReadModel, 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_gone_or_has_other_columns_does_not_agree() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let own = applied(&db, &mut conn).await;
    sqlx::raw_sql("ALTER TABLE own RENAME n TO m; DROP TABLE seen").execute(&mut conn).await.unwrap();
    let verified = verified(&db, &own).await.unwrap();
    let outcomes: Vec<_> = verified.tables.iter().map(|table| &table.outcome).collect();
    let other = TableOutcome::OtherColumns { missing: vec!["n".to_owned()], extra: vec!["m".to_owned()] };
    assert_eq!(outcomes, [&other, &TableOutcome::NotThere]);
    assert!(!verified.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_count_on_neither_side_and_what_was_dropped_stays_out() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for id in ["parked", "dropped"] {
        for n in [json!(1), json!("x"), json!(5)] {
            append_all(&mut conn, &[event(id, "added", &json!({"n": n}))]).await;
        }
    }
    let mut own = projection("own", OWN);
    fold(&db, &own, 1, 100).await.unwrap();
    drop_first(&Schema::default(), &mut conn, &mut own, &Aggregate::new("order", "dropped")).await.unwrap();
    let verified = verified(&db, &projection("own", OWN)).await.unwrap();
    assert!(verified.agrees() && verified.events == 3, "{verified:?}");
    assert_eq!(rows(&mut conn, "SELECT id, n FROM own").await, ["(dropped,6)", "(parked,1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_applied_and_can_no_longer_be_is_named() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    // As after a change of something that is read and is not the log.
    sqlx::raw_sql("CREATE TABLE rates (id text, rate int); INSERT INTO rates VALUES ('a', 1), ('b', 1)")
        .execute(&mut conn)
        .await
        .unwrap();
    for id in ["a", "b", "a"] {
        append_all(&mut conn, &[event(id, "added", &json!({}))]).await;
    }
    let rated = projection(
        "rated",
        "-- create\nCREATE TABLE rated (position bigint PRIMARY KEY, n int);\n-- apply
         INSERT INTO rated SELECT position, 100 / rate FROM batch JOIN rates ON id = aggregate_id",
    );
    fold(&db, &rated, 1, 100).await.unwrap();
    assert!(verified(&db, &rated).await.unwrap().agrees());
    sqlx::raw_sql("UPDATE rates SET rate = 0 WHERE id = 'b'").execute(&mut conn).await.unwrap();
    let verified = verified(&db, &rated).await.unwrap();
    let [refused] = &verified.refused[..] else { panic!("{verified:?}") };
    assert!(!verified.agrees() && verified.tables.is_empty(), "{verified:?}");
    assert!(refused.position == 2 && refused.reason.contains("division by zero"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_not_begun_has_nothing_that_could_agree_unless_its_tables_have_rows() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &[event("a", "added", &json!({"n": 1}))]).await;
    let own = projection("own", OWN);
    let nothing = verified(&db, &own).await.unwrap();
    assert!(!nothing.begun && nothing.events == 0 && nothing.tables.is_empty(), "{nothing:?}");
    sqlx::raw_sql("CREATE TABLE seen AS SELECT 1::bigint AS position").execute(&mut conn).await.unwrap();
    assert_eq!(differing(&verified(&db, &own).await.unwrap(), "seen").1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_definition_lost_checkpoints_missing_rights_and_writing_the_tables_in_use_are_sentences() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let own = applied(&db, &mut conn).await;
    let refused = async |projection: &SqlProjection| verified(&db, projection).await.unwrap_err().to_string();
    let other = projection("own", &OWN.replace("sum(", "max("));
    assert!(refused(&other).await.contains("is defined by"));
    let in_use = projection(
        "far",
        &OWN.replace("TABLE own", "TABLE far").replace("INTO own", "INTO far").replace("seen", "far_seen"),
    );
    fold(&db, &in_use, 1, 100).await.unwrap();
    let named =
        OWN.replace("TABLE own", "TABLE far").replace("INTO own", "INTO public.far").replace("seen", "far_seen");
    sqlx::query("UPDATE evenfold.projections SET definition = $1 WHERE name = 'far'")
        .bind(evenfold::Projection::settings(&projection("far", &named)))
        .execute(&mut conn)
        .await
        .unwrap();
    let text = "UPDATE evenfold.projections SET definition = 'aggregate types: all; event types: all; ' || definition WHERE name = 'far'";
    sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
    let sentence = refused(&projection("far", &named)).await;
    assert!(sentence.contains("has written public.far, which is not made by its create()"), "{sentence}");
    assert_eq!(rows(&mut conn, "SELECT n FROM far ORDER BY 1").await, ["(6)", "(60)"]);
    sqlx::raw_sql("DELETE FROM evenfold.checkpoints WHERE projection = 'own' AND residue = 1")
        .execute(&mut conn)
        .await
        .unwrap();
    assert!(refused(&own).await.contains("do not stand for all"));

    let role = format!("verifier_{}", db.name);
    let grants = format!(
        "CREATE ROLE \"{role}\"; GRANT USAGE ON SCHEMA evenfold TO \"{role}\"; GRANT SELECT ON ALL TABLES IN SCHEMA evenfold TO \"{role}\";
         DELETE FROM evenfold.projections WHERE name = 'own'"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut conn).await.unwrap();
    let mut limited = db.connect().await;
    sqlx::raw_sql(AssertSqlSafe(format!("SET ROLE \"{role}\""))).execute(&mut limited).await.unwrap();
    let error = verify(&Schema::default(), &mut limited, &mut own.clone(), 5).await.unwrap_err().to_string();
    assert!(error.contains("may not create a schema") && error.contains("GRANT CREATE ON DATABASE"), "{error}");
    drop(limited);
    sqlx::raw_sql(AssertSqlSafe(format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"")))
        .execute(&mut conn)
        .await
        .unwrap();
    assert_eq!(scalar(&mut conn, SCHEMAS).await, 0, "nothing is left");
}

/// By a session that is ended in the middle, as a process that is killed leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_verification_that_is_killed() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let slow = OWN.replace("FROM batch GROUP", "FROM batch, pg_sleep(0.5) GROUP");
    append_all(&mut conn, &[event("a", "added", &json!({"n": 1}))]).await;
    let own = projection("own", &slow);
    fold(&db, &own, 1, 100).await.unwrap();
    let mut killed = db.database.by_index().connect().await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut killed).await.unwrap();
    let mut again = own.clone();
    let verifying = tokio::spawn(async move { verify(&Schema::default(), &mut killed, &mut again, 5).await });
    wait_until("it folds", SOON, async || {
        scalar(&mut conn, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await > 0
    })
    .await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut conn).await.unwrap();
    assert!(verifying.await.unwrap().is_err());
    assert_eq!(scalar(&mut conn, SCHEMAS).await, 0);
    assert!(verified(&db, &own).await.unwrap().agrees());
}
