//! A NATS server that enforces who may do what: what README.md grants a node suffices, all of it is needed, and nobody else may.

use super::wire::{CLUSTER, Pair, node_id, transport};
use crate::support::NatsServer;
use evenfold::cluster::nats::{Nats, NatsError};
use evenfold::cluster::{Answer, Cluster, ClusterOptions, JoinError, NodeId, Transport};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;

const README: &str = include_str!("../../../README.md");

/// The permissions of README.md, with the cluster of these tests: what may be published, and what may be subscribed to.
fn documented() -> [Vec<String>; 2] {
    let list = |name: &str| {
        let line = README.lines().find_map(|line| line.trim().strip_prefix(name)).expect("a list of permissions");
        let subjects = line.split('"').skip(1).step_by(2).map(|subject| subject.replace("counters", CLUSTER));
        subjects.collect::<Vec<_>>()
    };
    [list("publish: ["), list("subscribe: [")]
}

fn server([publish, subscribe]: &[Vec<String>; 2]) -> NatsServer {
    NatsServer::configured(&format!(
        "authorization {{ users = [
            {{ user: node, password: secret, permissions: {{ publish: {publish:?}, subscribe: {subscribe:?} }} }}
            {{ user: other, password: secret, permissions: {{ publish: [\"other.>\"], subscribe: [\"other.>\", \"_INBOX.>\"] }} }}
        ] }}"
    ))
}

fn url(server: &NatsServer, user: &str) -> String {
    format!("nats://{user}:secret@{}", server.address())
}

#[derive(Debug, Clone)]
struct Nobody;

impl Answer<u8, u8> for Nobody {
    async fn answer(&self, _: &NodeId, question: u8) -> u8 {
        question
    }
}

/// Joins, and gives why not.
async fn joins(url: &str) -> Result<(), String> {
    let nats = Arc::new(Nats::connect(url, node_id(CLUSTER)).await.map_err(|error| error.to_string())?);
    let joined = Cluster::<u8, u8>::join(nats, node_id("a"), ClusterOptions::default(), Nobody).await;
    let node = joined.map_err(|error: JoinError| error.to_string())?;
    node.leave().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_permissions_suffice_for_a_cluster_and_nobody_else_can_send_anything() {
    let server = server(&documented());
    let (node, other) = (url(&server, "node"), url(&server, "other"));
    let pair = Pair::at(&node, server, None).await;
    for value in 1..=10 {
        for name in ["x", "y", "z"] {
            assert_eq!(pair.a.increment(name).await, 2 * value - 1);
            assert_eq!(pair.b.increment(name).await, 2 * value);
        }
    }
    let mut watching = pair.b.node.watch(&super::wire::counter("x")).unwrap();
    assert_eq!(watching.next().await.unwrap().unwrap().value, 20);
    assert_eq!(pair.a.increment("x").await, 21);
    assert_eq!(watching.next().await.unwrap().unwrap().value, 21);

    // Without a cluster's secret everybody knows the key: only the server keeps this one out.
    let error = Nats::connect(&other, node_id(CLUSTER)).await.unwrap_err();
    assert!(matches!(error, NatsError::Denied(..)), "{error}");
    assert!(error.to_string().contains("evenfold.c.inbox."), "it names the subject: {error}");
    let (refusals, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let options = async_nats::ConnectOptions::new().event_callback(move |event| {
        if let async_nats::Event::ServerError(error) = event {
            refusals.send(error.to_string()).unwrap();
        }
        std::future::ready(())
    });
    let client = options.user_and_password("other".to_owned(), "secret".to_owned()).connect(pair.server.url());
    let client = client.await.unwrap();
    for subject in
        ["evenfold.c.node.a", "evenfold.c.topic.changes", "$KV.evenfold_c.a", "$JS.API.STREAM.DELETE.KV_evenfold_c"]
    {
        client.publish(subject, "x".into()).await.unwrap();
        let refusal = refused.recv().await.unwrap();
        assert!(refusal.contains("Publish") && refusal.contains(subject), "{refusal}");
    }
    for subject in ["evenfold.>", "evenfold.c.inbox.>", "$KV.>"] {
        let mut nothing = client.subscribe(subject).await.unwrap();
        let refusal = refused.recv().await.unwrap();
        assert!(refusal.contains("Subscription") && refusal.contains(subject), "{refusal}");
        assert_eq!(pair.b.increment("y").await, pair.a.get("y").await.0);
        let seen = tokio::time::timeout(Duration::from_millis(50), nothing.next()).await;
        assert!(!matches!(seen, Ok(Some(_))), "{seen:?}");
    }
    pair.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_documented_permission_is_needed_and_the_sentence_about_one_that_is_missing_names_it() {
    let all = documented();
    assert_eq!(joins(&url(&server(&all), "node")).await, Ok(()));
    for (kind, subjects) in all.iter().enumerate() {
        for (at, missing) in subjects.iter().enumerate() {
            let mut some = all.clone();
            some[kind].remove(at);
            let joined = joins(&url(&server(&some), "node")).await;
            let sentence = joined.err().unwrap_or_else(|| panic!("list {kind} suffices without {missing}"));
            let named = missing.trim_end_matches('>');
            assert!(sentence.contains(named) && sentence.contains("grant it"), "without {missing}: {sentence}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_permissions_are_those_of_one_cluster() {
    let server = server(&documented());
    let error = Nats::connect(&url(&server, "node"), node_id("another")).await.unwrap_err();
    assert!(matches!(error, NatsError::Denied(..)) && error.to_string().contains("evenfold.another."), "{error}");
    let nats = transport(&url(&server, "node"), None).await;
    assert!(nats.max_frame() > 0);
}
