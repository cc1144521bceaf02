//! `status --watch` on a terminal: it fits, it leaves the terminal as it was, and it shows nothing that is not so now.

use crate::emulator::Terminal;
use crate::support::cli::run_at;
use crate::support::proxy::{Wire, wire_to};
use crate::support::{Evenfold, SOON, Stepped, TestDb, append_one, wait_until};
use nix::sys::signal::Signal;
use std::process::Command;

fn watch(url: &str, more: &[&str]) -> Command {
    let mut command = Evenfold::command(&["status", "--watch"]);
    command.args(more).env("DATABASE_URL", url);
    command
}

/// Classes of a projection, of which so many have a worker.
async fn classes(db: &TestDb, total: u32, working: u32) -> Evenfold {
    run_at(db, &["pool", &format!("--workers={total}"), "--until-caught-up"]).fine();
    let args = ["pool".to_owned(), format!("--total-partitions={total}"), format!("--partitions=0..{working}")];
    let pool = Evenfold::spawn(&[&args.each_ref().map(|arg| &**arg)[..], &["--database-url", &db.url]].concat());
    let shown = format!("total: {working} of {total} classes with a worker");
    wait_until("the workers", SOON, async || run_at(db, &["status"]).fine().contains(&shown)).await;
    pool
}

/// Waits until a line of the screen begins so, and gives all of them.
async fn screen(terminal: &Terminal, begins: &str) -> Vec<String> {
    let mut lines = Vec::new();
    wait_until(begins, SOON, async || {
        lines = terminal.lines();
        lines.iter().any(|line| line.starts_with(begins))
    })
    .await;
    lines
}

/// The text, wherever its lines are broken.
fn words(lines: &[String]) -> String {
    lines.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ")
}

fn is_row(line: &str) -> bool {
    line.split_whitespace().next().is_some_and(|class| class.ends_with("/64"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_any_size_and_shows_the_worst_classes_and_how_many_more_there_are() {
    let db = TestDb::new().await;
    let _pool = classes(&db, 64, 33).await;
    let terminal = Terminal::start(watch(&db.url, &[]), (80, 24));
    let lines = screen(&terminal, "class ").await;
    assert!(terminal.is_alternate() && terminal.hides_cursor());
    assert_eq!(lines.len(), 24, "{lines:#?}");
    assert!(lines[0].contains(" UTC, every second"), "{lines:#?}");
    assert_eq!(lines[1], "counters: 64 partitions, cover complete");
    assert!(lines[2].starts_with("total: 33 of 64 classes with a worker, 0 behind"), "{lines:#?}");
    let sentence = "no worker is at work on 31 of 64 classes (33/64, 34/64, 35/64 and 28 more): its";
    assert_eq!(lines[3], sentence, "{lines:#?}");

    for (width, height) in [(80, 24), (80, 5), (120, 40), (40, 12), (80, 100), (80, 6), (20, 3), (80, 1)] {
        terminal.resize((width, height));
        let shown = || terminal.lines();
        // The screen of the other size is gone, and the new one is complete.
        wait_until("all classes to be accounted for", SOON, async || {
            let lines = shown();
            let rows = lines.iter().filter(|line| is_row(line)).count();
            let more = lines.last().is_some_and(|line| line.starts_with(&format!("and {} more", 64 - rows)));
            let worst = lines.iter().any(|line| line.starts_with("worst: 33/64, 0 behind"));
            let fits = match height {
                1..5 => lines.len() == usize::from(height),
                5 => worst && lines.last().is_some_and(|line| line.starts_with("and 63 more, 30 of them without a")),
                _ => more || rows == 64,
            };
            fits && lines.len() <= usize::from(height)
        })
        .await;
        assert!(!terminal.is_wrapped(), "{width} x {height}: {:#?}", shown());
        let rows: Vec<String> = shown().into_iter().filter(|line| is_row(line)).collect();
        let worst = (33..64).chain(0..33).map(|key| format!("{key}/64"));
        for (row, class) in rows.iter().zip(worst) {
            assert!(row.starts_with(&class), "{width} x {height}: {rows:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_the_terminal_comes_back_and_log_lines_come_after_it() {
    let db = TestDb::new().await;
    drop(Stepped::team(&db, 2, 10).await);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut terminal = Terminal::start(watch(&db.url, &["--log=info"]), (80, 24));
        screen(&terminal, "counters: 2 partitions").await;
        terminal.signal(signal);
        assert_eq!(terminal.wait(), 0, "{:#?}", terminal.lines());
        let lines = terminal.lines();
        assert!(!terminal.is_alternate() && !terminal.hides_cursor(), "{lines:#?}");
        let at = |text: &str| lines.iter().position(|line| line.contains(text));
        assert!(
            at("INFO database: ").is_some() && at("INFO database: ") < at("finishing what is in hand"),
            "{lines:#?}"
        );
        assert!(at("counters").is_none(), "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_looked_at_from_the_start_is_an_error_on_the_usual_screen() {
    let db = TestDb::empty().await;
    let mut terminal = Terminal::start(watch(&db.url, &[]), (80, 24));
    assert_eq!(terminal.wait(), 1);
    let lines = terminal.history();
    assert!(!terminal.is_alternate(), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("evenfold: ") && line.contains("evenfold migrate")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_reported_in_place_of_figures_that_are_old() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    drop(Stepped::team(&db, 2, 10).await);
    append_one(&mut conn, "a", 1).await;
    let (wire, url) = wire_to(&db.url).await;
    let terminal = Terminal::start(watch(&url, &[]), (80, 24));
    screen(&terminal, "counters: 2 partitions").await;
    for (broken, why) in [(Wire::Cut, "no PostgreSQL answers at"), (Wire::Silent, "the database has not answered yet")]
    {
        wire.set(broken);
        let lines = screen(&terminal, "NO FIGURES since ").await;
        let text = words(&lines);
        assert!(!text.contains("0/2") && !text.contains("behind"), "{lines:#?}");
        assert!(text.contains(" UTC, for ") && text.contains("It is tried again every second"), "{lines:#?}");
        wait_until(why, SOON, async || words(&terminal.lines()).contains(why)).await;
        wire.set(Wire::Whole);
        screen(&terminal, "counters: 2 partitions").await;
    }
    wire.set(Wire::Silent);
    screen(&terminal, "NO FIGURES since ").await;
    let mut terminal = terminal;
    terminal.signal(Signal::SIGTERM);
    assert_eq!(terminal.wait(), 0, "it does not wait for an answer: {:#?}", terminal.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_share_the_height_and_the_worst_comes_first() {
    let db = TestDb::new().await;
    run_at(&db, &["pool", "--workers=16", "--until-caught-up"]).fine();
    let names = ["--projection=none", "--projection=counters", "--projection=other", "--projection=another"];
    let terminal = Terminal::start(watch(&db.url, &names), (80, 24));
    let lines = screen(&terminal, "class ").await;
    for name in ["none", "other", "another"] {
        let begun = format!("the projection {name} has not been begun: start a worker");
        assert!(lines.contains(&begun), "{lines:#?}");
    }
    assert_eq!((lines.len(), &*lines[1]), (24, "counters: 16 partitions, cover complete"), "{lines:#?}");
    assert!(lines.contains(&"and 3 more, 3 of them without a worker".to_owned()), "{lines:#?}");
    terminal.resize((80, 7));
    wait_until("fewer of them", SOON, async || {
        let lines = terminal.lines();
        lines.len() <= 7
            && lines.last().is_some_and(|line| line == "and 2 more projections, something is wrong with 2 of them")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_one_report_follows_the_other_and_none_has_a_code_for_a_terminal() {
    let db = TestDb::new().await;
    drop(Stepped::team(&db, 2, 10).await);
    let (wire, url) = wire_to(&db.url).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut watching = Evenfold::start_into(watch(&url, &[]), file.reopen().unwrap().into());
    let printed = || std::fs::read_to_string(file.path()).unwrap();
    let times = |text: &str| printed().matches(text).count();
    wait_until("two reports", SOON, async || times("counters: 2 partitions, cover complete") >= 2).await;
    wire.set(Wire::Cut);
    wait_until("a sentence in their place", SOON, async || times("NO FIGURES since ") >= 2).await;
    wire.set(Wire::Whole);
    let before = times("counters: 2 partitions");
    wait_until("reports again", SOON, async || times("counters: 2 partitions") > before).await;
    watching.signal(Signal::SIGINT);
    assert_eq!(watching.wait(), 0, "{}", watching.log());
    assert!(!printed().contains('\x1b'), "{}", printed());
}
