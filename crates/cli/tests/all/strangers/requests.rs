//! Requests and answers of strangers.

use super::wire::{Pair, Recording, SECRET, frame, increment, node_id, send, transport};
use crate::support::{SOON, wait_until};
use bytes::Bytes;
use evenfold_cluster::Transport;
use futures_util::StreamExt;
use std::time::Duration;

const LIMIT: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_secret_or_another_one_counts_nothing_over_a_nodes_subjects() {
    let pair = Pair::start(Some(SECRET)).await;
    let client = pair.stranger().await;
    let recording = Recording::start(&client).await;
    for n in 0..10 {
        assert_eq!(pair.b.increment(&format!("c{n}")).await, 1);
    }
    let forged = || frame(2, "b", 60_000, (0..10).map(|n| increment(&format!("c{n}"), 1_000)));
    for secret in [None, Some("a guess at the secret")] {
        let stranger = transport(&pair.server.url(), secret).await;
        for to in ["a", "b"] {
            let answer = stranger.request(&node_id(to), forged(), LIMIT).await;
            assert!(answer.as_ref().is_err_and(evenfold_cluster::transport::RequestError::not_handled), "{answer:?}");
        }
    }
    // Without the library: to the subject of each node, and to those of their sessions, which can be seen.
    let mut subjects: Vec<String> = recording.with(".node.").iter().map(|seen| seen.subject.to_string()).collect();
    subjects.sort();
    subjects.dedup();
    assert!(subjects.iter().any(|subject| subject.split('.').count() == 5), "a session was seen: {subjects:?}");
    let before = pair.a.nats.refused() + pair.b.nats.refused();
    for subject in &subjects {
        for protocol in [1, 2] {
            let plain = frame(protocol, "b", 60_000, [increment("c0", 1_000)]);
            send(&client, subject, Some("evenfold.c.inbox.x"), plain).await;
        }
    }
    let refused = async || pair.a.nats.refused() + pair.b.nats.refused() >= before + 2 * subjects.len() as u64;
    wait_until("all are refused", SOON, refused).await;
    for n in 0..10 {
        assert_eq!(pair.a.get(&format!("c{n}")).await, (1, 1), "c{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_a_stranger_in_the_queue_group_replace_no_true_one_and_swallow_no_request() {
    let pair = Pair::start(Some(SECRET)).await;
    let client = pair.stranger().await;
    let recording = Recording::start(&client).await;
    let mut requests = client.queue_subscribe("evenfold.c.node.>", "node".to_owned()).await.unwrap();
    client.flush().await.unwrap();
    let answering = tokio::spawn({
        let client = client.clone();
        async move {
            while let Some(message) = requests.next().await {
                let Some(reply) = message.reply else { continue };
                // As such a node would answer that has no seal; something else; the request itself; and what was
                // answered before.
                let plain = Bytes::from_static(&[1, 0, 0, 0, 0, 0, 5, 0, 0, 200, 10, 40]);
                let mut forged = vec![plain, Bytes::from_static(b"?"), Bytes::new(), message.payload];
                forged.extend(recording.with(".inbox.").last().map(|seen| seen.payload.clone()));
                for forged in forged {
                    send(&client, &reply, None, forged).await;
                }
                client.flush().await.unwrap();
            }
        }
    });
    for value in 1..=40 {
        for name in ["x", "y", "z"] {
            assert_eq!(pair.a.increment(name).await, 2 * value - 1, "{name}");
            assert_eq!(pair.b.increment(name).await, 2 * value, "{name}");
        }
    }
    assert!(pair.a.nats.refused() + pair.b.nats.refused() > 100, "the forged answers were there");
    answering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_in_the_servers_place_that_nobody_is_there_has_no_request_sent_twice() {
    let pair = Pair::start(Some(SECRET)).await;
    let client = pair.stranger().await;
    // Requests, and the greetings by which they are looked at again.
    let mut requests = client.subscribe("evenfold.c.node.>").await.unwrap();
    client.flush().await.unwrap();
    let denying = tokio::spawn({
        let url = pair.server.url();
        async move {
            let mut raw = RawClient::connect(&url).await;
            while let Some(message) = requests.next().await {
                raw.nobody(&message.reply.unwrap()).await;
            }
        }
    });
    // Those that come before the answer are taken in: then it is unknown whether the request was handled.
    let (mut counted, mut unknown) = (0, 0);
    wait_until("some forgeries come before the answers", SOON, async || {
        for member in [&pair.a, &pair.b] {
            match member.node.increment(&super::wire::counter("x"), 1, None).await {
                Ok(_) => counted += 1,
                Err(_) => unknown += 1,
            }
        }
        unknown >= 50
    })
    .await;
    denying.abort();
    // The last forgery may come for this.
    let mut value = None;
    wait_until("it is read", SOON, async || {
        value = pair.a.node.get(&super::wire::counter("x")).await.ok().map(|counted| counted.value);
        value.is_some()
    })
    .await;
    let value = value.unwrap();
    assert!(value >= counted && value <= counted + unknown, "{value} of {counted} answered and {unknown} unknown");
}

/// Speaks NATS itself: no client sends what only the server does.
struct RawClient(tokio::net::TcpStream);

impl RawClient {
    async fn connect(url: &str) -> Self {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(url.trim_start_matches("nats://")).await.unwrap();
        stream
            .write_all(b"CONNECT {\"headers\":true,\"no_responders\":true,\"verbose\":false}\r\nPING\r\n")
            .await
            .unwrap();
        Self(stream)
    }

    /// To this request, and to the next ones, whose answers are numbered.
    async fn nobody(&mut self, reply: &str) {
        use tokio::io::AsyncWriteExt;
        let status = "NATS/1.0 503\r\n\r\n";
        let (inbox, number) = reply.rsplit_once('.').unwrap();
        let number: u64 = number.parse().unwrap();
        let to = |number| format!("HPUB {inbox}.{number} {0} {0}\r\n{status}\r\n", status.len());
        let messages: String = (number..number + 4).map(to).collect();
        self.0.write_all(messages.as_bytes()).await.unwrap();
    }
}
