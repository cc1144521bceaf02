//! True messages, which anybody can read and send again, elsewhere, or changed.

use super::wire::{CLUSTER, Member, Pair, Recording, SECRET, counter, send, send_again, transport};
use crate::support::{NatsServer, SOON, wait_until};
use bytes::Bytes;
use evenfold_cluster::Transport;
use evenfold_cluster::transport::Delivery;
use futures_util::{FutureExt, StreamExt};
use std::collections::BTreeSet;

/// Counts at both nodes, and watches at both, so that there is something of each kind to be seen; gives it.
async fn traffic(pair: &Pair) -> Recording {
    let recording = Recording::start(&pair.stranger().await).await;
    let mut watching = [pair.a.node.watch(&counter("x")).unwrap(), pair.b.node.watch(&counter("x")).unwrap()];
    for watching in &mut watching {
        watching.next().await.unwrap();
    }
    for value in 1..=20 {
        for name in ["x", "y", "z", "u", "v", "w"] {
            assert_eq!(pair.a.increment(name).await, 2 * value - 1);
            assert_eq!(pair.b.increment(name).await, 2 * value);
        }
    }
    for watching in &mut watching {
        while watching.next().await.unwrap().unwrap().value < 40 {}
    }
    for kind in [".node.", ".inbox.", ".topic.changes", ".topic.watched", "$KV"] {
        wait_until(kind, SOON, async || !recording.with(kind).is_empty()).await;
    }
    recording
}

async fn is_as_before(pair: &Pair, counted: i64) {
    pair.is_whole().await;
    assert!(pair.a.goes_on() && pair.b.goes_on());
    for name in ["x", "y", "z", "u", "v", "w"] {
        for member in [&pair.a, &pair.b] {
            assert_eq!(member.get(name).await, (counted, counted), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn true_messages_that_are_sent_again_change_no_counter_no_member_and_no_watchers_value() {
    let pair = Pair::start(Some(SECRET)).await;
    let recording = traffic(&pair).await;
    let client = pair.stranger().await;
    let mut watching = pair.b.node.watch(&counter("x")).unwrap();
    assert_eq!(watching.next().await.unwrap().unwrap().value, 40);
    let messages = recording.all();
    assert!(messages.len() > 200, "{}", messages.len());
    let before = pair.a.nats.refused() + pair.b.nats.refused();
    for _ in 0..3 {
        for message in &messages {
            send_again(&client, message).await;
        }
        client.flush().await.unwrap();
    }
    let requests = recording.with(".node.").iter().filter(|seen| seen.subject.split('.').count() == 5).count() as u64;
    let refused = async || pair.a.nats.refused() + pair.b.nats.refused() >= before + requests;
    wait_until("all requests are refused", SOON, refused).await;
    is_as_before(&pair, 40).await;
    assert!(watching.next().now_or_never().is_none(), "nothing new was watched");
    for value in 41..=45 {
        assert_eq!(pair.a.increment("x").await, value);
        assert_eq!(watching.next().await.unwrap().unwrap().value, value, "what is true is watched");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn true_messages_for_another_node_session_topic_or_cluster_are_nothing_there() {
    let (pair, other) = (Pair::start(Some(SECRET)).await, Pair::start(Some("the secret of another cluster")).await);
    let recording = traffic(&pair).await;
    let _elsewhere = traffic(&other).await;
    let (requests, topics, records) = (recording.with(".node."), recording.with(".topic."), recording.with("$KV"));
    let is_of_a_session = |subject: &str| subject.split('.').count() == 5;
    let subjects = requests.iter().map(|seen| seen.subject.to_string());
    let sessions: BTreeSet<String> = subjects.filter(|subject| is_of_a_session(subject)).collect();
    assert!(sessions.len() >= 2, "{sessions:?}");
    let client = pair.stranger().await;
    // A request goes to one node; what is on a topic or a record to both.
    let mut expected = Expected::of(&pair);
    for message in &requests {
        for subject in sessions.iter().filter(|subject| **subject != *message.subject) {
            send(&client, subject, message.reply.as_deref(), message.payload.clone()).await;
            expected.more(1);
        }
        client.flush().await.unwrap();
    }
    expected.refused("requests for another node or session", &pair).await;
    for message in &topics {
        let other = if message.subject.ends_with(".changes") { "watched" } else { "changes" };
        send(&client, &format!("evenfold.{CLUSTER}.topic.{other}"), None, message.payload.clone()).await;
        expected.more(2);
    }
    client.flush().await.unwrap();
    expected.refused("messages for another topic", &pair).await;
    for message in &records {
        let of = if message.subject.ends_with(".a") { "b" } else { "a" };
        send(&client, &format!("$KV.evenfold_{CLUSTER}.{of}"), None, message.payload.clone()).await;
        expected.more(2);
    }
    client.flush().await.unwrap();
    expected.refused("records of another node", &pair).await;
    // Sent to the other cluster, as it is. Nobody there has these sessions.
    let (elsewhere, mut expected) = (other.stranger().await, Expected::of(&other));
    for message in recording.all() {
        send_again(&elsewhere, &message).await;
    }
    elsewhere.flush().await.unwrap();
    let greetings = requests.iter().filter(|seen| !is_of_a_session(&seen.subject)).count();
    expected.more(greetings + 2 * (topics.len() + records.len()));
    expected.refused("messages of another cluster", &other).await;
    for pair in [&pair, &other] {
        is_as_before(pair, 40).await;
    }
}

/// How many messages two nodes are to refuse.
struct Expected(u64);

impl Expected {
    fn of(pair: &Pair) -> Self {
        Self(pair.a.nats.refused() + pair.b.nats.refused())
    }

    fn more(&mut self, messages: usize) {
        self.0 += messages as u64;
    }

    async fn refused(&self, which: &str, pair: &Pair) {
        let refused = async || pair.a.nats.refused() + pair.b.nats.refused() >= self.0;
        wait_until(&format!("all {which} are refused"), SOON, refused).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_an_earlier_process_are_nothing_to_the_next_one_of_that_name() {
    let mut pair = Pair::start(Some(SECRET)).await;
    let recording = traffic(&pair).await;
    let client = pair.stranger().await;
    let requests = recording.with(".node.a.");
    assert!(requests.len() > 10, "{}", requests.len());
    pair.a.node.stop().await;
    pair.a = Member::join(&pair.server.url(), "a", Some(SECRET)).await;
    is_as_before(&pair, 40).await;
    let before = requests[0].subject.clone();
    let next = async || recording.with(".node.a.").iter().any(|seen| seen.subject != before);
    wait_until("the next process is asked", SOON, next).await;
    let sessions: BTreeSet<String> = recording.with(".node.a.").iter().map(|seen| seen.subject.to_string()).collect();
    for subject in &sessions {
        for request in &requests {
            send(&client, subject, request.reply.as_deref(), request.payload.clone()).await;
        }
    }
    client.flush().await.unwrap();
    let refused = async || pair.a.nats.refused() >= requests.len() as u64;
    wait_until("all are refused", SOON, refused).await;
    is_as_before(&pair, 40).await;
}

#[tokio::test]
async fn a_broadcast_that_is_sent_again_reaches_no_subscriber_twice() {
    let server = NatsServer::start();
    let (sender, receiver) =
        (transport(&server.url(), Some(SECRET)).await, transport(&server.url(), Some(SECRET)).await);
    let client = async_nats::connect(server.url()).await.unwrap();
    let recording = Recording::start(&client).await;
    let mut subscription = receiver.subscribe("t").await.unwrap();
    for text in ["one", "two", "three"] {
        sender.publish("t", text.into()).await.unwrap();
        assert_eq!(subscription.next().await, Some(Delivery::Frame(text.into())));
        wait_until("it is recorded", SOON, async || !recording.with(".topic.t").is_empty()).await;
        for message in recording.with(".topic.t") {
            send_again(&client, &message).await;
        }
        client.flush().await.unwrap();
    }
    assert!(receiver.refused() >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_20_000_true_messages_that_were_changed_none_changes_anything() {
    let pair = Pair::start(Some(SECRET)).await;
    let recording = traffic(&pair).await;
    let client = pair.stranger().await;
    let messages = recording.all();
    let mut random = fastrand::Rng::with_seed(7);
    let before = pair.a.nats.refused() + pair.b.nats.refused();
    let mut expected = 0;
    for n in 0..20_000 {
        let message = &messages[random.usize(..messages.len())];
        let mut payload = message.payload.to_vec();
        match (random.u8(..4), payload.len()) {
            (0, 1..) => payload.truncate(random.usize(..payload.len())),
            (1, _) => payload.push(random.u8(..)),
            (2, 2..) => payload.rotate_left(1),
            (_, 1..) => payload[random.usize(..message.payload.len())] ^= 1 << random.u8(..8),
            _ => payload = vec![random.u8(..)],
        }
        send(&client, &message.subject, message.reply.as_deref(), Bytes::from(payload)).await;
        // A request goes to one node, what is on a topic or a record to both; nobody waits for those answers any more.
        expected += match message.subject.as_str() {
            subject if subject.contains(".node.") => 1,
            subject if subject.contains(".inbox.") => 0,
            _ => 2,
        };
        if n % 200 == 0 {
            // No more wait for a node than it takes: a queue that overflows loses messages, true ones too.
            client.flush().await.unwrap();
            let refused = async || pair.a.nats.refused() + pair.b.nats.refused() >= before + expected;
            wait_until(&format!("all up to the {n}th are refused"), SOON, refused).await;
            assert_eq!(pair.a.get("x").await.0, 40);
            assert_eq!(pair.b.get("y").await.0, 40);
        }
    }
    client.flush().await.unwrap();
    assert!(expected > 5_000, "{expected}");
    let refused = async || pair.a.nats.refused() + pair.b.nats.refused() >= before + expected;
    wait_until("all are refused", SOON, refused).await;
    is_as_before(&pair, 40).await;
    for name in ["x", "y", "z", "u", "v", "w"] {
        assert_eq!(pair.b.increment(name).await, 41);
    }
}
