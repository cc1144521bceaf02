//! `projection check` and `projection try`: what is wrong with a file is known before anything is begun.

use crate::support::cli::{CliOutput, feed, finish};
use crate::support::documents::document;
use crate::support::{Evenfold, TestDb, scalar};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SUMS: &str = "-- events: paid
-- create
CREATE TABLE sums (customer text PRIMARY KEY, cents bigint NOT NULL);
-- apply
INSERT INTO sums AS t SELECT payload ->> 'customer', sum((payload ->> 'cents')::bigint) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (customer) DO UPDATE SET cents = t.cents + excluded.cents;
";

fn paid(order: &str, customer: &str, cents: &str) -> String {
    let payload = format!(r#"{{"customer": "{customer}", "cents": {cents}}}"#);
    format!(r#"{{"aggregate_type": "order", "aggregate_id": "{order}", "event_type": "paid", "payload": {payload}}}"#)
        + "\n"
}

fn events() -> String {
    (0..40).map(|n| paid(&format!("o{n}"), &format!("c{}", n % 3), &n.to_string())).collect()
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

/// Runs in a directory, with this input.
fn run_in(directory: &Path, db: &TestDb, args: &[&str], input: &str) -> CliOutput {
    let mut command = Evenfold::command(args);
    command.env("DATABASE_URL", &db.url).current_dir(directory);
    if input.is_empty() { finish(command) } else { Evenfold::finish(command, input.as_bytes()).into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_of_the_directory_is_checked_and_the_exit_code_is_1_unless_all_are_right() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    feed(&db, &["append"], events()).fine();
    let overwrites = SUMS.replace("sums", "last").replace("cents = t.cents + excluded.cents", "cents = excluded.cents");
    let taken = SUMS.replace("sums AS t", "sums AS s").replace("t.cents", "s.cents");
    let files = directory(&[
        ("projections/last.sql", &overwrites),
        ("projections/more.sql", &taken),
        ("projections/none.sql", "-- event: a\n-- apply\nx"),
        ("projections/sums.sql", SUMS),
    ]);
    let all = run_in(files.path(), &db, &["projection", "check"], "");
    assert_eq!(all.code, 1, "{all:?}");
    let out = all.out.replace("\n  ", " ");
    for sentence in [
        "last: wrong\nprojections/last.sql: one batch and many small ones give different rows",
        "last in one batch: {\"customer\":\"c0\"",
        "more: no mistake was found",
        "projections/none.sql:1:1: event: is no heading",
        "sums: wrong\nprojections/sums.sql: the table sums is made by projections/more.sql as well",
    ] {
        assert!(out.contains(sentence), "{sentence}: {out}");
    }
    assert!(
        all.err.ends_with("evenfold: 3 of 4 files are not known to be right: what to do is named above\n"),
        "{all:?}"
    );
    let shown: Vec<&str> = all.out.lines().filter(|line| !line.contains('{')).collect();
    assert!(shown.iter().all(|line| line.chars().count() <= 80), "{shown:#?}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_class WHERE relname IN ('sums', 'last')").await, 0);

    let one = run_in(files.path(), &db, &["projection", "check", "projections/sums.sql", "--seed=5", "--explain"], "");
    let out = one.fine().replace("\n  ", " ");
    for sentence in [
        "sums: no mistake was found",
        "paid; 1 statement per batch; writes sums; reads nothing but the batch",
        "folded 40 events of 40 aggregates, positions 1 to 40: as one batch, twice; in ",
        " of 1 to 10 (seed 5); in 3 partitions in turn",
        "the same rows each time: 3 in sums",
        "µs per event in one batch",
        "for example in sums: {\"customer\":\"c0\",\"cents\":273}",
        "Insert on sums t",
    ] {
        assert!(out.contains(sentence), "{sentence}: {out}");
    }
    let again = run_in(files.path(), &db, &["projection", "check", "projections/sums.sql", "--seed=5"], "");
    let batches = |out: &CliOutput| {
        out.out.replace("\n  ", " ").split("; ").find(|part| part.contains("seed 5")).unwrap().to_owned()
    };
    assert_eq!(batches(&one), batches(&again));
    let some = run_in(files.path(), &db, &["projection", "check", "projections/sums.sql", "--sample=7"], "");
    assert!(some.fine().contains("folded 7 events of 7 aggregates, positions 34 to 40"), "{some:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_could_be_folded_nothing_is_called_right() {
    let db = TestDb::new().await;
    let files = directory(&[("projections/sums.sql", SUMS), ("other.ndjson", "\n"), ("empty/notes.txt", "")]);
    let here = |args: &[&str]| run_in(files.path(), &db, args, "");
    for (args, of) in [
        (&["projection", "check"][..], "there are no events in the log that it wants (paid)"),
        (&["projection", "check", "--events=other.ndjson"][..], "there are no given events that it wants (paid)"),
    ] {
        let nothing = here(args);
        let out = nothing.out.replace("\n  ", " ");
        assert!(nothing.code == 1 && out.contains("sums: nothing was folded, so nothing is known: "), "{nothing:?}");
        assert!(out.contains(of) && out.contains("give some with --events FILE"), "{nothing:?}");
        assert!(
            nothing
                .err
                .ends_with("evenfold: projections/sums.sql is not known to be right: what to do is named above\n"),
            "{nothing:?}"
        );
    }
    here(&["projection", "check", "empty"]).complains(2, "there is no file NAME.sql");
    here(&["projection", "check", "nowhere"]).complains(2, "there is no nowhere");
    here(&["projection", "check", "--events=nowhere"]).complains(1, "nowhere");
    let deletes = directory(&[(
        "gone.sql",
        "-- create\nCREATE TABLE gone (id text PRIMARY KEY);\n-- apply\nDELETE FROM gone USING batch WHERE id = aggregate_id",
    )]);
    feed(&db, &["append"], events()).fine();
    let none = run_in(deletes.path(), &db, &["projection", "check", "gone.sql"], "");
    assert!(none.fine().replace("\n  ", " ").contains("no row came of the events: nothing was compared"), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_events_are_checked_without_a_log_and_one_that_would_be_parked_is_named_with_its_line() {
    let db = TestDb::empty().await;
    let bad = format!("{}\n{}{}", paid("a", "x", "1"), paid("b", "x", "\"much\""), paid("c", "x", "3"));
    let files = directory(&[("sums.sql", SUMS), ("good.ndjson", &events()), ("bad.ndjson", &bad)]);
    let here = |args: &[&str]| run_in(files.path(), &db, args, "");
    assert!(here(&["projection", "check", "sums.sql", "--events=good.ndjson"]).fine().contains("no mistake was found"));
    let parked = here(&["projection", "check", "sums.sql", "--events=bad.ndjson"]);
    let out = parked.out.replace("\n  ", " ");
    assert!(
        parked.code == 1 && out.contains("sums.sql: line 3: order/b, version 1 (paid), can't be applied: invalid"),
        "{parked:?}"
    );
    assert!(out.contains("it would be parked") && out.contains("folded 2 events of 2 aggregates"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn try_prints_the_rows_in_the_order_of_their_key_and_needs_no_log() {
    let db = TestDb::empty().await;
    let two = SUMS.replace(
        "-- apply",
        "CREATE TABLE orders (id text PRIMARY KEY);\n-- apply\nINSERT INTO orders SELECT aggregate_id FROM batch ON CONFLICT DO NOTHING;",
    );
    let files = directory(&[("sums.sql", SUMS), ("two.sql", &two)]);
    let here = |args: &[&str], input: &str| run_in(files.path(), &db, args, input);
    let input = format!("{}{}\n{}", paid("2", "b", "5"), paid("1", "a", "7"), paid("2", "b", "6"));
    let rows = "{\"customer\":\"a\",\"cents\":7}\n{\"customer\":\"b\",\"cents\":11}\n";
    assert_eq!(here(&["projection", "try", "sums.sql"], &input).fine(), rows);
    assert_eq!(
        here(&["projection", "try", "two.sql"], &input).fine(),
        "{\"table\":\"orders\",\"row\":{\"id\":\"1\"}}\n{\"table\":\"orders\",\"row\":{\"id\":\"2\"}}\n\
         {\"table\":\"sums\",\"row\":{\"customer\":\"a\",\"cents\":7}}\n{\"table\":\"sums\",\"row\":{\"customer\":\"b\",\"cents\":11}}\n"
    );
    let parked =
        here(&["projection", "try", "sums.sql"], &format!("{}\n{}", paid("1", "a", "7"), paid("2", "b", "true")));
    assert_eq!((parked.code, parked.out.as_str()), (1, "{\"customer\":\"a\",\"cents\":7}\n"));
    assert!(
        parked.err.contains("line 3: order/2, version 1 (paid), can't be applied: invalid input syntax"),
        "{parked:?}"
    );
    for (input, code, sentence) in [
        ("{}\n", 1, "line 1: not an event as JSON: missing field"),
        ("\n", 1, "none of the 0 events is one that the projection wants"),
        (&paid("1", "a", "1").replace("\"paid\"", "\"placed\""), 1, "none of the 1 events is one that"),
        (
            &(paid("1", "a", "1")
                + &paid("1", "a", "1").replace("\"event_type\"", "\"expected_version\": 3, \"event_type\"")),
            1,
            "line 2: order/1 was expected to have version 3 and has 1",
        ),
    ] {
        here(&["projection", "try", "sums.sql"], input).complains(code, sentence);
    }
    here(&["projection", "try", "none.sql"], &input).complains(2, "none.sql can't be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn expected_rows_are_a_test_that_says_which_are_missing_and_which_are_extra() {
    let db = TestDb::empty().await;
    let files = directory(&[
        ("sums.sql", SUMS),
        ("right.ndjson", "{\"cents\": 11.0, \"customer\": \"b\"}\n\n{\"customer\": \"a\", \"cents\": 7}\n"),
        ("wrong.ndjson", "{\"customer\": \"a\", \"cents\": 8}\n{\"customer\": \"b\", \"cents\": 11}\n"),
        ("named.ndjson", "{\"table\": \"sums\", \"row\": {\"customer\": \"a\", \"cents\": 7}}\n"),
        ("broken.ndjson", "{\"customer\": \"a\"}\n[1]\n"),
    ]);
    let input = format!("{}{}\n{}", paid("2", "b", "5"), paid("1", "a", "7"), paid("2", "b", "6"));
    let expect = |rows: &str| run_in(files.path(), &db, &["projection", "try", "sums.sql", "--expect", rows], &input);
    assert_eq!(expect("right.ndjson").fine(), "the rows are as expected: 2 of 3 events\n");
    let wrong = expect("wrong.ndjson");
    assert_eq!(
        (wrong.code, wrong.out.as_str()),
        (1, "missing: {\"cents\": 8, \"customer\": \"a\"}\nextra: {\"cents\": 7, \"customer\": \"a\"}\n")
    );
    assert!(wrong.err.ends_with("evenfold: the rows are not as expected: 1 missing, 1 extra\n"), "{wrong:?}");
    let named = expect("named.ndjson");
    assert_eq!((named.code, named.out.as_str()), (1, "extra: {\"cents\": 11, \"customer\": \"b\"}\n"));
    expect("broken.ndjson").complains(1, "broken.ndjson: line 2 is no row");
    expect("nowhere.ndjson").complains(1, "nowhere.ndjson: it can't be read");
}

/// The files and the command lines of the page, as they are.
#[tokio::test(flavor = "multi_thread")]
async fn the_tests_of_the_page_about_projections_pass_and_fail_with_another_row() {
    let page = document("docs/projections.md");
    let fences = page.fences();
    let of = |language: &str| fences.iter().filter(|fence| fence.language == language).collect::<Vec<_>>();
    let [events, rows] = of("json")[..] else { panic!("two files are shown") };
    let (events, rows) = (events.lines.join("\n"), rows.lines.join("\n"));
    let commands =
        of("sh").into_iter().rfind(|fence| fence.lines.iter().any(|line| line.contains("--expect"))).unwrap();
    assert_eq!(commands.lines.len(), 2);
    for (rows, codes) in [(rows.clone(), [0, 0]), (rows.replace("750", "500"), [1, 0])] {
        let db = TestDb::empty().await;
        let files = directory(&[
            ("projections/paid_by_day.sql", &of("sql")[0].lines.join("\n")),
            ("events.ndjson", &events),
            ("rows.ndjson", &rows),
        ]);
        for (command, code) in commands.lines.iter().zip(codes) {
            let (words, input) =
                command.split_once(" < ").map_or((command.as_str(), ""), |(words, _)| (words, &events));
            let words: Vec<&str> = words.split(' ').collect();
            let run = run_in(files.path(), &db, &words[1..], input);
            assert_eq!(run.code, code, "{command}: {run:?}");
        }
    }
}
