//! `demo`: all of it at work, and the proof at the end, which fails when the read model is not what the log says.

use crate::support::Evenfold;
use crate::support::cli::{CliOutput, DataDir, finish};
use evenfold::database::Database;

const DEMO: [&str; 2] = ["demo", "--events=4000"];

/// Fails unless the demonstration went well; the sum of the partitions' events.
fn proven(output: &CliOutput) -> u64 {
    let out = output.fine();
    // The last line has a path in it.
    let wide: Vec<&str> = out.lines().rev().skip(1).filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert!(out.contains("8 writers append 4,000 events while 4 workers"), "{out}");
    assert!(out.contains("Recomputed by one SQL query over the whole log: all "), "{out}");
    assert!(out.contains(" counters agree\n("), "{out}");
    let mut applied = 0;
    for key in 0..4 {
        let row = out.lines().find(|line| line.starts_with(&format!("{key}/4 "))).expect("a row per partition");
        let cells: Vec<&str> = row.split_whitespace().collect();
        let events: u64 = cells[1].replace(',', "").parse().unwrap();
        assert!(events > 0, "{row}");
        assert_eq!((cells[3], cells[5]), ("%", "0"), "a share, and nothing left: {row}");
        applied += events;
    }
    assert!(out.contains("partition  events  ") && out.contains("  share  "), "{out}");
    let top = out.lines().filter(|line| line.starts_with("counter  counter-")).count();
    assert_eq!(top, 5, "the top counters: {out}");
    applied
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demonstration_proves_that_every_counter_agrees_and_fails_if_one_does_not() {
    let dir = DataDir::new();
    // Kept running, so that its database can be tampered with.
    let url = dir.run(&["db", "start", "--data-dir", &dir.demonstrations()]).fine().trim_end().to_owned();
    let first = dir.run(&DEMO);
    assert_eq!(proven(&first), 4000);
    assert!(first.out.contains("(4,000 events)"), "{}", first.out);
    let second = dir.run(&DEMO);
    assert_eq!(proven(&second), 4000, "of what was there before nothing is applied again");
    assert!(second.out.contains("(8,000 events)"), "{}", second.out);

    let mut conn = Database::at(&url).unwrap().connect().await.unwrap();
    let tampered: String = sqlx::query_scalar(
        "UPDATE evenfold.counters SET value = value + 1000
         WHERE aggregate_id = (SELECT aggregate_id FROM evenfold.counters ORDER BY last_position DESC LIMIT 1)
         RETURNING aggregate_id",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    let failed = dir.run(&DEMO);
    assert_eq!(failed.code, 1, "{failed:#?}");
    let line = failed.out.lines().find(|line| line.contains("the log says")).unwrap();
    assert!(line.starts_with(&format!("counter/{tampered}: the log says ")), "{line}");
    assert!(line.contains(" events with the value ") && line.contains(", the read model "), "{line}");
    assert!(!failed.out.contains("counters agree"), "{}", failed.out);
    assert!(failed.err.contains("\nevenfold: the counters listed above do not agree with the log"), "{failed:?}");

    // What the sentence advises.
    assert!(failed.err.contains("`evenfold rebuild`"), "{failed:?}");
    dir.run(&["rebuild", "--data-dir", &dir.demonstrations()]).fine();
    assert_eq!(proven(&dir.run(&DEMO)), 4_000, "and everything agrees again");
    dir.run(&["db", "stop", "--data-dir", &dir.demonstrations()]).fine();
}

#[test]
fn a_demonstration_needs_no_database_and_leaves_that_of_the_url_alone() {
    let dir = DataDir::new();
    let mut command = Evenfold::command(&["demo", "--events=100", "--total-partitions=2"]);
    command.env("DATABASE_URL", "postgres://user@127.0.0.1:1/x").env("EVENFOLD_DATA_DIR", dir.path());
    let output = finish(command);
    assert!(output.fine().contains("while 2 workers"), "{output:?}");
    assert!(output.err.contains("leaves the database of the URL alone"), "{output:?}");
    assert!(!dir.path().exists(), "nor is evenfold's own database touched");
    let other_total = dir.run(&["demo", "--events=100", "--total-partitions=3"]);
    assert!(other_total.fine().contains("while 3 workers"), "{other_total:?}");
    assert!(other_total.out.contains("counters agree\n(200 events)"), "of both runs: {other_total:?}");
    // And back: no worker of the other number is at work, and none is waited for.
    let back = dir.run(&["demo", "--events=100", "--total-partitions=2"]);
    assert!(back.fine().contains("counters agree\n(300 events)"), "{back:?}");
}

#[test]
fn a_walk_through_numbers_of_partitions_under_load_shows_each_and_proves_that_nothing_was_lost() {
    let dir = DataDir::new();
    let output = dir.run(&["scale", "--path=1,3,2", "--stage-ms=1500", "--rate=2000"]);
    let out = output.fine();
    assert!(out.contains("partitions: 1 -> 3 -> 2"), "{out}");
    assert!(out.contains(" counters agree\n("), "{out}");
    for partition in ["0/1", "0/3", "1/3", "2/3", "0/2", "1/2"] {
        let row = out.lines().find(|line| line.split_whitespace().nth(1) == Some(partition)).expect("a row each");
        let events: u64 = row.split_whitespace().nth(2).unwrap().replace(',', "").parse().unwrap();
        assert!(events > 0, "{row}");
        assert!(row.ends_with(" ms") || partition == "0/1", "the pause of each class: {row}");
    }
    assert!(out.lines().rev().skip(1).all(|line| line.chars().count() <= 80), "{out}");
}

#[test]
fn the_events_of_demonstrations_are_apart_from_those_of_the_user_and_their_place_is_printed() {
    let dir = DataDir::new();
    let mut append = Evenfold::command(&["append"]);
    append.env("EVENFOLD_DATA_DIR", dir.path());
    let line = r#"{"aggregate_type":"t","aggregate_id":"mine","event_type":"e","payload":{"amount":3}}"#;
    CliOutput::from(Evenfold::finish(append, line.as_bytes())).fine();
    for args in [&["demo", "--events=1000"][..], &["scale", "--path=1,2", "--stage-ms=200", "--rate=1000"]] {
        let output = dir.run(args);
        let look_around = format!("\nevenfold status --data-dir {}\n", dir.demonstrations());
        assert!(output.fine().ends_with(&look_around), "{output:?}");
        assert!(
            output.err.starts_with(&format!("database: a PostgreSQL of its own in {}", dir.demonstrations())),
            "{output:?}"
        );
        // The command that it names.
        dir.run(&["status", "--data-dir", &dir.demonstrations()]).fine();
    }
    let worker = ["--partition-key=0", "--total-partitions=1", "--until-caught-up", "--json"];
    let mine = dir.run(&worker);
    assert!(mine.fine().contains(r#""applied":1,"#), "{mine:?}");
    let demonstrated = dir.run(&["counters", "--top=1", "--json", "--data-dir", &dir.demonstrations()]);
    assert!(demonstrated.fine().contains(r#""aggregate_type":"counter""#), "{demonstrated:?}");
}
