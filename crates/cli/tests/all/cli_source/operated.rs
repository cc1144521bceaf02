//! The commands that look after projections, where their log is one that others write.

use super::shop::{CUSTOM, Shop};
use crate::support::scalar;

const PAID: &str = "-- create
CREATE TABLE paid (id text PRIMARY KEY, amount bigint NOT NULL CHECK (amount < 1000));
-- apply
INSERT INTO paid AS t SELECT aggregate_id, sum((payload ->> 'amount')::bigint) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET amount = t.amount + excluded.amount;
";

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_of_such_a_log_is_looked_after_by_every_command_that_looks_after_one() {
    let shop = Shop::new().await;
    shop.events(9).await;
    let mut model = shop.read_model().await;
    let directory = shop.directory(CUSTOM);
    std::fs::create_dir(directory.path().join("projections")).unwrap();
    std::fs::write(directory.path().join("projections/paid.sql"), PAID).unwrap();
    let run = |args: &[&str]| shop.run(&directory, args);
    let fails = |args: &[&str], phrase: &str| {
        let failed = run(args);
        assert!(failed.code == 1 && failed.err.contains(phrase), "{args:?}: {failed:?}");
    };
    run(&["pool", "--workers=2", "--until-caught-up"]).fine();
    run(&["wait", "--timeout-ms=0"]).fine();
    shop.events(3).await;
    run(&["wait", "--timeout-ms=0"]).complains(1, "has not applied the events after");
    let status = run(&["status", "--json"]);
    let status = status.fine();
    let behind: u64 = status
        .lines()
        .flat_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["classes"].as_array().cloned().unwrap()
        })
        .map(|class| class["behind"].as_u64().unwrap())
        .sum();
    assert_eq!(behind, 6, "three events of two projections: {status}");
    fails(&["status", "--check", "--max-lag=0"], "events behind, more than 0");
    let verified = run(&["verify"]);
    let verified = verified.fine();
    assert!(verified.contains("Folded again: what is applied of the log: all 3 counters agree"), "{verified:?}");
    assert!(verified.contains("What is applied of the log was folded again"), "{verified:?}");
    // An event that a check refuses, and the others of its aggregate.
    shop.execute(
        "INSERT INTO shop.domain_events (order_id, version, kind, body)
         SELECT md5('bad')::uuid, n, 'paid', jsonb_build_object('amount', CASE n WHEN 2 THEN 5000 ELSE 1 END)
         FROM generate_series(1, 3) n",
    )
    .await;
    run(&["pool", "--workers=2", "--until-caught-up"]).fine();
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.parked_events").await, 2);
    let list = run(&["parked", "list", "--projection=paid"]);
    let list = list.fine();
    assert!(list.contains("paid_amount_check"), "{list:?}");
    fails(&["parked", "retry", "--all", "--projection=paid"], "1 of 1 aggregates are still parked");
    let id: String = sqlx::query_scalar("SELECT md5('bad')::uuid::text").fetch_one(&mut model).await.unwrap();
    run(&["parked", "drop", "order", &id, "--projection=paid"]).fine();
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.parked_events WHERE dropped_at IS NULL").await, 0);
    sqlx::raw_sql("UPDATE paid SET amount = 0; UPDATE evenfold.counters SET value = 0")
        .execute(&mut model)
        .await
        .unwrap();
    fails(&["verify", "--projection=paid"], "do not agree with the log");
    fails(&["verify", "--projection=counters"], "do not agree with the log");
    for projection in ["paid", "counters"] {
        let projection = format!("--projection={projection}");
        run(&["rebuild", &projection]).fine();
        run(&["verify", &projection]).fine();
    }
    assert_eq!(scalar(&mut model, "SELECT sum(amount)::bigint FROM paid").await, 45 + 6 + 2);
    run(&["source", "accept"]).fine();
    // Without the log, nothing is known of it.
    std::fs::write(directory.path().join("evenfold.toml"), "").unwrap();
    for command in [
        &["status"][..],
        &["wait", "--timeout-ms=0"],
        &["verify", "--projection=paid"],
        &["parked", "retry", "--all", "--projection=paid"],
    ] {
        run(command).complains(1, "folds the log custom shop.domain_events, and no other log is named");
    }
    run(&["worker", "--partition-key=0", "--total-partitions=2"]).complains(1, "log: custom shop.domain_events");
}
