//! A node of the counter service, on a real log: each answered increment is counted once, and answered rightly.

use crate::support::{SOON, TestDb, assert_counters_agree, drain, only_worker, scalar, wait_until};
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold_counter_service::{CounterId, CounterValue, IdempotencyKey, Node, NodeOptions, ServiceError, Storage};
use evenfold_groups::ProcessGroups;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

fn id(name: &str) -> CounterId {
    CounterId::new(name).unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

async fn node(db: &TestDb, options: NodeOptions) -> Node {
    Node::start(options, Storage::Durable(db.database.clone()), &ProcessGroups::default()).await.unwrap()
}

fn few_actors() -> NodeOptions {
    NodeOptions::default().shards(4).max_actors(40)
}

/// Increments from many tasks, and gives what was answered.
async fn increments(nodes: &[Node], tasks: usize, each: usize, names: usize) -> Vec<(usize, CounterValue)> {
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let node = nodes[task % nodes.len()].clone();
        running.spawn(async move {
            let mut answers = Vec::new();
            for n in 0..each {
                let name = (task * 31 + n * 7) % names;
                let counted = node.increment(&id(&format!("c{name}")), 1, None).await.unwrap();
                answers.push((name, counted));
            }
            answers
        });
    }
    running.join_all().await.concat()
}

/// Each counter's answers are 1, 2, 3 …: none is missing, and none was given twice.
fn assert_each_once(answers: &[(usize, CounterValue)], names: usize) {
    for name in 0..names {
        let of: Vec<i64> = answers.iter().filter(|(other, _)| *other == name).map(|(_, c)| c.value).collect();
        let expected: BTreeSet<i64> = (1..=i64::try_from(of.len()).unwrap()).collect();
        assert_eq!(of.iter().copied().collect::<BTreeSet<_>>(), expected, "c{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_increment_is_committed_before_it_is_answered_and_has_a_value_of_its_own() {
    let db = TestDb::new().await;
    let node = node(&db, few_actors()).await;
    let answers = increments(std::slice::from_ref(&node), 32, 50, 300).await;
    assert_each_once(&answers, 300);
    let metrics = node.metrics();
    assert!(metrics.passivations > 0, "{metrics:?}");
    assert_eq!((metrics.commits.events, metrics.handled), (1_600, 1_600));
    assert!(metrics.commits.count() < 800, "they are committed in groups: {metrics:?}");
    let mut conn = db.connect().await;
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM evenfold.events").fetch_one(&mut conn).await.unwrap();
    assert_eq!(events, 1_600);
    drain(&mut only_worker(&mut conn, 1_000).await, &mut conn).await;
    assert_counters_agree(&mut conn).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_both_believe_to_own_every_counter_lose_and_double_nothing() {
    let db = TestDb::new().await;
    let nodes = [node(&db, few_actors()).await, node(&db, few_actors()).await];
    let answers = increments(&nodes, 16, 40, 5).await;
    assert_each_once(&answers, 5);
    assert!(nodes.iter().map(|node| node.metrics().conflicts).sum::<u64>() > 0);
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_it_was_and_counted_once() {
    let db = TestDb::new().await;
    let first = node(&db, few_actors()).await;
    let answered = first.increment(&id("a"), 5, Some(key("order-1"))).await.unwrap();
    first.increment(&id("a"), 1, None).await.unwrap();
    first.stop().await;
    let second = node(&db, few_actors()).await;
    assert_eq!(second.increment(&id("a"), 5, Some(key("order-1"))).await, Ok(answered));
    assert_eq!(second.increment(&id("a"), 6, Some(key("order-1"))).await, Err(ServiceError::KeyReused));
    assert_eq!(second.increment(&id("b"), 5, Some(key("order-1"))).await, Err(ServiceError::KeyReused));
    assert_eq!(second.get(&id("a")).await, Ok(CounterValue { value: 6, version: 2 }));
    let a = id("a");
    let (one, two) =
        tokio::join!(second.increment(&a, 3, Some(key("order-2"))), second.increment(&a, 3, Some(key("order-2"))));
    assert_eq!((one.clone(), two), (Ok(CounterValue { value: 9, version: 3 }), one));
}

#[tokio::test]
async fn what_another_writer_appends_is_in_the_next_answer() {
    let db = TestDb::new().await;
    let node = node(&db, few_actors()).await;
    assert_eq!(node.get(&id("a")).await, Ok(CounterValue::default()));
    let mut conn = db.connect().await;
    let event = NewEvent::new("counter", "a", "added", &json!({ "amount": 10 })).unwrap();
    log::append(&mut conn, &[event]).await.unwrap();
    assert_eq!(node.increment(&id("a"), 1, None).await, Ok(CounterValue { value: 11, version: 2 }));
    let bad = NewEvent::new("counter", "b", "added", &json!({ "amount": "ten" })).unwrap();
    log::append(&mut conn, &[bad]).await.unwrap();
    assert!(
        matches!(node.increment(&id("b"), 1, None).await, Err(ServiceError::Parked(why)) if why.contains("integer"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_another_writer_has_locked_holds_up_no_other_counter_of_its_shard() {
    let db = TestDb::new().await;
    let node = node(&db, NodeOptions::default().shards(1).request_timeout(Duration::from_secs(20))).await;
    for name in ["a", "b"] {
        node.increment(&id(name), 1, None).await.unwrap();
    }
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut open = sqlx::Connection::begin(&mut other).await.unwrap();
    let event = NewEvent::new("counter", "a", "added", &json!({ "amount": 10 })).unwrap();
    log::append(&mut open, &[event]).await.unwrap();
    let waiting = node.clone();
    let locked = tokio::spawn(async move { waiting.increment(&id("a"), 1, None).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'evenfold append' AND wait_event_type = 'Lock'";
    wait_until("the append waits for the lock", SOON, async || scalar(&mut conn, waits).await > 0).await;
    assert_eq!(node.increment(&id("b"), 1, None).await, Ok(CounterValue { value: 2, version: 2 }));
    assert!(!locked.is_finished(), "the lock is there yet");
    open.rollback().await.unwrap();
    assert_eq!(locked.await.unwrap(), Ok(CounterValue { value: 2, version: 2 }));
}

#[tokio::test]
async fn an_overflow_is_refused_and_changes_nothing() {
    let db = TestDb::new().await;
    let node = node(&db, few_actors()).await;
    node.increment(&id("a"), i64::MAX, None).await.unwrap();
    let overflow = ServiceError::Overflow { value: i64::MAX, amount: 1 };
    assert_eq!(node.increment(&id("a"), 1, None).await, Err(overflow));
    assert_eq!(node.increment(&id("a"), -1, None).await.map(|counted| counted.value), Ok(i64::MAX - 1));
}

/// Ends the connections of a node to the database, which may be at work.
async fn cut(conn: &mut sqlx::PgConnection) {
    let query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name IN ('evenfold append', 'evenfold counters')";
    sqlx::query(query).execute(conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_whose_commit_was_not_answered_are_counted_once() {
    let db = TestDb::new().await;
    let node = node(&db, few_actors()).await;
    let cutting = async {
        let mut conn = db.connect().await;
        let counted = async || node.metrics().commits.events;
        for n in 1..=20 {
            wait_until("some more are counted", SOON, async || counted().await >= n * 60).await;
            cut(&mut conn).await;
        }
    };
    let (answers, ()) = tokio::join!(increments(std::slice::from_ref(&node), 32, 50, 20), cutting);
    assert_each_once(&answers, 20);
    let mut conn = db.connect().await;
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM evenfold.events").fetch_one(&mut conn).await.unwrap();
    assert_eq!(events, 1_600);
}

#[tokio::test]
async fn an_increment_that_the_database_refuses_is_answered_as_not_counted() {
    let db = TestDb::new().await;
    let node = node(&db, few_actors().request_timeout(Duration::from_secs(3))).await;
    let mut conn = db.connect().await;
    assert_eq!(node.increment(&id("a"), 1, None).await.unwrap().value, 1);
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'not today'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON evenfold.events FOR EACH ROW EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(refuse).execute(&mut conn).await.unwrap();
    // What an append under way at the deadline comes to is not known. So only the first one is refused: the next
    // attempt waits where the counter is read back, which the first one did not need.
    let mut locked = sqlx::Connection::begin(&mut conn).await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.counters IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await.unwrap();
    let refused = node.increment(&id("a"), 1, None).await.unwrap_err();
    assert!(matches!(&refused, ServiceError::Unavailable(why) if why.contains("not today")), "{refused:?}");
    locked.rollback().await.unwrap();
    sqlx::raw_sql("DROP TRIGGER refuse ON evenfold.events").execute(&mut conn).await.unwrap();
    assert_eq!(node.increment(&id("a"), 1, None).await.unwrap().value, 2);
    node.stop().await;
}

#[tokio::test]
async fn watchers_are_notified_of_each_commit_also_while_nobody_folds_the_log() {
    let db = TestDb::new().await;
    let node = node(&db, few_actors()).await;
    let mut watching = node.watch(&id("a")).unwrap();
    assert_eq!(watching.next().await, Ok(Some(CounterValue::default())));
    for n in 1..=3 {
        node.increment(&id("b"), 1, None).await.unwrap();
        let counted = node.increment(&id("a"), 5, None).await.unwrap();
        let received = tokio::time::timeout(SOON, watching.next()).await.expect("the watcher is notified");
        assert_eq!((received, counted), (Ok(Some(counted)), CounterValue { value: 5 * n, version: n }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increment_that_is_committed_when_nobody_waits_for_it_any_more_is_in_what_is_read_then() {
    let db = TestDb::new().await;
    let node = node(&db, few_actors().request_timeout(Duration::from_secs(1))).await;
    node.increment(&id("a"), 1, None).await.unwrap();
    let mut conn = db.connect().await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_sleep(4); RETURN NULL; END';
                CREATE TRIGGER slow AFTER INSERT ON evenfold.events EXECUTE FUNCTION slow()";
    sqlx::raw_sql(slow).execute(&mut conn).await.unwrap();
    let late = node.increment(&id("a"), 5, None).await;
    assert!(matches!(late, Err(ServiceError::TimedOut(_))), "{late:?}");
    wait_until("its shard has given it up, too", SOON, async || node.metrics().handled == 2).await;
    // A read of the log, before the commit.
    assert_eq!(node.get(&id("a")).await, Ok(CounterValue { value: 1, version: 1 }));
    let committed = "SELECT count(*) FROM evenfold.events";
    wait_until("the commit", SOON, async || scalar(&mut conn, committed).await == 2).await;
    assert_eq!(node.get(&id("a")).await, Ok(CounterValue { value: 6, version: 2 }));
}

#[tokio::test]
async fn the_highest_values_are_right_where_counters_have_less_by_now_than_the_read_model_says() {
    let db = TestDb::new().await;
    let before = node(&db, few_actors()).await;
    for n in 0..30 {
        before.increment(&id(&format!("c{n:02}")), 100 + n, None).await.unwrap();
    }
    before.stop().await;
    let mut conn = db.connect().await;
    drain(&mut only_worker(&mut conn, 1_000).await, &mut conn).await;
    // It has nothing in memory but what is counted down, and room for all of that: nobody folds it.
    let node = node(&db, NodeOptions::default()).await;
    for n in 10..30 {
        node.increment(&id(&format!("c{n:02}")), -1_000, None).await.unwrap();
    }
    let top = node.top(3).await.unwrap();
    let top: Vec<_> = top.iter().map(|(id, value)| (id.as_str(), *value)).collect();
    assert_eq!(top, [("c09", 109), ("c08", 108), ("c07", 107)]);
}
