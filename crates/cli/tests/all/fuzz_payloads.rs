//! Random JSON text, valid and not, through append, INSERT, fold and verify: the fold and SQL agree on each.

use crate::support::{Evenfold, TestDb, insert, scalar};
use evenfold::class::Class;
use evenfold::counter::AmountPointer;
use evenfold::counters::{Counters, mismatches};
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold::projection::{Step, Worker, WorkerOptions};
use evenfold::schema::Schema;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::PgConnection;
use std::collections::HashMap;

const TEXTS: usize = 1_000;

const POINTERS: [&str; 6] = ["/amount", "", "/a/amount", "/a/0", "/0", "/a/b/amount"];

/// Numbers at the edges of what one or the other takes for an integer, and some that are none.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "5.0",
    "1e3",
    "1E+2",
    "-0.0",
    "1E400",
    "1e-400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "12345678901234567890",
    "0.1",
    "100000000000000000000000000000000",
    "007",
    "1.",
    "+1",
    ".5",
    "-",
    "NaN",
    "0x1",
    "1_000",
];

/// Parts of strings: escapes that are fine alone, only together, never, or no escapes at all.
const PARTS: &[&str] = &[
    "x",
    "é",
    "🦀",
    " ",
    r"\\",
    r"\/",
    r"\n",
    r"\u00e9",
    r"\u0000",
    r"\u0001",
    r"\ud83d",
    r"\uD83D",
    r"\ude00",
    r"\uDE00",
    r"\ud83d\ude00",
    r"\\u0000",
    r"\\ud83d",
    r"\u12",
    r"\x",
    "\t",
    "\u{7f}",
    r"\uFFFF",
    r"\u",
    "'",
    "/",
];

const KEYS: &[&str] = &["amount", "a", "b", "0", "1", "-1", "01", "", r"\u0061mount", r"\ud83d", r"\u0000", "AMOUNT"];

fn string() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PARTS), 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![6 => prop::sample::select(KEYS).prop_map(|key| format!("\"{key}\"")), 1 => string()]
}

fn json() -> impl Strategy<Value = String> {
    let words = ["true", "false", "null", "null", "tru", "None"].as_slice();
    let leaf = prop_oneof![
        4 => any::<i32>().prop_map(|n| n.to_string()),
        3 => prop::sample::select(NUMBERS).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| n.to_string()),
        2 => string(),
        2 => prop::sample::select(words).prop_map(str::to_owned),
        1 => (450_usize..550).prop_map(|n| format!("{}{}", "[".repeat(n), "]".repeat(n))),
    ];
    let space = || prop::sample::select(["", "", "", " ", "\n", "\t "].as_slice());
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let member = (key(), space(), inner.clone()).prop_map(|(key, space, value)| format!("{key}:{space}{value}"));
        prop_oneof![
            1 => (prop::collection::vec(inner, 0..4), space()).prop_map(|(all, space)| format!("[{space}{}]", all.join(","))),
            3 => (prop::collection::vec(member, 0..5), space()).prop_map(|(all, space)| format!("{{{}{space}}}", all.join(","))),
        ]
    })
}

/// Mostly JSON; else with a character more or less.
fn text() -> impl Strategy<Value = String> {
    (json(), 0..10_u8, any::<prop::sample::Index>(), prop::sample::select(b"{}[],:\"\\0 u".as_slice())).prop_map(
        |(json, mutation, at, byte)| {
            let mut chars: Vec<char> = json.chars().collect();
            match mutation {
                0 if !chars.is_empty() => drop(chars.remove(at.index(chars.len()))),
                1 => chars.insert(at.index(chars.len() + 1), char::from(byte)),
                _ => {}
            }
            chars.into_iter().collect()
        },
    )
}

/// What SQL makes of each event: the integer, that it is none, or that the text can't be read.
async fn by_sql(conn: &mut PgConnection, pointer: &AmountPointer) -> HashMap<String, Result<i64, String>> {
    sqlx::raw_sql(
        "CREATE OR REPLACE FUNCTION pg_temp.amount(payload json, path text[]) RETURNS text LANGUAGE plpgsql AS $$
         DECLARE found text;
         BEGIN
             BEGIN found := payload #>> path; EXCEPTION WHEN OTHERS THEN RETURN 'unreadable'; END;
             RETURN coalesce(found::bigint, 1);
         EXCEPTION WHEN OTHERS THEN RETURN 'no integer';
         END $$",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT aggregate_id, pg_temp.amount(payload, $1) FROM evenfold.events")
            .bind(pointer.parts())
            .fetch_all(conn)
            .await
            .unwrap();
    rows.into_iter().map(|(id, amount)| (id, amount.parse().map_err(|_| amount))).collect()
}

/// Folds the log by the pointer, into counters that are empty, and gives how many aggregates are parked.
async fn fold(conn: &mut PgConnection, pointer: &AmountPointer) -> i64 {
    sqlx::raw_sql("DELETE FROM evenfold.projections; TRUNCATE evenfold.counters").execute(&mut *conn).await.unwrap();
    let counters = Counters::new(pointer.clone(), 10_000);
    let mut worker = Worker::new(Class::partition(0, 1).unwrap(), counters, WorkerOptions::default());
    worker.register(conn).await.unwrap();
    while worker.step(conn).await.unwrap() != Step::CaughtUp {}
    scalar(conn, "SELECT count(DISTINCT aggregate_id) FROM evenfold.parked_events").await
}

#[tokio::test(flavor = "multi_thread")]
async fn fold_and_sql_agree_on_random_text_whether_it_comes_by_append_or_by_insert() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut runner = TestRunner::new(ProptestConfig::default());
    let mut texts = HashMap::new();
    for n in 0..TEXTS {
        let text = text().new_tree(&mut runner).unwrap().current();
        let line = format!(r#"{{"aggregate_type":"t","aggregate_id":"a{n}","event_type":"e","payload":{text}}}"#);
        let appended = NewEvent::from_json(&line);
        let inserted = insert(&mut conn, &format!("i{n}"), 1, &text).await;
        if let Ok(event) = appended {
            // The payload, without the space around it.
            log::append(&mut conn, &[event]).await.unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(inserted.is_ok(), "append takes what INSERT refuses: {text}");
            texts.insert(format!("a{n}"), text.clone());
        }
        if inserted.is_ok() {
            texts.insert(format!("i{n}"), text);
        }
    }
    assert!(texts.len() > TEXTS / 2, "{} of them are JSON", texts.len());
    for pointer in POINTERS.map(|pointer| pointer.parse::<AmountPointer>().unwrap()) {
        let (mut taken, sql) = (0, by_sql(&mut conn, &pointer).await);
        for (id, text) in &texts {
            let (folded, read) = (pointer.amount(text), &sql[id]);
            if let Ok(amount) = folded {
                assert_eq!(Ok(&amount), read.as_ref(), "{pointer} in {text}");
                taken += 1;
            }
            let unreadable = read.as_ref().is_err_and(|problem| problem == "unreadable");
            assert!(!unreadable || !id.starts_with('a'), "append has taken what SQL can't read: {text}");
        }
        assert!(taken > 10, "{taken} of {} have an amount at {pointer}", texts.len());
        let parked = fold(&mut conn, &pointer).await;
        assert_eq!(usize::try_from(parked).unwrap(), texts.len() - taken, "{pointer}");
        assert_eq!(mismatches(&Schema::default(), &mut conn, &pointer, 10).await.unwrap(), [], "{pointer}");
        let (url, pointer) = (&db.url, pointer.to_string());
        let output = Evenfold::run(&["verify", "--database-url", url, "--amount-pointer", &pointer], "");
        assert!(output.status.success(), "{pointer}: {output:?}");
    }
}
