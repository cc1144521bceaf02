//! `evenfold verify` where rows were removed from the log after they were applied.

use super::shop::{CUSTOM, Shop};
use crate::support::cli::CliOutput;
use crate::support::{SOON, wait_until};
use serde_json::Value;
use tempfile::TempDir;

/// Eight orders, each of which has three events with the amounts 1, 2 and 3.
const EVENTS: &str = "INSERT INTO shop.domain_events (order_id, version, kind, body)
SELECT ('00000000-0000-0000-0000-00000000000' || o)::uuid, n, 'paid', jsonb_build_object('amount', n)
FROM generate_series(1, 3) n, generate_series(1, 8) o";

const PAID: &str = "-- create
CREATE TABLE paid (id text PRIMARY KEY, amount bigint NOT NULL);
-- apply
INSERT INTO paid AS t SELECT aggregate_id, sum((payload ->> 'amount')::bigint) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET amount = t.amount + excluded.amount;
";

/// The log with all of its events applied, and where the program runs.
async fn applied(settings: &str) -> (Shop, TempDir) {
    let shop = Shop::new().await;
    shop.execute(EVENTS).await;
    let directory = shop.directory(settings);
    std::fs::create_dir(directory.path().join("projections")).unwrap();
    std::fs::write(directory.path().join("projections/paid.sql"), PAID).unwrap();
    shop.run(&directory, &["pool", "--workers=2", "--until-caught-up"]).fine();
    (shop, directory)
}

fn verify(shop: &Shop, directory: &TempDir, more: &[&str]) -> CliOutput {
    shop.run(directory, &[&["verify", "--projection=counters"], more].concat())
}

fn disagrees(verified: &CliOutput) {
    assert!(verified.code == 1 && verified.err.contains("listed above do not agree with the log"), "{verified:?}");
    assert!(verified.out.lines().all(|line| line.starts_with("order/") || line.len() <= 80), "{verified:?}");
}

const REMOVED: &str = "The log has fewer events than were applied, of 7 aggregates:
  order/00000000-0000-0000-0000-000000000001: 0 in the log, 3 applied
  order/00000000-0000-0000-0000-000000000002: 2 in the log, 3 applied
  order/00000000-0000-0000-0000-000000000003: 2 in the log, 3 applied
  order/00000000-0000-0000-0000-000000000004: 2 in the log, 3 applied
  order/00000000-0000-0000-0000-000000000005: 2 in the log, 3 applied
  and 2 more
Rows were removed from the log since, which is no difference of the read model:
it keeps what they have counted, until `evenfold rebuild` makes it from what is
left.
";

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_whose_rows_were_removed_are_named_with_both_numbers_and_are_no_difference() {
    let (shop, directory) = applied(CUSTOM).await;
    let last = |order: &str| format!("right(order_id::text, 1) {order}");
    shop.execute(&format!(
        "DELETE FROM shop.domain_events WHERE {} OR {} AND version = 3 OR {} AND version = 2",
        last("= '1'"),
        last("BETWEEN '2' AND '4'"),
        last("BETWEEN '5' AND '7'")
    ))
    .await;
    let verified = verify(&shop, &directory, &[]);
    assert_eq!(verified.fine(), format!("{REMOVED}Folded again: the whole log: all 1 other counters agree.\n"));
    // Also where there are more of them than rows that differ are listed.
    let json = verify(&shop, &directory, &["--json", "--limit=2"]);
    let rows: Vec<Value> = json.fine().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2, "{json:?}");
    assert_eq!(
        (&rows[1]["rows_removed"], &rows[1]["log"]["events"], &rows[1]["read_model"]["events"]),
        (&true.into(), &2.into(), &3.into())
    );
    let mut model = shop.read_model().await;
    sqlx::raw_sql("UPDATE evenfold.counters SET value = 9 WHERE right(aggregate_id, 1) = '8'")
        .execute(&mut model)
        .await
        .unwrap();
    let both = verify(&shop, &directory, &["--limit=1"]);
    let differs = "order/00000000-0000-0000-0000-000000000008: the log says 3 events with the value 6, the read model 3 \
                   events with the value 9\n";
    assert!(both.out.starts_with("The log has fewer events than were applied, of 7"), "{both:?}");
    assert!(both.out.contains("  and 6 more\n") && both.out.ends_with(differs), "{both:?}");
    disagrees(&both);
    let json = verify(&shop, &directory, &["--json"]);
    let flags: Vec<Value> =
        json.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["rows_removed"].take()).collect();
    assert_eq!((json.code, flags.iter().filter(|flag| flag.is_null()).count(), flags.len()), (1, 1, 8), "{json:?}");
    shop.run(&directory, &["rebuild", "--projection=counters"]).fine();
    let rebuilt = verify(&shop, &directory, &[]);
    assert!(rebuilt.fine().contains("all 7 counters agree"), "{rebuilt:?}");
}

/// All of them have more events in the read model than in the log.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_applied_twice_is_not_taken_for_a_row_that_was_removed() {
    let (shop, directory) = applied(CUSTOM).await;
    let mut model = shop.read_model().await;
    let twice = "UPDATE evenfold.counters SET events = events + 1, value = value + 3";
    sqlx::raw_sql(twice).execute(&mut model).await.unwrap();
    let verified = verify(&shop, &directory, &[]);
    assert!(!verified.out.contains("fewer events") && verified.out.lines().count() == 8, "{verified:?}");
    disagrees(&verified);
    // Nor is a counter that has not come as far as the log.
    let back = "UPDATE evenfold.counters SET events = 3, value = 6, version = 9, last_position = 1;";
    sqlx::raw_sql(back).execute(&mut model).await.unwrap();
    shop.execute("DELETE FROM shop.domain_events WHERE version = 1").await;
    let verified = verify(&shop, &directory, &[]);
    assert!(!verified.out.contains("fewer events"), "{verified:?}");
    disagrees(&verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_log_has_no_versions_it_is_shown_that_removed_rows_and_doubled_events_look_alike() {
    let (shop, directory) = applied(&CUSTOM.replace("version = 'version'\n", "")).await;
    verify(&shop, &directory, &[]).fine();
    shop.execute("DELETE FROM shop.domain_events WHERE version = 2 AND order_id::text LIKE '%1'").await;
    let verified = verify(&shop, &directory, &[]);
    let sentence = "Of some aggregates the log has fewer events than were applied. Rows were removed\nfrom it, or events were \
                    applied twice: the log has no versions that show which.\n";
    assert!(verified.out.starts_with(sentence), "{verified:?}");
    assert!(verified.out.contains("the log says 2 events with the value 4, the read model 3"), "{verified:?}");
    disagrees(&verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_projection_in_sql_differ_and_it_is_shown_that_rows_were_deleted() {
    let (shop, directory) = applied(CUSTOM).await;
    shop.execute("DELETE FROM shop.domain_events WHERE version = 2 AND order_id::text LIKE '%1'").await;
    let deleted = "1 rows were deleted from the log's table since PostgreSQL's statistics began.\n";
    let verify = || shop.run(&directory, &["verify", "--projection=paid"]);
    wait_until("the statistics", SOON, async || verify().out.contains(deleted)).await;
    let verified = verify();
    assert!(verified.out.contains("the log has {\"id\":\"00000000-0000-0000-0000-000000000001\""), "{verified:?}");
    disagrees(&verified);
}
