//! The table of progress of `pool` on a terminal: it fits, and log lines are whole above it.

use crate::emulator::Terminal;
use crate::support::{Evenfold, SOON, TestDb, append_one, ids_in, partition, wait_until};
use nix::sys::signal::Signal;

fn pool(db: &TestDb, args: &[&str], size: (u16, u16)) -> Terminal {
    let mut command = Evenfold::command(&["pool", "--database-url", &db.url]);
    command.args(args);
    Terminal::start(command, size)
}

/// A line of the table, or one that says how many more there are.
fn is_of_the_table(line: &str) -> bool {
    let rest = line.trim_start();
    let known = ["[", "nothing to do", "starting", "applying", "caught up", "standing by", "retrying: "];
    let figures = |text: &str| known.iter().any(|known| text.starts_with(known)) || text.contains(" applied, ");
    let counts = rest.strip_prefix("and ").and_then(|rest| rest.split_once(" more: "));
    let row = rest.strip_prefix("worker ").and_then(|rest| rest.split_once(' '));
    let whole_bar = !rest.contains('[') || rest.ends_with("/s");
    whole_bar
        && (counts.is_some()
            || rest.strip_prefix("total ").is_some_and(figures)
            || row.is_some_and(|(class, text)| class.contains('/') && figures(text)))
}

/// A line of the log, and no other text in it.
fn is_logged(line: &str) -> bool {
    let begins = |text: &str| text.len() > 20 && text.as_bytes()[10] == b'T' && text.starts_with("20");
    begins(line) && !["worker ", "total ", "=>", " more: "].iter().any(|torn| line.contains(torn))
}

fn assert_whole(lines: &[String]) {
    let torn: Vec<&String> = lines.iter().filter(|line| !is_of_the_table(line) && !is_logged(line)).collect();
    assert!(torn.is_empty(), "{torn:#?} of {lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_do_not_tear_the_table_of_64_partitions() {
    let db = TestDb::new().await;
    let mut terminal = pool(&db, &["--workers=64", "--log=debug"], (80, 24));
    let mut conn = db.connect().await;
    for n in 0..200 {
        append_one(&mut conn, &format!("a{n}"), 1).await;
        assert_whole_or_cleared(&terminal);
    }
    wait_until("all to be applied", SOON, async || {
        assert_whole_or_cleared(&terminal);
        let lines = terminal.lines();
        let all = lines.iter().any(|line| line.contains("total [========================] 200/200"));
        all && lines.last().is_some_and(|line| line.contains(" more: ") && line.ends_with(" caught up"))
    })
    .await;
    let lines = terminal.lines();
    assert!(!terminal.is_alternate() && lines.len() <= 24, "{lines:#?}");
    let shown = lines.iter().filter(|line| line.contains("worker ") && line.contains("/64 ")).count();
    let more = lines.last().and_then(|line| line.split_once(" more: ")?.0.rsplit(' ').next()?.parse::<usize>().ok());
    assert_eq!(more.map(|more| shown + more), Some(64), "{lines:#?}");
    terminal.signal(Signal::SIGTERM);
    assert_eq!(terminal.wait(), 0, "{:#?}", terminal.lines());
    let history = terminal.history();
    let (table, logged): (Vec<String>, Vec<String>) = history.into_iter().partition(|line| !is_logged(line));
    assert!(logged.len() > 64, "there was something to tear: {logged:#?}");
    // The table is gone, and the summary is there.
    assert_eq!(table.iter().find(|line| is_of_the_table(line)), None, "{table:#?}");
    assert_eq!(table.len(), 65, "{table:#?}");
    assert!(table[0].starts_with("partition "), "{table:#?}");
}

/// While it is drawn, a table may be incomplete, but no line of it in a line of the log.
fn assert_whole_or_cleared(terminal: &Terminal) {
    let torn = |line: &String| line.contains(" INFO ") && !is_logged(line);
    let lines = terminal.lines();
    assert!(!lines.iter().any(torn), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_fits_any_height_and_counts_what_does_not() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    let terminal = pool(&db, &["--workers=64", "--log=error"], (80, 24));
    for (width, height) in [(80, 24), (80, 5), (120, 40), (60, 10), (80, 70)] {
        terminal.resize((width, height));
        let (mut rows, mut lines) = (0, Vec::new());
        wait_until("a table of that size", SOON, async || {
            lines = terminal.lines();
            rows = lines.iter().filter(|line| line.trim_start().starts_with("worker ")).count();
            let more = lines.last().is_some_and(|line| line.trim() == format!("and {} more: {0} caught up", 64 - rows));
            let expected = usize::from(height).saturating_sub(4).min(64);
            let started = lines.first().is_some_and(|line| line.trim_start().starts_with("total ["));
            started && rows == expected && (more || rows == 64)
        })
        .await;
        assert_whole(&lines);
        let shown =
            lines.iter().any(|line| line.trim_start().starts_with("worker ") && line.ends_with("nothing to do"));
        assert!(shown || rows == 1, "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_in_trouble_comes_first_and_what_there_is_nothing_of_is_no_bar() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let terminal = pool(&db, &["--workers=64", "--log=off"], (80, 24));
    let first = |text: &str| terminal.lines().first().is_some_and(|line| line.trim() == text);
    wait_until("all to be at work", SOON, async || first("total nothing to do")).await;
    sqlx::raw_sql(
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01', MESSAGE = 'it fails'; END $$;
         CREATE TRIGGER fails BEFORE INSERT ON evenfold.counters EXECUTE FUNCTION fails()",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    append_one(&mut conn, &ids_in(partition(63, 64), 1)[0], 1).await;
    wait_until("its words", SOON, async || first("total 0 applied, 0/s; 1 retrying, 63 caught up")).await;
    wait_until("its line to be the first", SOON, async || {
        terminal.lines().get(1).is_some_and(|line| line.starts_with("worker 63/64 retrying: "))
    })
    .await;
    assert_whole(&terminal.lines());
    sqlx::raw_sql("DROP TRIGGER fails ON evenfold.counters").execute(&mut conn).await.unwrap();
    wait_until("it to go on", SOON, async || first("total [========================] 1/1         0/s")).await;
}
