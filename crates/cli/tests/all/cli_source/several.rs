//! Several logs whose read models are in one schema, each with checkpoints of its own.

use super::shop::{CUSTOM, Shop, directory};
use crate::support::{append_one, scalar};
use sqlx::{AssertSqlSafe, PgConnection};
use tempfile::TempDir;

const INVOICES: &str =
    "CREATE TABLE shop.invoices (no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number text NOT NULL,
                            version int NOT NULL, cents bigint NOT NULL, UNIQUE (number, version));
GRANT SELECT ON shop.invoices TO reader";

const BILLING: &str = "[source]
name = 'billing'

[source.custom]
table = 'shop.invoices'
position = 'no'
aggregate_type = \"'invoice'\"
aggregate_id = 'number'
version = 'version'
event_type = \"'billed'\"
payload = \"jsonb_build_object('amount', cents)\"
";

/// A directory with these settings, and a projection in SQL of this name, which adds up amounts by aggregate.
fn sums(settings: TempDir, name: &str) -> TempDir {
    let projections = settings.path().join("projections");
    std::fs::create_dir(&projections).unwrap();
    let sql = format!(
        "-- create
CREATE TABLE {name} (id text PRIMARY KEY, amount bigint NOT NULL, events bigint NOT NULL);
-- apply
INSERT INTO {name} AS t SELECT aggregate_id, sum((payload ->> 'amount')::bigint), count(*) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET amount = t.amount + excluded.amount, events = t.events + excluded.events;
"
    );
    std::fs::write(projections.join(format!("{name}.sql")), sql).unwrap();
    settings
}

/// Five invoices of 100 each, with the next version.
async fn bill(shop: &Shop) {
    shop.execute(
        "INSERT INTO shop.invoices (number, version, cents)
         SELECT n::text, 1 + (SELECT count(*) FROM shop.invoices WHERE number = n::text), 100 FROM generate_series(1, 5) n",
    )
    .await;
}

async fn amounts(model: &mut PgConnection, name: &str) -> (i64, i64) {
    let sql = format!("SELECT sum(amount)::bigint, sum(events)::bigint FROM {name}");
    sqlx::query_as(AssertSqlSafe(sql)).fetch_one(model).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_of_three_logs_are_folded_and_looked_after_in_one_schema() {
    let shop = Shop::new().await;
    shop.execute(INVOICES).await;
    let mut model = shop.read_model().await;
    let all = [
        (sums(shop.directory(&format!("[source]\nname = 'orders'\n{CUSTOM}")), "paid"), "paid"),
        (sums(shop.directory(BILLING), "billed"), "billed"),
        (sums(directory(""), "noted"), "noted"),
    ];
    for (round, expected) in [(1, [(45, 9), (500, 5), (7, 1)]), (2, [(90, 18), (1000, 10), (14, 2)])] {
        shop.events(9).await;
        bill(&shop).await;
        append_one(&mut model, "a", 7).await;
        for ((directory, name), expected) in all.iter().zip(expected) {
            let projection = format!("--projection={name}");
            let run = |args: &[&str]| shop.run(directory, &[args, &[&projection]].concat());
            run(&["pool", "--workers=3", "--until-caught-up"]).fine();
            run(&["wait", "--timeout-ms=0"]).fine();
            assert!(run(&["status"]).fine().contains("3 partitions, cover complete"), "{round}");
            assert_eq!(amounts(&mut model, name).await, expected, "{name} in round {round}");
            run(&["verify"]).fine();
            run(&["rebuild"]).fine();
            assert_eq!(amounts(&mut model, name).await, expected, "{name} in round {round}");
        }
    }
    // A table of counters is of one log.
    let [orders, billing, own] = all.each_ref().map(|(directory, _)| directory);
    let counters = ["pool", "--workers=2", "--until-caught-up", "--projection=counters"];
    shop.run(orders, &counters).fine();
    for other in [billing, own] {
        let sentence =
            "a read model is of one log; to fold the other one as well, give it a schema of its own (--schema)";
        let refused = shop.run(other, &counters);
        assert!(refused.code == 1 && refused.err.contains(sentence), "{refused:?}");
    }
    let named = "the projection counters folds the log orders shop.domain_events, and billing shop.invoices is named";
    for command in [&["status"][..], &["rebuild", "--new-definition"]] {
        shop.run(billing, command).complains(1, named);
    }
    assert_eq!(scalar(&mut model, "SELECT sum(value)::bigint FROM evenfold.counters").await, 90);
    shop.run(billing, &["migrate", "--schema=billing"]).fine();
    shop.run(billing, &[&counters[..], &["--schema=billing"]].concat()).fine();
    assert_eq!(scalar(&mut model, "SELECT sum(value)::bigint FROM billing.counters").await, 1000);
}

/// The rows of the projection of the other log.
async fn checkpoints(model: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT to_jsonb(c)::text FROM evenfold.checkpoints c WHERE projection = 'paid' ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(model).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_of_evenfolds_own_log_leaves_the_checkpoints_of_other_logs_alone() {
    let shop = Shop::new().await;
    shop.events(3).await;
    let mut model = shop.read_model().await;
    let (orders, own) = (sums(shop.directory(CUSTOM), "paid"), sums(directory(""), "noted"));
    // Evenfold's own log ends at a higher position than the other one.
    for _ in 0..5 {
        append_one(&mut model, "a", 1).await;
    }
    let pool = |directory: &TempDir, name: &str| {
        let projection = format!("--projection={name}");
        shop.run(directory, &["pool", "--workers=2", "--until-caught-up", &projection]).fine().to_owned()
    };
    pool(&orders, "paid");
    pool(&own, "noted");
    let before = checkpoints(&mut model).await;
    assert!(!before.is_empty());
    sqlx::raw_sql("DELETE FROM evenfold.log_origin").execute(&mut model).await.unwrap();
    let repaired = shop.run(&own, &["repair"]);
    assert!(repaired.fine().contains("5 events renumbered"), "{repaired:?}");
    assert_eq!(checkpoints(&mut model).await, before);
    shop.events(3).await;
    append_one(&mut model, "a", 1).await;
    pool(&orders, "paid");
    pool(&own, "noted");
    assert_eq!(amounts(&mut model, "paid").await, (12, 6));
    assert_eq!(amounts(&mut model, "noted").await, (6, 6));
}
