//! What a file may not do is refused before anything of it is run, in one sentence with the place.

use crate::fold::{append_all, event, fold, projection, rows};
use evenfold_testkit::{TestDb, scalar};
use serde_json::json;
use sqlx::AssertSqlSafe;

const TABLE: &str = "-- create\nCREATE TABLE own (id text PRIMARY KEY, n bigint);\n-- apply\n";

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_do_something_else_than_to_write_the_files_tables_are_refused_and_nothing_is_begun() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    sqlx::raw_sql("CREATE TABLE other (id text PRIMARY KEY)").execute(&mut conn).await.unwrap();
    append_all(&mut conn, &[event("a", "added", &json!({}))]).await;
    let no_statement = "is no INSERT, UPDATE, DELETE or MERGE";
    let cases = [
        ("COMMIT", no_statement, 4),
        ("INSERT INTO own SELECT aggregate_id FROM batch;\n  ROLLBACK", no_statement, 5),
        ("TRUNCATE own", no_statement, 4),
        ("COPY own FROM STDIN", no_statement, 4),
        ("SET search_path = public", no_statement, 4),
        ("DROP TABLE own", no_statement, 4),
        ("DO $$ BEGIN END $$", no_statement, 4),
        ("CALL x()", no_statement, 4),
        ("LOCK own", no_statement, 4),
        ("SELECT * FROM batch", "this writes no table", 4),
        ("CREATE TABLE more AS SELECT * FROM batch", "this writes no table", 4),
        ("INSERT INTO other SELECT aggregate_id FROM batch", "this would insert into public.other", 4),
        ("WITH d AS (DELETE FROM other RETURNING id) INSERT INTO own SELECT id FROM d", "delete from public.other", 4),
        ("UPDATE evenfold.counters SET value = 0", "this would update evenfold.counters", 4),
        ("DELETE FROM batch", "this would delete from pg_temp", 4),
        ("INSERT INTO own\nSELECT nope FROM batch", "column \"nope\" does not exist", 5),
    ];
    for (sql, sentence, line) in cases {
        let refused = fold(&db, &projection("own", &format!("{TABLE}{sql}")), 1, 10).await.unwrap_err();
        let (refused, is_final) = (refused.to_string(), refused.is_final());
        assert!(
            refused.contains(sentence) && refused.contains(&format!("projections/own.sql:{line}:")),
            "{sql}: {refused}"
        );
        assert!(is_final, "{sql}: {refused}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.projections").await, 0);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_class WHERE relname IN ('own', 'more')").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_could_not_be_folded_again_or_is_somebody_elses_is_refused() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    sqlx::raw_sql("CREATE TABLE taken (id text PRIMARY KEY); CREATE SCHEMA shop").execute(&mut conn).await.unwrap();
    let insert = "INSERT INTO t SELECT FROM batch";
    let cases = [
        ("", insert, "no table is made"),
        ("CREATE TABLE t (id int)", insert, "has no primary key"),
        ("CREATE TABLE t (id bigserial PRIMARY KEY)", insert, "numbers that the database hands out"),
        ("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)", insert, "numbers that the database"),
        ("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED)", insert, "deferred"),
        ("CREATE TABLE shop.t (id int PRIMARY KEY)", insert, "leave the schema out of its name"),
        ("CREATE TABLE taken (id text PRIMARY KEY)", insert, "already exists"),
        (
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE IF NOT EXISTS taken (id text PRIMARY KEY)",
            "INSERT INTO taken SELECT aggregate_id FROM batch",
            "this would insert into public.taken",
        ),
    ];
    for (create, apply, sentence) in cases {
        let text = format!("-- create\n{create}\n-- apply\n{apply}");
        let refused = fold(&db, &projection("t", &text), 1, 10).await.unwrap_err();
        assert!(refused.is_final() && refused.to_string().contains(sentence), "{create}: {refused}");
    }
    assert_eq!(rows(&mut conn, "SELECT * FROM taken").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_later_stops_the_projection_and_parks_nothing() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &[event("a", "added", &json!({}))]).await;
    let own = projection("own", &format!("{TABLE}INSERT INTO own SELECT aggregate_id, 1 FROM batch"));
    fold(&db, &own, 1, 10).await.unwrap();
    sqlx::raw_sql("ALTER TABLE own RENAME id TO other").execute(&mut conn).await.unwrap();
    append_all(&mut conn, &[event("b", "added", &json!({}))]).await;
    for broken in ["ALTER TABLE own DROP COLUMN n", "COMMENT ON TABLE own IS NULL"] {
        sqlx::raw_sql(AssertSqlSafe(broken)).execute(&mut conn).await.unwrap();
        let stopped = fold(&db, &own, 1, 10).await.unwrap_err();
        assert!(stopped.is_final() && stopped.to_string().contains("can't go on, and nothing is parked"), "{stopped}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    assert_eq!(rows(&mut conn, "SELECT other FROM own").await, ["(a)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_definition_is_refused_and_another_comment_is_none() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &[event("a", "added", &json!({}))]).await;
    let sql = "INSERT INTO own SELECT aggregate_id, 1 FROM batch";
    fold(&db, &projection("own", &format!("{TABLE}{sql}")), 1, 10).await.unwrap();
    fold(&db, &projection("own", &format!("-- Mine.\n{TABLE}  {sql} /* all */ ;")), 1, 10).await.unwrap();
    let refused = fold(&db, &projection("own", &format!("{TABLE}{}", sql.replace('1', "2"))), 1, 10).await.unwrap_err();
    assert!(refused.is_final() && refused.to_string().contains("is defined by"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_for_each_event_that_writes_another_table_is_stopped_and_nothing_of_it_is_kept() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    sqlx::raw_sql("CREATE TABLE other (id text PRIMARY KEY)").execute(&mut conn).await.unwrap();
    append_all(&mut conn, &[event("a", "added", &json!({})), event("b", "added", &json!({}))]).await;
    let create = "-- create\nCREATE TABLE own (id text PRIMARY KEY);\n-- each event\n";
    let bad = format!("{create}INSERT INTO other VALUES (event.aggregate_id);\n");
    let stopped = fold(&db, &projection("own", &bad), 1, 1).await.unwrap_err();
    assert!(stopped.is_final() && stopped.to_string().contains("has written public.other"), "{stopped}");
    assert_eq!(rows(&mut conn, "SELECT * FROM other").await, [""; 0]);
    let ends = projection("ends", &format!("{}COMMIT;", create.replace("own", "ends")));
    let stopped = fold(&db, &ends, 1, 1).await.unwrap_err();
    assert!(stopped.is_final() && stopped.to_string().contains("invalid transaction termination"), "{stopped}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_another_projection_is_refused_with_the_name_of_its_owner() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &[event("a", "added", &json!({}))]).await;
    let sql = "INSERT INTO own SELECT aggregate_id, 1 FROM batch";
    fold(&db, &projection("first", &format!("{TABLE}{sql}")), 1, 10).await.unwrap();
    for (text, line, sentence) in [
        (format!("{TABLE}{sql}"), 2, "the table own belongs to the projection first"),
        (
            format!(
                "-- create\nCREATE TABLE IF NOT EXISTS own (id text); CREATE TABLE o (id text PRIMARY KEY)\n-- apply\n{sql}"
            ),
            4,
            "this would insert into public.own, which belongs to the projection first",
        ),
        (
            format!("-- create\nCREATE TABLE o (id text PRIMARY KEY)\n-- each event\n{sql};"),
            0,
            "this has written public.own, which belongs to the projection first",
        ),
    ] {
        let refused = fold(&db, &projection("second", &text), 1, 10).await.unwrap_err();
        let (is_final, refused) = (refused.is_final(), refused.to_string());
        let place =
            if line > 0 { format!("projections/second.sql:{line}:") } else { "projections/second.sql: ".to_owned() };
        assert!(is_final && refused.contains(sentence) && refused.contains(&place), "{text}: {refused}");
    }
    assert_eq!(rows(&mut conn, "SELECT * FROM own").await, ["(a,1)"]);
}
