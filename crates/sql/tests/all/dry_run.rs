//! A file is tried with given events in a database that has no log, and its rows are those that were expected, or it is
//! shown which are not.

use crate::fold::{event, file};
use evenfold::NewEvent;
use evenfold_sql::check::{CheckError, DryRun, Expected, dry_run, in_place};
use evenfold_testkit::{TestDb, scalar};
use serde_json::json;
use sqlx::PgConnection;

const TEXT: &str = "-- events: paid\n-- create
CREATE TABLE sums (id text, n int, cents numeric NOT NULL, PRIMARY KEY (n, id));
-- apply
INSERT INTO sums AS t SELECT aggregate_id, length(aggregate_id), sum((payload ->> 'cents')::numeric) FROM batch
GROUP BY 1 ORDER BY 1 ON CONFLICT (n, id) DO UPDATE SET cents = t.cents + excluded.cents";

fn events() -> Vec<NewEvent> {
    let paid = |id: &str, cents: &str| event(id, "paid", &json!({"cents": cents}));
    vec![
        paid("bb", "1.50"),
        paid("c", "2"),
        event("c", "other", &json!(1)),
        paid("bb", "0.50"),
        paid("aa", "123456789012345678901.25"),
    ]
}

async fn run(conn: &mut PgConnection, text: &str, expected: Option<&Expected>) -> Result<DryRun, CheckError> {
    dry_run(conn, &file("sums", text), in_place(events()).unwrap(), expected).await
}

fn expected(rows: &[&str]) -> Expected {
    Expected(rows.iter().map(|row| (None, (*row).to_owned())).collect())
}

fn texts(rows: &[evenfold_sql::check::TableRow]) -> Vec<&str> {
    rows.iter().map(|row| row.row.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_come_in_the_order_of_their_key_and_nothing_is_left_in_a_database_without_a_log() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    for _ in 0..2 {
        let run = run(&mut conn, TEXT, None).await.unwrap();
        assert_eq!((run.events, run.tables.as_slice()), (4, &["sums".to_owned()][..]));
        let rows = [
            r#"{"id":"c","n":1,"cents":2}"#,
            r#"{"id":"aa","n":2,"cents":123456789012345678901.25}"#,
            r#"{"id":"bb","n":2,"cents":2.00}"#,
        ];
        assert_eq!(texts(&run.rows), rows);
    }
    let left =
        "SELECT count(*) FROM pg_class WHERE relname = 'sums' OR relnamespace::regnamespace::text LIKE 'evenfold%'";
    assert_eq!(scalar(&mut conn, left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_compared_as_values_and_each_that_is_missing_or_extra_is_shown() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let [c, aa] = [r#"{"cents": 2.000, "n": 1, "id": "c"}"#, r#"{"id":"aa","n":2,"cents":123456789012345678901.250}"#];
    let right = expected(&[r#"{"id":"bb","n":2,"cents":2}"#, aa, c]);
    let compared = run(&mut conn, TEXT, Some(&right)).await.unwrap();
    assert_eq!((compared.missing, compared.extra), (vec![], vec![]));
    // In the last digit, a row too few, and one too many.
    let wrong = expected(&[c, r#"{"id":"aa","n":2,"cents":123456789012345678901.26}"#, c]);
    let compared = run(&mut conn, TEXT, Some(&wrong)).await.unwrap();
    assert_eq!(compared.missing.len(), 2, "{compared:?}");
    assert!(texts(&compared.missing).iter().any(|row| row.contains("901.26")), "{compared:?}");
    let extra =
        [r#"{"n": 2, "id": "aa", "cents": 123456789012345678901.25}"#, r#"{"n": 2, "id": "bb", "cents": 2.00}"#];
    assert_eq!(texts(&compared.extra), extra);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expected_row_of_no_table_or_of_one_that_has_no_name_is_refused() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let other = Expected(vec![(Some("sum".to_owned()), "{}".to_owned())]);
    let refused = run(&mut conn, TEXT, Some(&other)).await.unwrap_err().to_string();
    assert!(refused.contains("sum is no table that the projection makes: sums"), "{refused}");
    let two = TEXT.replace("-- apply", ";CREATE TABLE more (id text PRIMARY KEY);\n-- apply");
    let refused = run(&mut conn, &two, Some(&expected(&["{}"]))).await.unwrap_err().to_string();
    assert!(refused.contains("several tables, more, sums, and nothing names"), "{refused}");
    let named = Expected(vec![(Some("sums".to_owned()), r#"{"id":"c","n":1,"cents":2}"#.to_owned())]);
    let compared = run(&mut conn, &two, Some(&named)).await.unwrap();
    assert_eq!((compared.missing.len(), compared.extra.len()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_can_not_be_applied_is_named_and_the_rows_are_those_of_the_others() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let mut events = events();
    events.insert(1, event("c", "paid", &json!({"cents": "much"})));
    let run = dry_run(&mut conn, &file("sums", TEXT), in_place(events).unwrap(), None).await.unwrap();
    let [parked] = &run.parked[..] else { panic!("{run:?}") };
    assert_eq!((parked.position, parked.version, parked.aggregate.aggregate_id.as_str()), (2, 1, "c"));
    assert_eq!(run.rows.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_make_no_schema_is_given_the_grant_that_it_lacks() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let role = format!("\"Reader {}\"", std::process::id());
    let sql = format!("CREATE ROLE {role}; SET ROLE {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    let refused = run(&mut conn, TEXT, None).await.unwrap_err().to_string();
    let grant = refused.split(": ").last().unwrap().to_owned();
    assert!(
        grant.starts_with("GRANT CREATE, TEMPORARY ON DATABASE evenfold_test_") && grant.ends_with(&role),
        "{refused}"
    );
    // It is all that it lacks.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("RESET ROLE; {grant}; SET ROLE {role}")))
        .execute(&mut conn)
        .await
        .unwrap();
    assert_eq!(run(&mut conn, TEXT, None).await.unwrap().rows.len(), 3);
    let sql = format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
}
