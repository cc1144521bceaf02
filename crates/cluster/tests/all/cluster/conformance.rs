//! What every transport promises.

use super::connectors::{Connector, over_both};
use super::nodes::{LIMIT, id};
use crate::support::{SOON, wait_until};
use bytes::Bytes;
use evenfold_cluster::Transport;
use evenfold_cluster::transport::{Delivery, RequestError, Requests, WriteError};
use futures_util::{FutureExt, StreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

over_both!(
    a_request_is_answered_by_the_node_that_it_is_for,
    requests_are_on_their_way_at_the_same_time,
    a_request_to_nobody_was_certainly_not_handled,
    without_an_answer_the_limit_holds_and_it_may_have_been_handled,
    a_frame_of_the_largest_size_arrives_and_a_larger_one_is_refused,
    of_two_that_serve_a_node_one_gets_a_request,
    messages_of_a_sender_come_in_their_order_to_all_subscribers,
    a_subscriber_that_falls_behind_is_notified_and_goes_on,
    a_record_is_written_over_the_expected_revision_alone,
    writes_are_seen_and_nodes_with_records_are_listed,
);

/// Answers with its name and what it was asked.
async fn echo(mut requests: Requests, name: &'static str) {
    while let Some(request) = requests.next().await {
        let answer = [name.as_bytes(), b": ", &request.frame].concat();
        request.reply.send(answer.into()).await;
    }
}

async fn a_request_is_answered_by_the_node_that_it_is_for(connector: Connector) {
    let (asks, answers) = (connector.transport().await, connector.transport().await);
    let mut serving = JoinSet::new();
    serving.spawn(echo(answers.serve(&id("a")).await.unwrap(), "a"));
    serving.spawn(echo(answers.serve(&id("b")).await.unwrap(), "b"));
    serving.spawn(echo(asks.serve(&id("c")).await.unwrap(), "c"));
    for name in ["a", "b", "c"] {
        let answer = asks.request(&id(name), Bytes::from_static(b"who?"), LIMIT).await;
        assert_eq!(answer, Ok(Bytes::from(format!("{name}: who?"))));
    }
}

async fn requests_are_on_their_way_at_the_same_time(connector: Connector) {
    let (asks, answers) = (connector.transport().await, connector.transport().await);
    let requests = answers.serve(&id("a")).await.unwrap();
    let mut asking = JoinSet::new();
    for number in 0..100_u8 {
        let asks = Arc::clone(&asks);
        asking.spawn(async move { (number, asks.request(&id("a"), vec![number].into(), LIMIT).await.unwrap()) });
    }
    // None is answered before all are there, and the last comes first.
    let all: Vec<_> = requests.take(100).collect().await;
    for request in all.into_iter().rev() {
        request.reply.send(request.frame).await;
    }
    while let Some(answer) = asking.join_next().await {
        let (number, answer) = answer.unwrap();
        assert_eq!(*answer, [number]);
    }
}

async fn a_request_to_nobody_was_certainly_not_handled(connector: Connector) {
    let (asks, answers) = (connector.transport().await, connector.transport().await);
    let ask = async || asks.request(&id("a"), Bytes::from_static(b"?"), Duration::from_millis(500)).await;
    let nobody = Err(RequestError::NoSuchNode(id("a")));
    let asked = Instant::now();
    assert_eq!(ask().await, nobody);
    assert!(asked.elapsed() < Duration::from_millis(400), "it does not wait for the limit");
    let requests = answers.serve(&id("a")).await.unwrap();
    assert_eq!(ask().await.map_err(|error| error.not_handled()), Err(false));
    drop(requests);
    wait_until("it serves no more", SOON, async || ask().await == nobody).await;
}

async fn without_an_answer_the_limit_holds_and_it_may_have_been_handled(connector: Connector) {
    let (asks, answers) = (connector.transport().await, connector.transport().await);
    let a = id("a");
    let mut requests = answers.serve(&a).await.unwrap();
    let asked = Instant::now();
    let answer = asks.request(&a, Bytes::from_static(b"?"), Duration::from_millis(200)).await;
    assert!(matches!(answer, Err(RequestError::Unanswered(_))), "{answer:?}");
    assert!(asked.elapsed() >= Duration::from_millis(200) && asked.elapsed() < SOON);
    assert_eq!(requests.next().await.unwrap().frame, "?", "it was there");
    let (dropped, ()) = tokio::join!(asks.request(&a, Bytes::new(), Duration::from_millis(200)), async {
        drop(requests.next().await);
    });
    assert_eq!(dropped.map_err(|error| error.not_handled()), Err(false), "it was taken, and not answered");
}

async fn a_frame_of_the_largest_size_arrives_and_a_larger_one_is_refused(connector: Connector) {
    let (asks, answers) = (connector.transport().await, connector.transport().await);
    let a = id("a");
    let mut requests = answers.serve(&a).await.unwrap();
    let max = asks.max_frame();
    assert!(max >= 1_000_000, "{max}");
    let largest = Bytes::from(vec![7; max]);
    let (answer, ()) = tokio::join!(asks.request(&a, largest.clone(), LIMIT), async {
        let request = requests.next().await.unwrap();
        request.reply.send(request.frame).await;
    });
    assert_eq!(answer, Ok(largest));
    let error = asks.request(&a, vec![7; max + 1].into(), LIMIT).await.unwrap_err();
    assert_eq!(error, RequestError::TooLarge { bytes: max + 1, max });
    assert!(error.to_string().contains("so split it"), "{error}");
    assert!(asks.publish("t", vec![7; max + 1].into()).await.is_err());
    assert!(requests.next().now_or_never().is_none());
}

async fn of_two_that_serve_a_node_one_gets_a_request(connector: Connector) {
    let (asks, one, other) = (connector.transport().await, connector.transport().await, connector.transport().await);
    let (served, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut serving = JoinSet::new();
    for transport in [&one, &other] {
        let (mut requests, served) = (transport.serve(&id("a")).await.unwrap(), served.clone());
        serving.spawn(async move {
            while let Some(request) = requests.next().await {
                served.send(request.frame.clone()).unwrap();
                request.reply.send(request.frame).await;
            }
        });
    }
    for number in 0..50_u8 {
        asks.request(&id("a"), vec![number].into(), LIMIT).await.unwrap();
        assert_eq!(*seen.recv().await.unwrap(), [number]);
    }
    assert!(seen.try_recv().is_err(), "one came twice");
}

async fn messages_of_a_sender_come_in_their_order_to_all_subscribers(connector: Connector) {
    let (one, other) = (connector.transport().await, connector.transport().await);
    let mut subscribed = [one.subscribe("t").await.unwrap(), other.subscribe("t").await.unwrap()];
    let mut elsewhere = other.subscribe("u").await.unwrap();
    let send = async |transport: &dyn Transport, sender: u8| {
        for number in 0..200_u8 {
            transport.publish("t", vec![sender, number].into()).await.unwrap();
        }
    };
    tokio::join!(send(&*one, 0), send(&*other, 1));
    for subscribed in &mut subscribed {
        let mut next = [0_u8; 2];
        for _ in 0..400 {
            let Some(Delivery::Frame(frame)) = subscribed.next().await else { panic!("something is missing") };
            assert_eq!(frame[1], next[usize::from(frame[0])]);
            next[usize::from(frame[0])] += 1;
        }
    }
    one.publish("u", Bytes::from_static(b"last")).await.unwrap();
    assert_eq!(elsewhere.next().await, Some(Delivery::Frame(Bytes::from_static(b"last"))), "topics are apart");
}

async fn a_subscriber_that_falls_behind_is_notified_and_goes_on(connector: Connector) {
    let (one, other) = (connector.transport().await, connector.transport().await);
    let (mut slow, mut fast) = (one.subscribe("t").await.unwrap(), other.subscribe("t").await.unwrap());
    // More than may wait; the one who reads does not fall behind.
    for number in 0..3_000_u32 {
        one.publish("t", number.to_be_bytes().to_vec().into()).await.unwrap();
        assert_eq!(fast.next().await, Some(Delivery::Frame(number.to_be_bytes().to_vec().into())));
    }
    let mut received = BTreeSet::new();
    let mut missed = 0;
    let last = Bytes::from_static(b"last one");
    wait_until("the last one comes", SOON, async || {
        one.publish("t", last.clone()).await.unwrap();
        match slow.next().await.unwrap() {
            Delivery::Missed => missed += 1,
            Delivery::Frame(frame) if frame == last => return true,
            Delivery::Frame(frame) => drop(received.insert(frame)),
        }
        // All that waits is taken out first.
        while let Some(Some(delivery)) = slow.next().now_or_never() {
            match delivery {
                Delivery::Missed => missed += 1,
                Delivery::Frame(frame) => drop(received.insert(frame)),
            }
        }
        false
    })
    .await;
    assert!(received.len() >= 1_000 && received.len() < 3_000, "{}", received.len());
    assert!(missed > 0, "it was notified");
}

async fn a_record_is_written_over_the_expected_revision_alone(connector: Connector) {
    let (one, other) = (connector.transport().await, connector.transport().await);
    let node = id("a");
    assert_eq!(one.read(&node, LIMIT).await.unwrap(), None);
    let first = one.write(&node, 0, Bytes::from_static(b"1"), LIMIT).await.unwrap();
    assert!(first > 0);
    let refused = other.write(&node, 0, Bytes::from_static(b"x"), LIMIT).await;
    assert_eq!(refused, Err(WriteError::Conflict));
    let second = other.write(&node, first, Bytes::from_static(b"2"), LIMIT).await.unwrap();
    assert_eq!(one.write(&node, first, Bytes::from_static(b"x"), LIMIT).await, Err(WriteError::Conflict));
    one.write(&id("b"), 0, Bytes::from_static(b"other"), LIMIT).await.unwrap();
    let record = one.read(&node, LIMIT).await.unwrap().unwrap();
    assert_eq!((record.revision, &*record.value), (second, &b"2"[..]), "records are apart");
}

async fn writes_are_seen_and_nodes_with_records_are_listed(connector: Connector) {
    let (one, other) = (connector.transport().await, connector.transport().await);
    assert_eq!(one.nodes(LIMIT).await.unwrap(), []);
    let mut writes = other.writes().await.unwrap();
    let mut expected = BTreeSet::new();
    for name in ["a", "b-2", "C_3"] {
        one.write(&id(name), 0, Bytes::from(name), LIMIT).await.unwrap();
        expected.insert(id(name));
        assert_eq!(writes.next().await, Some((id(name), Bytes::from(name))));
    }
    let listed: BTreeSet<_> = one.nodes(LIMIT).await.unwrap().into_iter().collect();
    assert_eq!(listed, expected);
}
