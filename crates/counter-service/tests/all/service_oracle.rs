//! Nodes of one process that are cut off from each other while clients count, and who finds it if they count wrong.

use crate::support::oracle::connection::CounterAnswer;
use crate::support::oracle::ledger::{Logged, judge};
use crate::support::oracle::{self, Ledger, Load, Places, Plan, Proof};
use crate::support::{Counting, SOON, TestDb, drain, only_worker, scalar, wait_until};
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold_cluster::NodeId;
use evenfold_cluster::local::{Cut, Endpoint, Network};
use evenfold_counter_service::http::ServiceOptions;
use evenfold_counter_service::{CounterId, CounterValue, IdempotencyKey, Node, NodeOptions, ServiceError, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_http::Limits;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

fn id(name: &str) -> CounterId {
    CounterId::new(name).unwrap()
}

/// Nodes that share a log, each with a wire that can be cut and a port of its own.
struct Cluster {
    db: TestDb,
    wires: Vec<Endpoint>,
    served: Vec<Counting>,
    places: Places,
}

impl Cluster {
    async fn start(nodes: usize) -> Self {
        let (db, network, places) = (TestDb::new().await, Network::new(), Places::default());
        let mut cluster = Self { db, wires: Vec::new(), served: Vec::new(), places };
        for number in 0..nodes {
            let (wire, name) = (network.endpoint(), NodeId::new(&format!("n{number}")).unwrap());
            let options = NodeOptions::default().shards(16);
            let storage = Storage::Durable(cluster.db.database.clone());
            let transport = Arc::new(wire.clone());
            let node = Node::join(options, storage, &ProcessGroups::default(), transport, name).await.unwrap();
            let served = Counting::serving(vec![node], ServiceOptions::default(), Limits::default()).await;
            cluster.places.set(number, served.address);
            cluster.wires.push(wire);
            cluster.served.push(served);
        }
        cluster.whole().await;
        cluster
    }

    fn node(&self, number: usize) -> &Node {
        &self.served[number].nodes[0]
    }

    /// Waits until every node sees all others, and has its shards.
    async fn whole(&self) {
        for number in 0..self.served.len() {
            self.sees(number, self.served.len()).await;
        }
    }

    async fn sees(&self, number: usize, members: usize) {
        let node = self.node(number);
        let sees = async || node.is_ready().is_ok() && node.metrics().members == members as u64;
        wait_until("the node sees who is there, and has its shards", SOON, sees).await;
    }

    async fn prove(&self, ledger: &Ledger) {
        let mut conn = self.db.connect().await;
        drain(&mut only_worker(&mut conn, 10_000).await, &mut conn).await;
        Proof::of(ledger, &mut conn, &self.places).await.assert(ledger);
    }

    /// A counter that this node owns.
    async fn counter_of(&self, number: usize) -> CounterId {
        for n in 0.. {
            let counter = id(&format!("of-{n}"));
            let before = self.node(number).metrics().forwarded;
            self.node(number).get(&counter).await.unwrap();
            if self.node(number).metrics().forwarded == before {
                return counter;
            }
        }
        unreachable!("there are enough names")
    }

    async fn end(self) {
        for served in self.served {
            served.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_taken_for_dead_and_is_back_answers_no_stale_read() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.node(0), cluster.node(1));
    let counter = cluster.counter_of(0).await;
    assert_eq!(a.increment(&counter, 1, None).await, Ok(CounterValue { value: 1, version: 1 }));
    cluster.wires[0].cut(Cut::Everything);
    cluster.sees(1, 1).await;
    let second = CounterValue { value: 3, version: 2 };
    assert_eq!(b.increment(&counter, 2, None).await, Ok(second));
    cluster.wires[0].cut(Cut::Nothing);
    // Nobody reads it at this node meanwhile, which would have it read back.
    cluster.whole().await;
    assert_eq!(a.get(&counter).await, Ok(second));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_writer_has_appended_by_the_same_key_is_in_what_is_read_after_it_was_found() {
    let cluster = Cluster::start(2).await;
    let (counter, key) = (cluster.counter_of(0).await, Uuid::new_v4());
    let (a, b) = (cluster.node(0), cluster.node(1).clone());
    a.increment(&counter, 1, None).await.unwrap();
    // The first attempt never arrives; whoever repeats it says that it may have.
    cluster.wires[1].cut(Cut::Everything);
    let before = b.metrics().forwarded;
    let (node, asked) = (b.clone(), counter.clone());
    let key_given = IdempotencyKey::new(&key.to_string()).unwrap();
    let asking = tokio::spawn(async move { node.increment(&asked, 5, Some(key_given)).await });
    wait_until("the first attempt", SOON, async || b.metrics().forwarded > before).await;
    let event = NewEvent::new("counter", counter.as_str(), "incremented", &json!({"amount": 5})).unwrap();
    let event = event.with_event_id(key).with_metadata(&json!({"value": 6})).unwrap();
    log::append(&mut cluster.db.connect().await, &[event]).await.unwrap();
    cluster.wires[1].cut(Cut::Nothing);
    let second = CounterValue { value: 6, version: 2 };
    assert_eq!(asking.await.unwrap(), Ok(second));
    assert_eq!(a.get(&counter).await, Ok(second));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_stale_while_nodes_are_cut_off_from_each_other() {
    let cluster = Cluster::start(3).await;
    let load = Load::start(&cluster.places, Plan::default());
    let mut swept = Ledger::default();
    for (victim, cut) in [(0, Cut::Everything), (1, Cut::Answers)] {
        let before = load.answered();
        wait_until("the clients count", SOON, async || load.answered() > before + 500).await;
        cluster.wires[victim].cut(cut);
        cluster.sees((victim + 1) % 3, 2).await;
        swept.add(load.sweep(cluster.served[(victim + 1) % 3].address, SOON).await);
        cluster.wires[victim].cut(Cut::Nothing);
        cluster.whole().await;
    }
    let mut ledger = load.stop(SOON).await;
    ledger.add(swept);
    cluster.prove(&ledger).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_nothing_of_each_other_and_share_a_log_lose_and_double_nothing() {
    let (db, places) = (TestDb::new().await, Places::default());
    let mut served = Vec::new();
    for number in 0..2 {
        let storage = Storage::Durable(db.database.clone());
        let node = Node::start(NodeOptions::default(), storage, &ProcessGroups::default()).await.unwrap();
        served.push(Counting::serving(vec![node], ServiceOptions::default(), Limits::default()).await);
        places.set(number, served[number].address);
    }
    let load = Load::start(&places, Plan { fresh: false, counters: 5, ..Plan::default() });
    wait_until("the clients count", SOON, async || load.answered() > 1_000).await;
    let ledger = load.stop(SOON).await;
    // What a node knows of a counter is as old as its own last increment, so there is one more; the last ones are the
    // second node's.
    let load = Load::start(&Places::default(), Plan { fresh: false, counters: 5, clients: 0, ..Plan::default() });
    let mut all = ledger;
    for one in &served {
        all.add(load.sweep(one.address, SOON).await);
    }
    assert!(served.iter().all(|one| one.nodes[0].metrics().conflicts > 0));
    let last = Places::default();
    last.set(0, served[1].address);
    let mut conn = db.connect().await;
    drain(&mut only_worker(&mut conn, 10_000).await, &mut conn).await;
    Proof::of(&all, &mut conn, &last).await.assert(&all);
    for one in served {
        one.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increment_that_commits_after_a_takeover_is_answered_by_the_new_owner() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.node(0).clone(), cluster.node(1));
    let counter = cluster.counter_of(0).await;
    a.increment(&counter, 1, None).await.unwrap();
    let mut conn = cluster.db.connect().await;
    // Longer than it takes to be taken for dead, and shorter than a request may take.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN PERFORM pg_sleep(4); RETURN NULL; END';
                CREATE TRIGGER slow AFTER INSERT ON evenfold.events EXECUTE FUNCTION slow()";
    sqlx::raw_sql(slow).execute(&mut conn).await.unwrap();
    let (asked, key) = (counter.clone(), IdempotencyKey::new("order-1").unwrap());
    let asking = tokio::spawn(async move { a.increment(&asked, 5, Some(key)).await });
    let appends = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event = 'PgSleep'";
    wait_until("the append", SOON, async || scalar(&mut conn, appends).await == 1).await;
    cluster.wires[0].cut(Cut::Everything);
    cluster.sees(1, 1).await;
    assert_eq!(b.get(&counter).await, Ok(CounterValue { value: 1, version: 1 }), "it is not committed yet");
    // Had the one that was cut off answered, the other's reads would be older than that.
    let answer = asking.await.unwrap();
    assert!(matches!(answer, Err(ServiceError::TimedOut(_))), "{answer:?}");
    sqlx::raw_sql("DROP TRIGGER slow ON evenfold.events").execute(&mut conn).await.unwrap();
    let second = CounterValue { value: 6, version: 2 };
    let key = IdempotencyKey::new("order-1").unwrap();
    assert_eq!(b.increment(&counter, 5, Some(key)).await, Ok(second));
    assert_eq!(b.get(&counter).await, Ok(second));
    cluster.wires[0].cut(Cut::Nothing);
    cluster.whole().await;
    cluster.end().await;
}

/// What the clients were answered is what the node says, and nothing is left open.
async fn assert_all_counted(served: &Counting, ledger: &Ledger) {
    assert_eq!((ledger.maybes.len(), &ledger.wrong, &ledger.contradictions), (0, &Vec::new(), &Vec::new()));
    assert!(ledger.acknowledged.len() > 1_000);
    let mut sums: HashMap<u32, (i64, i64)> = HashMap::new();
    for one in &ledger.acknowledged {
        let (value, version) = sums.entry(one.counter).or_default();
        *value += one.amount;
        *version += 1;
    }
    for (counter, (value, version)) in sums {
        let read = served.nodes[0].get(&id(&oracle::name(counter))).await;
        assert_eq!(read, Ok(CounterValue { value, version }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_keeps_counters_in_memory_counts_all_of_them() {
    let served = Counting::plain().await;
    let places = Places::default();
    places.set(0, served.address);
    let load = Load::start(&places, Plan { keys: false, ..Plan::default() });
    wait_until("the clients count", SOON, async || load.answered() > 5_000).await;
    let ledger = load.stop(SOON).await;
    assert_eq!(ledger.refused, 0);
    assert_all_counted(&served, &ledger).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_full_refuses_new_counters_and_counts_the_others_on() {
    // Fewer for each of the shards than there are counters.
    let options = NodeOptions::default().shards(4).max_actors(16);
    let served = Counting::volatile(1, options, ServiceOptions::default(), Limits::default()).await;
    let places = Places::default();
    places.set(0, served.address);
    let load = Load::start(&places, Plan { keys: false, ..Plan::default() });
    wait_until("the clients count", SOON, async || load.answered() > 2_000).await;
    let ledger = load.stop(SOON).await;
    assert!(ledger.refused > 1_000, "{}", ledger.refused);
    let counters: HashSet<u32> = ledger.acknowledged.iter().map(|one| one.counter).collect();
    assert!(counters.len() <= 16, "{counters:?}");
    assert_eq!(served.nodes[0].metrics().counters.iter().sum::<u64>(), counters.len() as u64);
    assert_all_counted(&served, &ledger).await;
    served.end().await;
}

#[test]
fn the_oracle_finds_what_is_lost_doubled_or_changed() {
    let ledger = || {
        let mut ledger = Ledger::default();
        ledger.answered(1, 5, CounterAnswer { value: 5, version: 1 });
        ledger.answered(1, 2, CounterAnswer { value: 10, version: 3 });
        ledger.maybes.push((1, 3));
        ledger.observed.insert((1, 2), 8);
        ledger
    };
    let log = |events: &[(i64, i64)]| {
        let events = events.iter().map(|&(version, amount)| Logged { version, amount }).collect();
        HashMap::from([(1, events)])
    };
    assert_eq!(judge(&ledger(), &log(&[(1, 5), (2, 3), (3, 2)])), Vec::<String>::new());
    for (wrong, what) in [
        (&[(1, 5), (2, 3)][..], "lost"),
        (&[(1, 5), (2, 3), (3, 2), (4, 3)], "or twice"),
        (&[(1, 5), (2, 3), (3, 1)], "not 2"),
        (&[(1, 5), (3, 2)], "is missing"),
        (&[(1, 5), (2, 4), (3, 2)], "nobody has sent"),
    ] {
        let found = judge(&ledger(), &log(wrong));
        assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:#?}");
    }
    // The database may have lost any of it, and has none of it twice.
    let mut lost = ledger();
    lost.contradicts("it was read at 8 and at 9".to_owned());
    lost.forget();
    assert_eq!(judge(&lost, &log(&[(1, 2), (2, 3)])), Vec::<String>::new());
    assert!(!judge(&lost, &log(&[(1, 2), (2, 2)])).is_empty());
    let mut twice = ledger();
    twice.answered(1, 2, CounterAnswer { value: 10, version: 3 });
    let found = judge(&twice, &log(&[(1, 5), (2, 3), (3, 2)]));
    assert!(found.iter().any(|found| found.contains("two increments were given")), "{found:#?}");
    let mut read = ledger();
    read.observed.insert((1, 2), 9);
    let found = judge(&read, &log(&[(1, 5), (2, 3), (3, 2)]));
    assert!(found.iter().any(|found| found.contains("was answered as 9")), "{found:#?}");
}
