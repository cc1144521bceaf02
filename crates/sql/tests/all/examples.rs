//! The example files, folded in batches and partitions of any size.

use crate::fold::{append_all, event, fold, rows};
use evenfold::{Class, NewEvent, Pool, RunOptions, Worker, WorkerOptions};
use evenfold_sql::{ProjectionFile, SqlProjection};
use evenfold_testkit::{TestDb, drain, only_worker, scalar};
use serde_json::json;
use std::path::Path;
use tokio_util::sync::CancellationToken;

pub(crate) fn example_file(name: &str) -> ProjectionFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/projections/{name}.sql"));
    ProjectionFile::read(&path).unwrap()
}

pub(crate) fn example(name: &str) -> SqlProjection {
    SqlProjection::new(example_file(name))
}

/// Each example, and the same rows by one query over the whole log, written in another way.
pub(crate) const EXAMPLES: [(&str, &str, &str); 9] = [
    (
        "totals",
        "SELECT aggregate_type, aggregate_id, events, value, version FROM totals",
        "SELECT aggregate_type, aggregate_id, events, value, version FROM evenfold.counters",
    ),
    (
        "order_status",
        "SELECT * FROM order_status",
        "SELECT aggregate_id, event_type, recorded_at, version FROM evenfold.events e WHERE aggregate_type = 'order' AND
         NOT EXISTS (SELECT FROM evenfold.events l WHERE l.aggregate_id = e.aggregate_id AND l.version > e.version)",
    ),
    (
        "paid_by_day",
        "SELECT * FROM paid_by_day",
        "SELECT payload ->> 'customer', (payload ->> 'at')::date, count(*), sum((payload ->> 'cents')::bigint)
         FROM evenfold.events WHERE event_type = 'order-paid' GROUP BY 1, 2",
    ),
    (
        "open_orders",
        "SELECT order_id, customer FROM open_orders",
        "SELECT aggregate_id, min(payload ->> 'customer') FROM evenfold.events WHERE aggregate_type = 'order' GROUP BY 1
         HAVING NOT bool_or(event_type IN ('order-shipped', 'order-cancelled'))",
    ),
    (
        "order_lifecycle",
        "SELECT order_id, status FROM order_lifecycle",
        "SELECT aggregate_id, CASE WHEN 'order-cancelled' = ANY (all_types) THEN 'cancelled'
             WHEN '{order-paid,order-shipped}' <@ all_types THEN 'shipped' WHEN 'order-paid' = ANY (all_types) THEN 'paid'
             ELSE 'open' END
         FROM (SELECT aggregate_id, array_agg(event_type::text) AS all_types FROM evenfold.events
             WHERE aggregate_type = 'order' GROUP BY 1) AS o",
    ),
    // The same in another way, which is folded before it.
    ("order_states", "SELECT * FROM order_states", "SELECT * FROM order_lifecycle"),
    (
        "customers",
        "SELECT * FROM customers",
        "SELECT DISTINCT ON (aggregate_id) aggregate_id, payload ->> 'region' FROM evenfold.events
         WHERE aggregate_type = 'customer' ORDER BY aggregate_id, version DESC",
    ),
    (
        "paid_by_region",
        "SELECT * FROM paid_by_region()",
        "SELECT coalesce(c.region, 'unknown'), sum((payload ->> 'cents')::bigint)
         FROM evenfold.events LEFT JOIN customers c ON c.customer = payload ->> 'customer'
         WHERE event_type = 'order-paid' GROUP BY 1",
    ),
    (
        "timeline",
        "SELECT * FROM timeline",
        "SELECT position, aggregate_id, event_type, recorded_at FROM evenfold.events",
    ),
];

/// Those that read nothing but the log: of the others the rows of a second fold may differ.
pub(crate) fn alone() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    EXAMPLES.into_iter().filter(|(name, ..)| *name != "paid_by_region")
}

/// Two workers of each of these, in small batches.
pub(crate) fn all_at_work(db: &TestDb, stop: &CancellationToken) -> Vec<Pool> {
    let pool = |name| {
        let (classes, own) = ([0, 1].map(|key| Class::partition(key, 2).unwrap()), example(name));
        let worker = move |class| Worker::new(class, own.clone(), WorkerOptions::default().batch_size(7));
        Pool::start(&db.database, &classes, worker, &RunOptions::default(), stop).unwrap()
    };
    alone().map(|(name, ..)| pool(name)).collect()
}

/// Orders that are placed, most of them paid, some shipped after that, some cancelled, and some paid again; and most of
/// their customers.
pub(crate) fn history(random: &mut fastrand::Rng, round: &str, orders: usize) -> Vec<Vec<NewEvent>> {
    let mut order = |n: usize| {
        let (id, customer) = (format!("{round}-{n}"), format!("customer-{}", random.u32(..9)));
        let pay = json!({"customer": customer, "at": format!("2026-01-0{}T12:00:00Z", random.u32(1..9)),
            "cents": random.u32(1..500), "amount": random.i64(-9..99)});
        let mut all = vec![event(&id, "order-placed", &json!({"customer": customer}))];
        let ends = random.u32(..4);
        if ends < 3 {
            all.push(event(&id, "order-paid", &pay));
        }
        if ends < 2 {
            all.push(event(&id, "order-shipped", &json!({})));
            if random.bool() {
                all.push(event(&id, "order-paid", &pay));
            }
        } else if ends == 3 {
            all.push(event(&id, "order-cancelled", &json!({})));
        }
        all
    };
    let orders: Vec<_> = (0..orders).map(&mut order).collect();
    let moved = |customer, region| {
        let payload = json!({"region": format!("region-{region}")});
        NewEvent::new("customer", format!("customer-{customer}"), "customer-moved", &payload).unwrap()
    };
    let customers = (0..8).map(|customer| (0..random.u32(1..4)).map(|_| moved(customer, random.u32(..3))).collect());
    let customers: Vec<_> = customers.collect();
    orders.into_iter().chain(customers).collect()
}

/// Those of one order in their order, among those of others.
pub(crate) fn interleaved(random: &mut fastrand::Rng, mut waiting: Vec<Vec<NewEvent>>) -> Vec<NewEvent> {
    let mut all = Vec::new();
    while let Some(index) = (!waiting.is_empty()).then(|| random.usize(..waiting.len())) {
        all.push(waiting[index].remove(0));
        waiting.retain(|rest| !rest.is_empty());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_has_the_rows_that_the_log_has_in_any_batches_and_partitions_that_run_at_once() {
    let mut random = fastrand::Rng::with_seed(fastrand::u64(..));
    println!("seed {}", random.get_seed());
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut counters = only_worker(&mut conn, 100).await;
    for (partitions, batch_size) in [(1, 1_000), (3, 7), (2, 1), (4, 50)] {
        let orders = history(&mut random, &format!("{partitions} by {batch_size}"), 60);
        for event in interleaved(&mut random, orders) {
            append_all(&mut conn, &[event]).await;
        }
        drain(&mut counters, &mut conn).await;
        for (name, folded, expected) in EXAMPLES {
            fold(&db, &example(name), partitions, batch_size).await.unwrap();
            let is = rows(&mut conn, folded).await;
            assert_eq!(is, rows(&mut conn, expected).await, "{name} in {partitions} partitions by {batch_size}");
            assert!(!is.is_empty(), "{name}");
        }
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
}
