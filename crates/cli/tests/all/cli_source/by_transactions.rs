//! `evenfold source add-xid`, and folding the log that it was done to.

use super::shop::{CUSTOM, Shop};
use crate::support::scalar;

/// So many events at positions that an earlier statement has drawn, those of each order in the opposite order.
const WRITTEN: &str = "ALTER SEQUENCE shop.domain_events_id_seq CACHE 20;
INSERT INTO shop.domain_events (id, order_id, version, kind, body)
SELECT 31 - n, md5((n % 3)::text)::uuid, n, 'paid', jsonb_build_object('amount', n) FROM generate_series(1, 30) n";

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_positions_are_drawn_by_earlier_transactions_is_folded_once_it_has_a_column_for_them() {
    let shop = Shop::new().await;
    shop.execute(WRITTEN).await;
    let sequence = shop.directory(CUSTOM);
    let refused = shop.run(&sequence, &["pool", "--workers=2", "--until-caught-up"]);
    refused.complains(1, "has CACHE 20");
    assert!(refused.err.contains("`evenfold source add-xid`"), "{refused:?}");
    let xid = shop.directory(&format!("{CUSTOM}positions = 'xid'"));
    let checked = shop.run(&xid, &["source", "check"]);
    assert!(checked.code == 1 && checked.out.contains("it has no column xid"), "{checked:?}");
    let url = shop.owners_url();
    let add = |more: &[&str]| shop.run(&xid, &[&["source", "add-xid", "--source-url", &url], more].concat());
    let asked = add(&[]);
    assert!(asked.code == 2 && asked.err.contains("this would change the table shop.domain_events"), "{asked:?}");
    let reader = shop.run(&xid, &["source", "add-xid", "--yes"]);
    assert!(reader.code == 1 && reader.err.contains("log in by --source-url as the owner of the table"), "{reader:?}");
    let added = add(&["--yes"]);
    let shown = added.fine();
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.contains("ALTER TABLE shop.domain_events ADD COLUMN xid xid8 NOT NULL"), "{shown}");
    assert!(shown.contains("CREATE INDEX CONCURRENTLY ON shop.domain_events (xid)"), "{shown}");
    assert!(add(&["--yes"]).fine().contains("has the column xid and an index on it already"));
    let checked = shop.run(&xid, &["source", "check"]);
    assert!(checked.fine().contains("positions   by the transactions in xid"), "{checked:?}");
    let mut model = shop.read_model().await;
    shop.run(&xid, &["pool", "--workers=2", "--until-caught-up"]).fine();
    let sums = "SELECT sum(value)::bigint FROM evenfold.counters WHERE version >= 28 AND events = 10";
    assert_eq!(scalar(&mut model, sums).await, 465);
    for command in [&["status"][..], &["verify"], &["wait", "--timeout-ms=0"]] {
        shop.run(&xid, command).fine();
    }
    // What it was folded by is part of its definition, as snapshots are no sets of positions.
    shop.execute("ALTER SEQUENCE shop.domain_events_id_seq CACHE 1").await;
    let other = shop.run(&sequence, &["pool", "--workers=2", "--until-caught-up"]);
    assert_ne!(other.code, 0, "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_a_column_needs_a_log_that_others_write() {
    let shop = Shop::new().await;
    let nothing = super::shop::directory("");
    shop.run(&nothing, &["source", "add-xid"]).complains(2, "which log is it? give --source");
    let elsewhere = shop.directory(&CUSTOM.replace("domain_events", "others"));
    shop.run(&elsewhere, &["source", "add-xid"]).complains(1, "there is no table shop.others in shop at");
}
