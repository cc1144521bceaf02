//! Standard error as JSON, for what collects logs: each line is an object, whatever is in it.

use crate::support::cli::{CliOutput, run, run_at};
use crate::support::{TestDb, append_one, insert};
use serde_json::Value;

const ONE: [&str; 4] = ["--partition-key=0", "--total-partitions=1", "--until-caught-up", "--log-format=json"];

/// The lines, each of which must be an object with what each must have, and nothing that a terminal would obey.
fn lines(output: &CliOutput) -> Vec<Value> {
    let parse = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let time = value["timestamp"].as_str().unwrap_or_else(|| panic!("no time: {line}"));
        assert!(time.len() >= 20 && time.contains('T') && time.ends_with('Z'), "{line}");
        for name in ["level", "message", "target"] {
            assert!(value[name].is_string(), "no {name}: {line}");
        }
        assert!(!line.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{line:?}");
        value
    };
    output.err.lines().map(parse).collect()
}

/// The only line with this message.
fn one<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let found: Vec<&Value> = lines.iter().filter(|line| line["message"] == message).collect();
    assert_eq!(found.len(), 1, "{message}: {lines:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_worker_is_an_object_with_its_fields_and_those_of_its_spans() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 1..=3 {
        append_one(&mut conn, "a", n).await;
    }
    let output = run_at(&db, &[&ONE[..], &["--log=debug"]].concat());
    assert_eq!(output.fine(), "");
    let lines = lines(&output);
    let applied: Vec<&Value> = lines.iter().filter(|line| line["message"] == "applied").collect();
    let batch = applied.iter().find(|line| line["level"] == "INFO").unwrap();
    assert_eq!((&batch["partition"], &batch["projection"]), (&"0/1".into(), &"counters".into()), "{batch}");
    assert_eq!((&batch["events"], &batch["applied_total"]), (&3.into(), &3.into()), "numbers are numbers: {batch}");
    assert_eq!(batch["spans"][0]["name"], "worker", "{batch}");
    let events: Vec<_> = applied.iter().filter(|line| line["level"] == "DEBUG").collect();
    assert_eq!(events.len(), 3, "{lines:#?}");
    for event in events {
        let span = &event["spans"][1];
        assert_eq!((&span["name"], &span["projection"]), (&"batch".into(), &"counters".into()), "{event}");
        assert_eq!(span["partition"], "0/1", "{event}");
    }
    assert_eq!(one(&lines, "stopped")["applied"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_with_control_characters_is_one_line_and_the_same_id() {
    let db = TestDb::new().await;
    let id = "a\n{\"level\":\"ERROR\"}\u{1b}[2J\u{9b}31m \u{202e}";
    insert(&mut db.connect().await, id, 1, r#"{"amount": "x"}"#).await.unwrap();
    let output = run_at(&db, &ONE);
    output.fine();
    let lines = lines(&output);
    assert_eq!(one(&lines, "parked")["aggregate_id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sentence_at_the_end_is_an_object_too() {
    let nobody = ["worker", "--partition-key=0", "--database-url", "postgres://nobody@127.0.0.1:1/none"];
    let failed = run(&[&nobody[..], &["--log-format", "json"]].concat());
    let refused = run(&["worker", "--partition-key=x", "--log-format=json"]);
    let mistaken = run(&["--log-format=json", "wroker"]);
    for (output, code, phrase) in [
        (&failed, 1, "no PostgreSQL answers at 127.0.0.1:1"),
        (&refused, 2, "partition-key"),
        (&mistaken, 2, "unrecognized subcommand"),
    ] {
        assert_eq!(output.code, code, "{output:#?}");
        let lines = lines(output);
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "ERROR", "{last}");
        assert!(last["message"].as_str().unwrap().contains(phrase), "{last}");
    }
}

#[test]
fn a_format_that_nobody_knows_is_one_sentence() {
    run(&["worker", "--log-format=xml"]).complains(2, "[possible values: text, json]");
}
