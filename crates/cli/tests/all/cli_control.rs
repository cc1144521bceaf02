//! What others have put into the log is shown, never obeyed: an id may have escape sequences in it.

use crate::support::cli::{apply_all, feed, run_at};
use crate::support::{Evenfold, SOON, TestDb, append_one, wait_until};

/// Clears the screen, sets the title, starts a line of its own, reverses the writing, and is an 8-bit CSI.
const ID: &str = "a\u{1b}[2J\u{1b}]0;x\u{7}\r\nevenfold: all is well\u{202e}\u{9b}31m\u{7f}";

async fn a_database_with_such_an_id(amount: &str) -> TestDb {
    let db = TestDb::new().await;
    sqlx::query(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         VALUES (1, $1, $1, $1, json_build_object('amount', $2::json))",
    )
    .bind(ID)
    .bind(amount)
    .execute(&mut db.connect().await)
    .await
    .unwrap();
    db
}

/// Everything but line ends must be printable, and each line one of ours.
fn assert_harmless(args: &[&str], text: &str) {
    let obeyed = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(obeyed), "{args:?}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("evenfold: all is well")), "{args:?}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_sentences_and_errors_show_control_characters() {
    let db = a_database_with_such_an_id("1").await;
    let applied = apply_all(&db);
    applied.fine();
    for args in [&["counters"][..], &["counters", ID], &["counters", "no\u{1b}[2Jt there"], &["parked", "drop", ID, ID]]
    {
        let output = run_at(&db, args);
        assert_harmless(args, &output.out);
        assert_harmless(args, &output.err);
        assert!(format!("{}{}", output.out, output.err).contains("\\u{1b}[2J"), "{args:?}: {output:?}");
    }
    sqlx::raw_sql("UPDATE evenfold.counters SET value = 7").execute(&mut db.connect().await).await.unwrap();
    let output = run_at(&db, &["verify"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert_harmless(&["verify"], &output.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_and_the_parked_list_show_control_characters() {
    let db = a_database_with_such_an_id("\"five\"").await;
    let worker = ["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", "--log=debug"];
    let output = run_at(&db, &worker);
    assert!(output.code == 0 && output.err.contains(" WARN parked "), "{output:?}");
    assert_harmless(&worker, &output.err);
    let list = run_at(&db, &["parked", "list"]);
    assert_harmless(&["parked", "list"], list.fine());
    assert_eq!(list.out.lines().count(), 2, "a header and a row: {}", list.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_says_is_one_log_line() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    sqlx::raw_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION E'no\\nevenfold: all is well\\x1b[2J'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON evenfold.counters EXECUTE FUNCTION refuse()",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let args = ["--partition-key=0", "--total-partitions=1", "--database-url", &db.url];
    let worker = Evenfold::spawn(&args);
    wait_until("the refusal", SOON, async || worker.log().contains("trying again")).await;
    let log = worker.log();
    assert!(
        log.contains("no\\nevenfold: all is well\\u{1b}[2J") || log.contains("no\\nevenfold: all is well\\x1b[2J"),
        "{log}"
    );
    assert_harmless(&args, &log);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_harmless_as_well_and_has_the_same_value() {
    let db = a_database_with_such_an_id("1").await;
    apply_all(&db).fine();
    let output = run_at(&db, &["counters", "--json"]);
    assert_harmless(&["counters", "--json"], output.fine());
    let row: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(row["aggregate_id"], ID);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_the_input_is_shown_in_the_error_about_it() {
    let db = TestDb::new().await;
    let id = "\\u001b[2J\\u009b31m";
    let line =
        format!(r#"{{"aggregate_type":"t","aggregate_id":"{id}","event_type":"e","payload":1,"expected_version":3}}"#);
    let output = feed(&db, &["append"], line);
    output.complains(1, "t/\\u{1b}[2J\\u{9b}31m was expected to have version 3");
    assert_harmless(&["append"], &output.err);
    // A flag's value as well.
    let usage = crate::support::cli::CliOutput::from(Evenfold::run(&["counters", "--top=\u{1b}[2J"], ""));
    usage.complains(2, "from 1 to 1000000");
    assert_harmless(&["counters"], &usage.err);
}
