//! A log that others write, copied into evenfold's own.

use super::shop::{CUSTOM, Shop};
use crate::support::scalar;

const WITH_IDS: &str = "event_id = \"'event ' || id\"
recorded_at = \"'2024-02-29T12:00:00.000001Z'::timestamptz + id * interval '1 hour'\"
metadata = \"jsonb_build_object('from', 'the shop', 'id', id)\"
";

/// Which events are in one log and not in the other, by everything that is copied.
const DIFFER: &str = "SELECT count(*) FROM (
    SELECT aggregate_id, version, event_type, payload::jsonb, metadata::jsonb, event_id, recorded_at FROM evenfold.events
    EXCEPT ALL SELECT * FROM copied) d";

async fn copied(shop: &Shop) -> i64 {
    let (mut model, mut log) = (shop.read_model().await, shop.log().await);
    let rows: Vec<(String, i64, String, String, String)> = sqlx::query_as(
        "SELECT order_id::text, row_number() OVER (PARTITION BY order_id ORDER BY version), kind::text, body::text, id::text
         FROM shop.domain_events",
    )
    .fetch_all(&mut log)
    .await
    .unwrap();
    let table = "DROP TABLE IF EXISTS copied; CREATE TABLE copied (aggregate_id text, version bigint, event_type text,
        payload jsonb, metadata jsonb, event_id uuid, recorded_at timestamptz)";
    sqlx::raw_sql(table).execute(&mut model).await.unwrap();
    for (order, version, kind, body, id) in rows {
        sqlx::query(
            "INSERT INTO copied VALUES ($1, $2, $3, $4::jsonb, jsonb_build_object('from', 'the shop', 'id', $5::int),
                 md5('event ' || $5)::uuid, '2024-02-29T12:00:00.000001Z'::timestamptz + $5::int * interval '1 hour')",
        )
        .bind(order)
        .bind(version)
        .bind(kind)
        .bind(body)
        .bind(id)
        .execute(&mut model)
        .await
        .unwrap();
    }
    assert_eq!(scalar(&mut model, DIFFER).await, 0);
    scalar(&mut model, "SELECT count(*) FROM evenfold.events").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_copies_each_event_once_with_its_id_and_time_and_goes_on_where_it_has_stopped() {
    let shop = Shop::new().await;
    let directory = shop.directory(&format!("{CUSTOM}{WITH_IDS}"));
    shop.events(30).await;
    let first = shop.run(&directory, &["import", "--batch-size=7"]);
    assert!(first.fine().contains("imported 30 events: all that custom shop.domain_events had"), "{first:?}");
    assert_eq!(copied(&shop).await, 30);
    assert!(shop.run(&directory, &["import"]).fine().contains("imported 0 events"));
    shop.events(5).await;
    assert!(shop.run(&directory, &["import"]).fine().contains("imported 5 events"));
    assert_eq!(copied(&shop).await, 35);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cant_be_appended_ends_an_import_with_a_sentence_and_nothing_is_left_out() {
    let shop = Shop::new().await;
    let directory = shop.directory(CUSTOM);
    shop.events(3).await;
    shop.execute("INSERT INTO shop.domain_events (order_id, version, kind, body) VALUES (md5('x')::uuid, 1, '', '{}')")
        .await;
    let refused = shop.run(&directory, &["import", "--batch-size=1"]);
    refused.complains(1, "the event at position 4 of custom shop.domain_events can't be appended to evenfold's log");
    shop.events(1).await;
    shop.run(&directory, &["import"]).complains(1, "the event at position 4");
    assert_eq!(scalar(&mut shop.read_model().await, "SELECT count(*) FROM evenfold.events").await, 3);
    shop.execute("UPDATE shop.domain_events SET kind = 'paid' WHERE kind = ''").await;
    assert!(shop.run(&directory, &["import"]).fine().contains("imported 2 events"));
    shop.run(&super::shop::directory(""), &["import"]).complains(2, "which log is to be imported? give --source");
}
