//! `pool`: what it says at its end fits into a terminal, also where partitions have failed.

use crate::support::cli::run_at;
use crate::support::{Evenfold, SOON, TestDb, scalar, wait_until};
use nix::sys::signal::Signal;

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_failed_are_in_the_table_and_the_reason_is_below_it_once() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let three = ["pool", "--workers=3", "--until-caught-up"];
    run_at(&db, &three).fine();
    // Replaced by workers that are at work.
    let mut four = Evenfold::spawn(&["pool", "--workers=4", "--database-url", &db.url]);
    let beats = "SELECT count(*) FROM evenfold.heartbeats";
    wait_until("the other workers", SOON, async || scalar(&mut conn, beats).await == 4).await;

    let output = run_at(&db, &three);
    assert_eq!(output.code, 1, "{output:?}");
    let rows: Vec<Vec<&str>> = output.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1..], [["0/3", "failed"], ["1/3", "failed"], ["2/3", "failed"]], "{output:?}");
    assert!(output.out.lines().all(|line| line.chars().count() <= 80), "{}", output.out);
    let last = output.err.lines().last().unwrap();
    assert!(
        last.starts_with("evenfold: 0/3, 1/3, 2/3: superseded: the projection counters has gone on with 4"),
        "{last}"
    );
    assert_eq!(output.err.matches("superseded").count(), 1, "{output:?}");

    four.signal(Signal::SIGTERM);
    assert_eq!(four.wait(), 0, "{}", four.log());
}
