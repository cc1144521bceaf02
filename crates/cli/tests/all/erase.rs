//! `evenfold erase` says what it will erase, asks, and says who still has it; `verify` knows.

use crate::support::cli::{CliOutput, apply_all, feed, finish, run_at};
use crate::support::{Evenfold, SOON, TestDb, append_one, scalar, wait_until};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, PgConnection};
use std::fs;
use std::path::Path;
use std::process::Command;

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap();
}

const ERASED: &str = "SELECT count(*) FROM evenfold.events WHERE payload::text LIKE '%evenfold_erased%'";

fn fits(text: &str) {
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn erase_says_what_it_will_erase_and_who_has_applied_it_and_does_nothing_where_nobody_can_be_asked() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "a", 2).await;
    apply_all(&db).fine();
    let output = run_at(&db, &["erase", "t", "a"]);
    assert_eq!((output.code, output.out.as_str()), (2, ""), "{output:#?}");
    let what = "erase the payload and the metadata of 2 events of t/a, up to version 2, in the database";
    for phrase in [what, "for good", "applied by counters", "say --yes"] {
        assert!(output.err.contains(phrase), "{phrase}: {output:#?}");
    }
    assert_eq!(scalar(&mut conn, ERASED).await, 0);
    run_at(&db, &["erase", "t", "nobody", "--yes"]).complains(1, "there is no event of t/nobody");
    run_at(&db, &["erase", "t", "--yes"]).complains(2, "ID");
    let foreign = ["erase", "t", "a", "--yes", "--source", "emmett", "--source-url", &db.url];
    assert_eq!(run_at(&db, &foreign).code, 2);
    assert_eq!(scalar(&mut conn, ERASED).await, 0);
}

/// At a terminal, which `script` is one of.
#[tokio::test(flavor = "multi_thread")]
async fn erase_wants_the_id_of_the_aggregate_typed() {
    for (answer, code) in [("y", 2), ("ann@example.org", 0)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        append_one(&mut conn, "ann@example.org", 1).await;
        let inner = format!("{} erase t ann@example.org --database-url '{}'", env!("CARGO_BIN_EXE_evenfold"), db.url);
        let mut script = Command::new("script");
        script.args(["-qec", &inner, "/dev/null"]).current_dir(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let output = Evenfold::finish(script, format!("{answer}\n").as_bytes());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{answer}: {text}");
        assert!(text.contains("Type ann@example.org to go on:") && text.contains("1 event of"), "{answer}: {text}");
        assert_eq!(scalar(&mut conn, ERASED).await, i64::from(code == 0), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erase_says_what_was_erased_and_who_still_has_it_and_keeps_a_list() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    assert_eq!(run_at(&db, &["erase"]).fine(), "nothing was erased\n");
    for amount in [5, 7] {
        append_one(&mut conn, "a", amount).await;
    }
    apply_all(&db).fine();
    append_one(&mut conn, "a", 9).await;
    append_one(&mut conn, "new", 1).await;
    let erased = run_at(&db, &["erase", "t", "a", "--yes"]);
    let text = erased.fine();
    fits(text);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for phrase in [
        "erased what 3 events of t/a contained, up to version 3",
        "Applied before by counters: their read models still have",
        "`evenfold rebuild --projection NAME`",
        "`VACUUM evenfold.events`",
        "write-ahead log",
        "backups",
    ] {
        assert!(words.contains(phrase), "{phrase}: {text}");
    }
    assert!(run_at(&db, &["erase", "t", "new", "--yes"]).fine().contains("No read model has anything of it"));
    apply_all(&db).fine();
    for (id, first, then) in [
        ("new", "all 1 events of t/new", "No read model has"),
        ("a", "all 3 events of t/a", "Applied before by counters"),
    ] {
        let again = run_at(&db, &["erase", "t", id, "--yes"]);
        assert!(again.fine().starts_with(first) && again.out.contains(then), "{again:#?}");
    }
    let list = run_at(&db, &["erase"]);
    let rows: Vec<Vec<&str>> = list.fine().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&rows[1][..4], rows[1].last()), (&["t", "a", "3", "3"][..], Some(&"counters")), "{list:?}");
    assert_eq!((&rows[2][..4], rows[2].last()), (&["t", "new", "1", "1"][..], Some(&"-")), "{list:?}");
    let json = run_at(&db, &["erase", "--json"]);
    assert!(json.fine().lines().next().unwrap().contains(r#""read_models":["counters"]"#), "{json:?}");
}

/// A great aggregate is erased in many transactions.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_goes_on_where_it_was() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run(
        &mut conn,
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         SELECT n, 't', 'a', 'added', '{\"amount\": 1}' FROM generate_series(1, 14000) n",
    )
    .await;
    let mut child = Evenfold::spawn(&["erase", "t", "a", "--yes", "--database-url", &db.url]);
    let begun = "SELECT coalesce(sum(events), 0)::bigint FROM evenfold.erasures";
    wait_until("the first transaction", SOON, async || scalar(&mut conn, begun).await > 0).await;
    child.signal(Signal::SIGKILL);
    wait_until("its end", SOON, async || child.ended().is_some()).await;
    let by_then = scalar(&mut conn, begun).await;
    assert!(by_then < 14_000, "it was killed too late to show anything");
    assert!(run_at(&db, &["erase"]).fine().contains("unfinished: erase it again"));
    run_at(&db, &["erase", "t", "a", "--yes"]).fine();
    assert_eq!(scalar(&mut conn, ERASED).await, 14_000);
    assert_eq!(scalar(&mut conn, begun).await, 14_000, "each is counted once");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.erasures WHERE finished_at IS NOT NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_of_counters_that_were_made_of_erased_payloads_that_they_can_not_be_compared() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for id in ["a", "b"] {
        append_one(&mut conn, id, 5).await;
    }
    apply_all(&db).fine();
    run_at(&db, &["erase", "t", "a", "--yes"]).fine();
    let verified = run_at(&db, &["verify"]);
    let words = verified.fine().split_whitespace().collect::<Vec<_>>().join(" ");
    fits(&verified.out);
    assert!(words.contains("Of 1 aggregates that were erased after they were applied the values are not compared"));
    run(&mut conn, "UPDATE evenfold.counters SET value = value + 1 WHERE aggregate_id = 'b'").await;
    let damaged = run_at(&db, &["verify"]);
    assert!(damaged.code == 1 && damaged.out.contains("t/b") && !damaged.out.contains("t/a"), "{damaged:#?}");
    run_at(&db, &["rebuild"]).fine();
    let verified = run_at(&db, &["verify"]);
    assert!(!verified.fine().contains("erased"), "{verified:#?}");
    assert_eq!(scalar(&mut conn, "SELECT sum(value)::bigint FROM evenfold.counters").await, 5);
}

const NAMES: &str = "-- create
CREATE TABLE names (id text PRIMARY KEY, name text NOT NULL);
-- apply
INSERT INTO names AS t SELECT aggregate_id, max(payload ->> 'name') FROM batch WHEREgoes GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET name = excluded.name;
";

const EACH: &str = "-- create
CREATE TABLE kinds (position bigint PRIMARY KEY, erased boolean NOT NULL);
-- each event
INSERT INTO kinds VALUES (event.position, event.erased);
";

const EVENTS: &str = r#"{"aggregate_type": "t", "aggregate_id": "a", "event_type": "named", "payload": {"name": "Ann"}}
{"aggregate_type": "t", "aggregate_id": "b", "event_type": "named", "payload": {"name": "Bob"}}
"#;

/// A read model in SQL has what it took from the payloads until it is rebuilt, and can leave erased events out then.
#[tokio::test(flavor = "multi_thread")]
async fn a_projection_in_sql_is_not_verified_after_an_erasure_until_it_is_rebuilt_and_sees_which_events_are_erased() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    feed(&db, &["append"], EVENTS).fine();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join("projections").join(name);
    fs::create_dir(files.path().join("projections")).unwrap();
    fs::write(file("names.sql"), NAMES.replace("WHEREgoes ", "")).unwrap();
    fs::write(file("kinds.sql"), EACH).unwrap();
    let here = |args: &[&str]| -> CliOutput {
        let mut command = Evenfold::command(args);
        command.env("DATABASE_URL", &db.url).current_dir(files.path());
        finish(command)
    };
    here(&["pool", "--workers=1", "--until-caught-up", "--log=error"]).fine();
    let erased = here(&["erase", "t", "a", "--yes"]);
    assert!(erased.fine().contains("Applied before by counters, kinds, names"), "{erased:#?}");
    // Those of which the rows differ, and those that can't fold what is left any more.
    let verified = here(&["verify", "--projection=kinds"]);
    let words = verified.fine().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("Not verified: the rows of kinds are not what the log makes now, and need not be"),
        "{words}"
    );
    let verified = here(&["verify", "--projection=kinds", "--json"]);
    assert!(verified.code == 0 && verified.err.contains("Not verified: the rows of kinds"), "{verified:#?}");
    run(&mut conn, "ALTER TABLE kinds RENAME TO hidden").await;
    assert_eq!(here(&["verify", "--projection=kinds"]).code, 1, "a table that is gone is damage all the same");
    run(&mut conn, "ALTER TABLE hidden RENAME TO kinds").await;
    let verified = here(&["verify", "--projection=names"]);
    let words = verified.fine().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Not verified: names refuses erased events"), "{words}");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM names WHERE name = 'Ann'").await, 1);
    fs::write(file("names.sql"), NAMES.replace("WHEREgoes", "WHERE NOT erased")).unwrap();
    here(&["rebuild", "--projection=names"]).fine();
    here(&["rebuild", "--projection=kinds"]).fine();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM names").await, 1);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM kinds WHERE erased").await, 1);
    for name in ["--projection=names", "--projection=kinds"] {
        let verified = here(&["verify", name]);
        assert!(verified.fine().contains("rows agree") && !verified.out.contains("erased"), "{verified:#?}");
    }
    // From now on a row that differs is damage again.
    run(&mut conn, "DELETE FROM names").await;
    assert_eq!(here(&["verify", "--projection=names"]).code, 1);
    let list = here(&["erase"]);
    assert!(list.fine().lines().last().unwrap().ends_with("  counters"), "{list:#?}");
    here(&["projection", "check"]).fine();
}
