//! More counters than fit into memory.

use crate::support::TestDb;
use evenfold_counter_service::{CounterId, CounterValue, Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinSet;

const COUNTERS: u32 = 1_000_000;

/// How many of them are incremented a second time, when they have long made room for others.
const AGAIN: u32 = 100_000;

const MAX_ACTORS: usize = 10_000;

/// As many requests are on their way at the same time.
const TASKS: u32 = 4_000;

fn id(counter: u32) -> CounterId {
    CounterId::new(&format!("c{counter}")).unwrap()
}

/// What is added: another amount for each counter.
fn amount(counter: u32) -> i64 {
    i64::from(counter % 997) + 1
}

/// Increments each of these counters once; what it stands at then is known.
async fn increment(node: &Node, counters: u32, before: i64) {
    let (next, mut running) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
    for _ in 0..TASKS {
        let (node, next) = (node.clone(), Arc::clone(&next));
        running.spawn(async move {
            loop {
                let counter = next.fetch_add(1, Ordering::Relaxed);
                if counter >= counters {
                    return;
                }
                let answer = node.increment(&id(counter), amount(counter), None).await;
                let value = amount(counter) * (before + 1);
                assert_eq!(answer, Ok(CounterValue { value, version: before + 1 }), "c{counter}");
                if counter % 10_000 == 0 {
                    let in_memory: u64 = node.metrics().counters.iter().sum();
                    assert!(in_memory <= MAX_ACTORS as u64, "{in_memory} counters are in memory");
                }
            }
        });
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_counters_through_room_for_ten_thousand_are_exact() {
    let db = TestDb::new().await;
    let options = NodeOptions::default().max_actors(MAX_ACTORS);
    let storage = Storage::Durable(db.database.clone());
    let node = Node::start(options, storage, &ProcessGroups::default()).await.unwrap();
    increment(&node, COUNTERS, 0).await;
    increment(&node, AGAIN, 1).await;
    let metrics = node.metrics();
    assert!(metrics.passivations >= u64::from(COUNTERS + AGAIN) - MAX_ACTORS as u64, "{metrics:?}");
    assert!(metrics.counters.iter().sum::<u64>() <= MAX_ACTORS as u64);
    node.stop().await;
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM generate_series(0, $1::int - 1) AS counter
         FULL JOIN (SELECT substr(aggregate_id, 2)::int AS counter, count(*) AS events,
                           sum((payload->>'amount')::bigint) AS value
                    FROM evenfold.events GROUP BY aggregate_id) AS logged USING (counter)
         WHERE logged.value IS DISTINCT FROM (counter % 997 + 1) * (CASE WHEN counter < $2::int THEN 2 ELSE 1 END)",
    )
    .bind(i32::try_from(COUNTERS).unwrap())
    .bind(i32::try_from(AGAIN).unwrap())
    .fetch_one(&mut db.connect().await)
    .await
    .unwrap();
    assert_eq!(wrong, 0, "counters whose sum in the log is another one");
}
