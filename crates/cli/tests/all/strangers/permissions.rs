//! A NATS server that enforces who may do what: what docs/services.md grants a node suffices, all of it is needed, and
//! nobody else may.

use super::broadcasts::forged;
use super::wire::{CLUSTER, Pair, Recording, counter, frame, increment, node_id, send, transport};
use crate::support::{NatsServer, SOON, wait_until};
use async_nats::{Client, Message};
use evenfold_cluster::nats::{Nats, NatsError};
use evenfold_cluster::{Answer, Cluster, ClusterOptions, JoinError, NodeId, Transport};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

const PAGE: &str = include_str!("../../../../../docs/services.md");

/// The permissions of docs/services.md, with the cluster of these tests: what may be published, and what may be
/// subscribed to.
pub fn documented() -> [Vec<String>; 2] {
    [list("publish: ["), list("subscribe: [")]
}

fn list(name: &str) -> Vec<String> {
    let line = PAGE.lines().find_map(|line| line.trim().strip_prefix(name)).expect("a list of permissions");
    line.split('"').skip(1).step_by(2).map(|subject| subject.replace("counters", CLUSTER)).collect()
}

/// With a user who is allowed something else, and one who is allowed all but what docs/services.md says to deny.
fn server([publish, subscribe]: &[Vec<String>; 2]) -> NatsServer {
    let deny = list("deny: [");
    NatsServer::configured(&format!(
        "authorization {{ users = [
            {{ user: node, password: secret, permissions: {{ publish: {publish:?}, subscribe: {subscribe:?} }} }}
            {{ user: other, password: secret, permissions: {{ publish: [\"other.>\"], subscribe: [\"other.>\", \"_INBOX.>\"] }} }}
            {{ user: denied, password: secret, permissions: {{ publish: {{ deny: {deny:?} }}, subscribe: {{ deny: {deny:?} }} }} }}
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
    let node = url(&server, "node");
    let pair = Pair::at(&node, server, None).await;
    for value in 1..=10 {
        for name in ["x", "y", "z"] {
            assert_eq!(pair.a.increment(name).await, 2 * value - 1);
            assert_eq!(pair.b.increment(name).await, 2 * value);
        }
    }
    let mut watching = pair.b.node.watch(&counter("x")).unwrap();
    assert_eq!(watching.next().await.unwrap().unwrap().value, 20);
    assert_eq!(pair.a.increment("x").await, 21);
    assert_eq!(watching.next().await.unwrap().unwrap().value, 21);

    // Without a cluster's secret everybody knows the key: only the server keeps these out.
    for user in ["other", "denied"] {
        let error = Nats::connect(&url(&pair.server, user), node_id(CLUSTER)).await.unwrap_err();
        assert!(matches!(error, NatsError::Denied(..)), "{error}");
        assert!(error.to_string().contains("evenfold.c.inbox."), "it names the subject: {error}");
        nothing_is_allowed(&pair, user).await;
    }
    sees_nothing(&pair, "denied").await;
    pair.is_whole().await;
}

/// A connection of this user, and what the server refuses it.
async fn enter(server: &NatsServer, user: &str) -> (Client, UnboundedReceiver<String>) {
    let (refusals, refused) = tokio::sync::mpsc::unbounded_channel();
    let options = async_nats::ConnectOptions::new().event_callback(move |event| {
        if let async_nats::Event::ServerError(error) = event {
            let _ = refusals.send(error.to_string());
        }
        std::future::ready(())
    });
    let client = options.user_and_password(user.to_owned(), "secret".to_owned()).connect(server.url()).await;
    (client.unwrap(), refused)
}

async fn refusal(refused: &mut UnboundedReceiver<String>) -> String {
    tokio::time::timeout(SOON, refused.recv()).await.expect("it is refused").unwrap()
}

async fn nothing_is_allowed(pair: &Pair, user: &str) {
    let (client, mut refused) = enter(&pair.server, user).await;
    for subject in [
        "evenfold.c.node.a",
        "evenfold.c.topic.changes",
        "$KV.evenfold_c.a",
        "$JS.API.STREAM.CREATE.spy",
        "$JS.API.STREAM.MSG.GET.KV_evenfold_c",
        "$JS.API.STREAM.PURGE.KV_evenfold_c",
        "$JS.API.STREAM.DELETE.KV_evenfold_c",
    ] {
        client.publish(subject, "x".into()).await.unwrap();
        let refusal = refusal(&mut refused).await;
        assert!(refusal.contains("Publish") && refusal.contains(subject), "{user}: {refusal}");
    }
    for subject in ["evenfold.>", "evenfold.c.inbox.>", "$KV.evenfold_c.>"] {
        let mut nothing = client.subscribe(subject).await.unwrap();
        let refusal = refusal(&mut refused).await;
        assert!(refusal.contains("Subscription") && refusal.contains(subject), "{user}: {refusal}");
        assert_eq!(pair.b.increment("y").await, pair.a.get("y").await.0);
        let seen = tokio::time::timeout(Duration::from_millis(50), nothing.next()).await;
        assert!(!matches!(seen, Ok(Some(_))), "{user}: {seen:?}");
    }
}

/// The server lets this one subscribe to everything, and keeps back what is denied.
async fn sees_nothing(pair: &Pair, user: &str) {
    let (client, _refused) = enter(&pair.server, user).await;
    let mut all = client.subscribe(">").await.unwrap();
    client.publish("first", "".into()).await.unwrap();
    assert_eq!(all.next().await.unwrap().subject.as_str(), "first", "it has subscribed");
    assert_eq!(pair.b.increment("y").await, pair.a.increment("y").await - 1);
    client.publish("last", "".into()).await.unwrap();
    assert_eq!(all.next().await.unwrap().subject.as_str(), "last");
}

/// What a node would take in, as everybody knows the key here, does not reach it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_frame_record_and_broadcast_of_another_user_reach_no_node() {
    let server = server(&documented());
    let node = url(&server, "node");
    let pair = Pair::at(&node, server, None).await;
    let recording = Recording::start(&enter(&pair.server, "node").await.0).await;
    let mut watching = pair.b.node.watch(&counter("x")).unwrap();
    watching.next().await.unwrap();
    for name in ["x", "y", "z"] {
        assert_eq!((pair.a.increment(name).await, pair.b.increment(name).await), (1, 2));
    }
    while watching.next().await.unwrap().unwrap().value < 2 {}
    let is_request = |seen: &Message| seen.subject.split('.').count() == 5;
    wait_until("a request was seen", SOON, async || recording.with(".node.").iter().any(is_request)).await;
    let request = recording.with(".node.").into_iter().find(is_request).unwrap();

    // Sealed where nobody is in the way: the next version of a counter, and a heartbeat.
    let elsewhere = NatsServer::start();
    let sealed = Recording::start(&async_nats::connect(elsewhere.url()).await.unwrap()).await;
    let forger = transport(&elsewhere.url(), None).await;
    forger.publish("changes", forged(1, &[(3, 666)])).await.unwrap();
    let beat = postcard::to_stdvec(&(2_u8, 77_u64, 9_u64, 16_u32, 1_u32, None::<(u64, u64)>)).unwrap();
    forger.write(&node_id("a"), 0, beat.into(), SOON).await.unwrap();
    let sealed = || [sealed.with(".topic."), sealed.with("$KV")].concat();
    wait_until("both are sealed", SOON, async || sealed().len() == 2).await;
    let plain = frame(2, "b", 60_000, [increment("x", 1_000)]);

    let refused_before = pair.a.nats.refused() + pair.b.nats.refused();
    for user in ["other", "denied"] {
        let (client, mut refused) = enter(&pair.server, user).await;
        for message in sealed().iter().chain([&request]) {
            let before = recording.all().iter().filter(|seen| seen.payload == message.payload).count();
            send(&client, &message.subject, None, message.payload.clone()).await;
            let refusal = refusal(&mut refused).await;
            assert!(refusal.contains("Publish") && refusal.contains(message.subject.as_str()), "{user}: {refusal}");
            assert_eq!((pair.a.get("x").await, pair.b.get("x").await), ((2, 2), (2, 2)));
            assert_eq!(recording.all().iter().filter(|seen| seen.payload == message.payload).count(), before);
        }
        send(&client, &request.subject, None, plain.clone()).await;
        assert!(refusal(&mut refused).await.contains("Publish"));
    }
    assert_eq!(pair.a.nats.refused() + pair.b.nats.refused(), refused_before, "nothing came that had to be ignored");
    assert_eq!(pair.a.increment("x").await, 3);
    assert_eq!(watching.next().await.unwrap().unwrap().value, 3);
    pair.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_another_account_than_the_nodes_and_may_do_everything_there_reaches_nothing_of_theirs() {
    let server = NatsServer::configured(
        "accounts {
            NODES { jetstream: enabled, users: [ { user: node, password: secret } ] }
            OTHERS { jetstream: enabled, users: [ { user: other, password: secret } ] }
        }",
    );
    let node = url(&server, "node");
    let pair = Pair::at(&node, server, None).await;
    let (client, _refused) = enter(&pair.server, "other").await;
    let jetstream = async_nats::jetstream::new(client.clone());
    let subjects = vec!["evenfold.c.>".to_owned(), "$KV.evenfold_c.>".to_owned()];
    let config = async_nats::jetstream::stream::Config { name: "spy".to_owned(), subjects, ..Default::default() };
    let mut spy = jetstream.create_stream(config).await.unwrap();
    for value in 1..=10 {
        assert_eq!((pair.a.increment("x").await, pair.b.increment("x").await), (2 * value - 1, 2 * value));
    }
    assert!(jetstream.delete_stream("KV_evenfold_c").await.is_err());
    for subject in ["evenfold.c.node.a", "evenfold.c.topic.changes", "$KV.evenfold_c.a"] {
        jetstream.publish(subject, "x".into()).await.unwrap().await.unwrap();
    }
    assert_eq!(spy.info().await.unwrap().state.messages, 3, "its own, and nothing of the nodes");
    pair.is_whole().await;
    assert_eq!((pair.a.increment("x").await, pair.b.increment("x").await), (21, 22));
    assert_eq!(pair.a.nats.refused() + pair.b.nats.refused(), 0);
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
