//! A database that loses what it has acknowledged: a crash without `synchronous_commit`, and a failover to a server
//! that has less. Whatever a node had in memory is forgotten, and no answer is a mixture of what was and what is.

use super::cluster::{Cluster, counted};
use crate::server::Server;
use evenfold::database::Database;
use evenfold::event::NewEvent;
use evenfold::schema::Schema;
use evenfold::{log, schema};
use evenfold_cluster::{NodeId, local};
use evenfold_counter_service::{CounterId, CounterValue, Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_testkit::Client;
use evenfold_testkit::Serving;
use evenfold_testkit::oracle::{Ledger, Load, Plan};
use evenfold_testkit::proxy::{Wire, socket_of, wire_to};
use evenfold_testkit::{SOON, wait_until};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How soon it must be known that the database is away.
const NOTICED: Duration = Duration::from_secs(2);

fn id(name: &str) -> CounterId {
    CounterId::new(name).unwrap()
}

async fn server() -> Server {
    let server = tokio::task::block_in_place(Server::start);
    schema::migrate(&Schema::default(), &mut database(&server).connect_to_server().await.unwrap().0).await.unwrap();
    server
}

/// One whose commits of the last seconds are lost in a crash.
async fn lossy() -> Server {
    let server = server().await;
    server.acknowledge_early().await;
    server
}

fn database(server: &Server) -> Database {
    Database::at(&server.url).unwrap()
}

async fn alone(database: Database) -> Node {
    let (options, groups) = (NodeOptions::default(), ProcessGroups::default());
    Node::start(options, Storage::Durable(database), &groups).await.unwrap()
}

/// Nodes of one cluster, in this process.
async fn cluster(nodes: usize, database: &Database) -> Vec<Node> {
    let (network, mut all) = (local::Network::new(), Vec::new());
    for number in 0..nodes {
        let (transport, name) = (Arc::new(network.endpoint()), NodeId::new(&format!("n{number}")).unwrap());
        let options = NodeOptions::default().shards(16);
        let (storage, groups) = (Storage::Durable(database.clone()), ProcessGroups::default());
        let node = Node::join(options, storage, &groups, transport, name).await.unwrap();
        wait_until("the node has its shards", SOON, async || node.is_ready().is_ok()).await;
        all.push(node);
    }
    let all_seen = async || all.iter().all(|node| node.is_ready().is_ok() && node.metrics().members == nodes as u64);
    wait_until("all see all", SOON, all_seen).await;
    all
}

/// How many events of this counter the log has.
async fn events(server: &Server, name: &str) -> i64 {
    let mut conn = database(server).connect().await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM evenfold.events WHERE aggregate_id = $1").bind(name);
    count.fetch_one(&mut conn).await.unwrap()
}

/// Counts to 8, of which a crash loses the last five.
async fn count(server: &Server, nodes: &[Node], names: &[String]) {
    let increment = async |times: i64| {
        for (n, name) in names.iter().enumerate() {
            for _ in 0..times {
                nodes[n % nodes.len()].increment(&id(name), 1, None).await.unwrap();
            }
        }
    };
    increment(3).await;
    server.flush().await;
    increment(5).await;
    for (n, name) in names.iter().enumerate() {
        let before = nodes[n % nodes.len()].get(&id(name)).await;
        assert_eq!(before, Ok(CounterValue { value: 8, version: 8 }));
    }
}

async fn lose(server: &Server, names: &[String]) {
    server.crash().await;
    for name in names {
        assert_eq!(events(server, name).await, 3, "the server has lost nothing: what is tested?");
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("c{n}")).collect()
}

/// Another writer brings the version of each counter to where it was, with 500 more.
async fn bring_together(server: &Server, names: &[String]) {
    let mut conn = database(server).connect().await.unwrap();
    for name in names {
        let event = || NewEvent::new("counter", name, "incremented", &json!({ "amount": 100 })).unwrap();
        let events: Vec<_> = (0..5).map(|_| event()).collect();
        log::append(&mut conn, &events).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_the_database_has_lost_are_not_shown_once_it_is_back() {
    let server = lossy().await;
    for nodes in [vec![alone(database(&server)).await], cluster(2, &database(&server)).await] {
        let names: Vec<_> = names(8).iter().map(|name| format!("{name}-of-{}", nodes.len())).collect();
        let mut watching = nodes[0].watch(&id(&names[1])).unwrap();
        assert_eq!(watching.next().await, Ok(Some(CounterValue::default())));
        count(&server, &nodes, &names).await;
        let mut last = None;
        while last != Some(CounterValue { value: 8, version: 8 }) {
            last = tokio::time::timeout(SOON, watching.next()).await.expect("the watcher is notified").unwrap();
        }
        lose(&server, &names).await;
        let left = CounterValue { value: 3, version: 3 };
        for name in &names {
            for node in &nodes {
                assert_eq!(node.get(&id(name)).await, Ok(left), "{name}");
            }
        }
        for node in &nodes {
            for (name, value) in node.top(100).await.unwrap() {
                assert!(!names.contains(&name.as_str().to_owned()) || value == 3, "{name:?} {value}");
            }
        }
        wait_until("the watcher is given what is left", SOON, async || {
            last = tokio::time::timeout(SOON, watching.next()).await.expect("the watcher is notified").unwrap_or(last);
            last == Some(left)
        })
        .await;
        let next = nodes[0].increment(&id(&names[1]), 1, None).await;
        assert_eq!(next, Ok(CounterValue { value: 4, version: 4 }));
        assert_eq!(tokio::time::timeout(SOON, watching.next()).await.expect("a change"), Ok(next.ok()));
        for node in nodes {
            node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wrong_value_is_answered_where_another_writer_brings_the_versions_together_again() {
    let server = lossy().await;
    for nodes in [vec![alone(database(&server)).await], cluster(2, &database(&server)).await] {
        let names: Vec<_> = names(8).iter().map(|name| format!("{name}-of-{}", nodes.len())).collect();
        count(&server, &nodes, &names).await;
        lose(&server, &names).await;
        bring_together(&server, &names).await;
        for (n, name) in names.iter().enumerate() {
            let node = &nodes[n % nodes.len()];
            // Half of them are incremented before they are read.
            if n < names.len() / 2 {
                assert_eq!(node.get(&id(name)).await, Ok(CounterValue { value: 503, version: 8 }), "{name}");
            }
            assert_eq!(node.increment(&id(name), 1, None).await, Ok(CounterValue { value: 504, version: 9 }), "{name}");
            assert_eq!(node.get(&id(name)).await, Ok(CounterValue { value: 504, version: 9 }), "{name}");
        }
        for node in nodes {
            node.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_leads_to_another_server_ends_what_is_known_from_the_one_before() {
    let (old, new) = (server().await, server().await);
    let (wire, url) = wire_to(&old.url).await;
    let node = alone(Database::at(&url).unwrap()).await;
    let a = id("a");
    assert_eq!(node.increment(&a, 1, None).await, Ok(CounterValue { value: 1, version: 1 }));
    let event = NewEvent::new("counter", "a", "incremented", &json!({ "amount": 100 })).unwrap();
    log::append(&mut database(&new).connect().await.unwrap(), &[event]).await.unwrap();
    // The old server lives on, as one does that does not know that another one has taken over. Its connections stay.
    wire.lead_new_to(socket_of(&new.url).0);
    let others: Vec<_> = (0..64).map(|n| id(&format!("b{n}"))).collect();
    // So many at once need a connection more.
    let reads = futures_util::future::join_all(others.iter().map(|other| node.get(other))).await;
    assert!(reads.into_iter().all(|read| read == Ok(CounterValue::default())));
    wait_until("a connection that leads to the new server", SOON, async || {
        // As many appends at once need both connections.
        let both = [id("c"), id("d")];
        let _counted = futures_util::future::join_all(both.iter().map(|one| node.increment(one, 1, None))).await;
        events(&new, "c").await > 0
    })
    .await;
    assert_eq!(node.get(&a).await, Ok(CounterValue { value: 100, version: 1 }));
    assert_eq!(node.increment(&a, 1, None).await, Ok(CounterValue { value: 101, version: 2 }));
    assert_eq!(events(&old, "a").await, 1);
    node.stop().await;
}

async fn status(serving: &Serving) -> (u16, String) {
    let reply = Client::connect(serving.address).await.get("/readyz").await;
    (reply.status, reply.body)
}

/// Waits until the service is not ready, which must be answered soon, with a sentence.
async fn not_ready(serving: &Serving, since: Instant) {
    let mut answer = (0, String::new());
    wait_until("the service is not ready", NOTICED.saturating_sub(since.elapsed()), async || {
        answer = status(serving).await;
        // Its workers may be the first to know.
        answer.0 == 503 && answer.1.contains("the database has been unavailable for ")
    })
    .await;
    assert!(answer.1.contains("not_ready"), "{answer:?}");
    println!("noticed after {:?}: {}", since.elapsed(), answer.1);
}

async fn ready(serving: &Serving) {
    wait_until("the service is ready", SOON, async || status(serving).await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_not_ready_while_its_database_is_away_and_shows_what_is_left_when_it_is_back() {
    for args in [&[][..], &["--no-workers"], &["--nodes=2"]] {
        let server = lossy().await;
        let serving = Serving::start(&[args, &["--total-partitions=2"]].concat(), &[("DATABASE_URL", &server.url)]);
        ready(&serving).await;
        let mut client = serving.client().await;
        let mut increment = async |times: i64| {
            let mut last = 0;
            for _ in 0..times {
                last = client.post("/counter/a/increment", "").await.json()["value"].as_i64().unwrap();
            }
            last
        };
        assert_eq!(increment(3).await, 3);
        server.flush().await;
        assert_eq!(increment(5).await, 8);
        let since = Instant::now();
        server.kill().await;
        not_ready(&serving, since).await;
        let read = serving.client().await.get("/counter/a").await;
        assert_eq!(read.code(), (503, "unavailable".to_owned()), "nothing is answered from memory meanwhile");
        server.restart().await;
        ready(&serving).await;
        let mut client = serving.client().await;
        assert_eq!(events(&server, "a").await, 3, "the server has lost nothing: what is tested?");
        assert_eq!(client.get("/counter/a").await.json()["value"], 3, "{args:?}");
        assert_eq!(client.post("/counter/a/increment", "").await.json()["value"], 4, "{args:?}");
        assert!(!serving.process.log().contains("panicked"), "{}", serving.process.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_not_ready_while_nothing_comes_from_its_database() {
    let server = server().await;
    let (wire, url) = wire_to(&server.url).await;
    let serving = Serving::start(&[], &[("DATABASE_URL", &url)]);
    ready(&serving).await;
    assert_eq!(serving.client().await.post("/counter/a/increment", "").await.status, 200);
    // Shorter and longer than the session that watches is waited for.
    for silence in [Duration::from_secs(2), Duration::from_secs(8)] {
        let since = Instant::now();
        wire.set(Wire::Silent);
        not_ready(&serving, since).await;
        let read = serving.client().await.get("/counter/a").await;
        assert_eq!(read.code(), (503, "unavailable".to_owned()), "nothing is answered from memory meanwhile");
        wait_until("the time", SOON, async || since.elapsed() >= silence).await;
        wire.set(Wire::Whole);
        ready(&serving).await;
        assert_eq!(serving.client().await.get("/counter/a").await.json()["value"], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_loses_commits_in_crashes_costs_those_and_nothing_that_comes_after() {
    let server = lossy().await;
    let cluster = Cluster::start(3, &server.url).await;
    let (mut before, mut load) = (Ledger::default(), Load::start(&cluster.places, Plan::default()));
    for _ in 0..4 {
        counted(&load, 100).await;
        server.flush().await;
        counted(&load, 100).await;
        server.crash().await;
        // What is answered from here on must be true in the end. What was answered before may be lost.
        let after = Load::start(&cluster.places, Plan::default());
        before.add(load.stop(SOON).await);
        before.forget();
        load = after;
    }
    counted(&load, 200).await;
    let mut ledger = load.stop(SOON).await;
    assert!(ledger.acknowledged.len() > 100);
    ledger.add(before);
    cluster.prove_all(ledger).await;
}
