//! `append`: what is wrong is reported with its line, nothing of its batch is appended, and what came before stays.

use crate::support::cli::{feed, run};
use crate::support::{TestDb, scalar};
use sqlx::PgConnection;

fn line(aggregate_id: &str, more: &str) -> String {
    format!(r#"{{"aggregate_type":"t","aggregate_id":"{aggregate_id}","event_type":"e","payload":{{"n":1}}{more}}}"#)
}

fn with_id(aggregate_id: &str, event_id: u32) -> String {
    line(aggregate_id, &format!(r#","event_id":"00000000-0000-4000-8000-{event_id:012}""#))
}

async fn events(conn: &mut PgConnection) -> i64 {
    scalar(conn, "SELECT count(*) FROM evenfold.events").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_is_named_and_nothing_of_its_batch_is_appended() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let long = "x".repeat(256);
    #[rustfmt::skip]
    let cases: [(&str, &str); 19] = [
        ("not JSON", "line 3: not an event as JSON: expected ident at column 2"),
        ("[]", "line 3: not an event as JSON: invalid length 0"),
        ("5", "line 3: not an event as JSON: invalid type: integer"),
        (r#"{"aggregate_type":"t""#, "line 3: not an event as JSON: EOF while parsing"),
        (&format!("{} and more", line("a", "")), "line 3: not an event as JSON: trailing characters"),
        (&line("a", r#","amount":1"#), "line 3: not an event as JSON: unknown field `amount`, expected one of"),
        (&line("a", r#","payload":{}"#), "line 3: not an event as JSON: duplicate field `payload`"),
        (r#"{"aggregate_type":"t","aggregate_id":"a","payload":1}"#, "line 3: not an event as JSON: missing field `event_type`"),
        (r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e"}"#, "missing field `payload`"),
        (r#"{"aggregate_type":7,"aggregate_id":"a","event_type":"e","payload":1}"#, "expected a string at column 19"),
        (r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{"n":}}"#, "expected value at column"),
        (r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":"\u0000"}"#, "line 3: payload holds \\u0000"),
        (&line("", ""), "line 3: aggregate_id must be 1 to 1024 bytes long"),
        (&line("a", "").replace(r#""e""#, &format!(r#""{long}""#)), "line 3: event_type must be 1 to 255 bytes long"),
        (&line("a", r#","event_id":"7""#), "line 3: not an event as JSON: UUID parsing failed"),
        (&line("a", r#","expected_version":-1"#), "line 3: the expected version must be 0 or more"),
        (&line("a", r#","expected_version":"1""#), "line 3: not an event as JSON: invalid type: string"),
        (&line("new", r#","expected_version":3"#), "line 3: t/new was expected to have version 3 and has 0"),
        (&line("a", r#","expected_version":0"#), "line 3: t/a was expected to have version 0 and has"),
    ];
    for (bad, phrase) in cases {
        // Two lines before it, the empty one being counted, and one after it.
        let input = format!("{}\n\n{bad}\n{}\n", line("a", ""), line("a", ""));
        let before = events(&mut conn).await;
        let output = feed(&db, &["append"], &input);
        output.complains(1, phrase);
        assert!(output.err.contains("nothing from line 1 on was appended, and 0 events before it were"), "{output:?}");
        assert_eq!(output.err.lines().count(), 2, "which database it is, and one sentence: {output:?}");
        assert_eq!(events(&mut conn).await, before, "{bad}");

        // The same, each line a batch of its own: what came before the bad one stays.
        let output = feed(&db, &["append", "--batch-size=1"], &input);
        output.complains(1, phrase);
        assert!(output.err.contains("nothing from line 2 on was appended, and 1 events before it were"), "{output:?}");
        assert_eq!(events(&mut conn).await, before + 1, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_and_lines_without_end_are_refused() {
    let db = TestDb::new().await;
    let good = line("a", "");
    let output = feed(&db, &["append"], [good.as_bytes(), b"\n\xff\xfe\n"].concat());
    output.complains(1, "line 2 is not UTF-8");
    let endless = "x".repeat(9 << 20);
    feed(&db, &["append"], format!("{good}\n{endless}\n")).complains(1, "line 2 is longer than");
    let large =
        format!(r#"{{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":"{}"}}"#, &endless[..1 << 20]);
    feed(&db, &["append"], large).complains(1, "line 1: payload may have 1048576 bytes, and this one has 1048578");
    assert_eq!(events(&mut db.connect().await).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn line_ends_of_all_kinds_and_empty_lines_are_taken() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let one = line("a", "");
    let cases = [
        (String::new(), 0),
        ("\n\r\n  \n".to_owned(), 0),
        (format!("{one}\n"), 1),
        (one.clone(), 1),
        (format!("{one}\r\n{one}\r\n"), 2),
        (format!("\n\n{one}\n\n\n  {one}  \n\n"), 2),
        (format!("{}\n", line("größe-\u{1f980}", "")), 1),
    ];
    for (input, expected) in cases {
        let before = events(&mut conn).await;
        assert_eq!(feed(&db, &["append"], &input).fine(), format!("appended {expected} events\n"), "{input:?}");
        assert_eq!(events(&mut conn).await - before, expected, "{input:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_events_are_what_was_given() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let event_id = "00000000-0000-4000-8000-000000000007";
    let more = format!(r#","event_id":"{event_id}","expected_version":0,"metadata":{{"by":"me"}}"#);
    let input = format!("{}\n{}\n", line("a", &more), line("a", r#","expected_version":1"#));
    feed(&db, &["append"], input).fine();
    let row: (String, String, i64, String, String, String) = sqlx::query_as(
        "SELECT aggregate_type, event_id::text, version, event_type, payload::text, metadata::text FROM evenfold.events
         WHERE aggregate_id = 'a' ORDER BY version LIMIT 1",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    let expected = ("t", event_id, 1, "e", r#"{"n":1}"#, r#"{"by":"me"}"#);
    assert_eq!((&*row.0, &*row.1, row.2, &*row.3, &*row.4, &*row.5), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_distinguished_from_a_mistake_with_event_ids() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let input = format!("{}\n{}\n", with_id("a", 1), with_id("b", 2));
    feed(&db, &["append"], &input).fine();

    let again = feed(&db, &["append"], &input);
    again.complains(1, "lines 1 to 2: the events are in the log already");
    assert!(again.err.contains("has position 1; leave them out"), "{again:?}");
    let one = feed(&db, &["append"], with_id("b", 2));
    one.complains(1, "line 1: the events are in the log already");

    let taken = format!("{}\n{}\n", with_id("c", 3), with_id("c", 1));
    feed(&db, &["append"], taken).complains(1, "line 2: event id 00000000-0000-4000-8000-000000000001 is taken by");
    let twice = format!("{}\n\n{}\n", with_id("c", 4), with_id("c", 4));
    feed(&db, &["append"], twice).complains(1, "line 3: event id 00000000-0000-4000-8000-000000000004 is taken twice");
    assert_eq!(events(&mut conn).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_size_is_the_number_of_events_of_one_transaction() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let input: String = (0..10).map(|n| line(&format!("a{n}"), "") + "\n").collect();
    for (size, transactions) in [("1", 10), ("4", 3), ("10", 1), ("10000", 1)] {
        let before = scalar(&mut conn, "SELECT count(DISTINCT xid::text) FROM evenfold.events").await;
        assert_eq!(feed(&db, &["append", "--batch-size", size], &input).fine(), "appended 10 events\n");
        let after = scalar(&mut conn, "SELECT count(DISTINCT xid::text) FROM evenfold.events").await;
        assert_eq!(after - before, transactions, "--batch-size {size}");
    }
}

#[test]
fn a_server_that_is_not_there_is_reported_before_any_input_is_read() {
    run(&["append", "--database-url=postgres://user@127.0.0.1:1/x"]).complains(1, "no PostgreSQL answers");
}
