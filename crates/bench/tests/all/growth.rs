//! The log that `growth` measures outlives a run, if it is to.

use crate::support::cli::run_at;
use crate::support::{TestDb, scalar};

const SCHEMAS: &str = "SELECT count(*) FROM pg_namespace WHERE nspname = 'evenfold_bench_growth'";
const EVENTS: &str = "SELECT count(*) FROM evenfold_bench_growth.events WHERE aggregate_id LIKE 'counter-%'";
const SAMPLES: &str = "SELECT count(*) FROM evenfold_bench_growth.bench_samples";
const APART: &str = "SELECT count(*) FROM (
    SELECT version, lag(version, 1, 0::bigint) OVER (PARTITION BY aggregate_id ORDER BY position) AS before
    FROM evenfold_bench_growth.events WHERE aggregate_id LIKE 'counter-%') e WHERE version <> before + 1";

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_kept_is_extended_and_not_measured_twice_and_is_removed_when_that_is_wanted() {
    let db = TestDb::new().await;
    let growth = |more: &[&str]| run_at(&db, &[&["growth", "--runs=1", "--seconds=1"], more].concat());
    growth(&["--sizes=500", "--aggregates=30", "--keep"]).fine();
    let mut conn = db.connect().await;
    assert_eq!((scalar(&mut conn, EVENTS).await, scalar(&mut conn, SAMPLES).await), (500, 14));

    growth(&["--sizes=500", "--aggregates=40"])
        .complains(1, "add --aggregates=30 to go on with it, or --drop to begin anew");
    growth(&["--sizes=499", "--aggregates=30"]).complains(1, "a log of 500 events already, and 499 can't be measured");

    let out = growth(&["--sizes=500,1300", "--aggregates=30", "--keep"]);
    assert!(out.fine().contains("1,300: look"), "{out:?}");
    assert_eq!((scalar(&mut conn, EVENTS).await, scalar(&mut conn, SAMPLES).await), (1_300, 28));
    assert_eq!(scalar(&mut conn, APART).await, 0, "each aggregate goes on where it was");

    growth(&["--sizes=100", "--aggregates=40", "--drop"]).fine();
    assert_eq!(scalar(&mut conn, SCHEMAS).await, 0, "without --keep it goes when everything is measured");
}
