//! Requests for one node travel together, and each has an answer of its own.

use super::connectors::Connector;
use super::nodes::{Echo, LIMIT, Node, id, join, sees};
use evenfold_cluster::local::{Cut, Network};
use evenfold_cluster::{Answer, Cluster, ClusterOptions, NodeId, NotSent, PeerError};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test(start_paused = true)]
async fn what_waits_together_travels_together_and_everybody_gets_his_own_answer() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (_b, _) = join(&network, "b").await;
    let mut asking = JoinSet::new();
    for number in 0..2_000 {
        let a = a.clone();
        asking.spawn(async move {
            let question = number.to_string();
            let answer = a.ask(&id("b"), question.clone(), LIMIT).await;
            assert_eq!(answer, Ok(format!("b answers a: {question}")));
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let metrics = a.metrics();
    assert_eq!((metrics.requests, metrics.sent, metrics.largest_batch), (2_000, 2_000, 256));
    assert!(metrics.batches < 40, "{metrics:?}");
}

#[tokio::test(start_paused = true)]
async fn large_requests_share_a_frame_only_as_far_as_they_fit_and_one_that_never_fits_is_refused() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (_b, _) = join(&network, "b").await;
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let a = a.clone();
        asking.spawn(async move { a.ask(&id("b"), "x".repeat(400_000), LIMIT).await.map(|answer| answer.len()) });
    }
    let mut answers = 0;
    while let Some(asked) = asking.join_next().await {
        // Of two in one frame, the answers fit as well.
        assert!(asked.unwrap().is_ok_and(|length| length > 400_000));
        answers += 1;
    }
    assert_eq!(answers, 10);
    assert!(a.metrics().batches >= 5 && a.metrics().largest_batch <= 2, "{:?}", a.metrics());
    let error = a.ask(&id("b"), "x".repeat(1_000_000), LIMIT).await.unwrap_err();
    assert!(matches!(error, PeerError::NotSent(NotSent::TooLarge { .. })) && error.to_string().contains("split it"));
}

#[tokio::test(start_paused = true)]
async fn one_answer_that_panics_or_does_not_come_is_reported_and_harms_no_other() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, endpoint) = join(&network, "b").await;
    let ask = async |question: &str| a.ask(&id("b"), question.to_owned(), Duration::from_secs(1)).await;
    let (panics, answered) = tokio::join!(ask("panic"), ask("fine"));
    assert!(matches!(panics, Err(PeerError::Unanswered { .. })), "{panics:?}");
    assert!(answered.is_ok(), "{answered:?}");
    assert!(b.ask(&id("a"), "fine".to_owned(), LIMIT).await.is_ok(), "the node goes on");
    endpoint.cut(Cut::Everything);
    let lost = ask("lost").await;
    assert!(matches!(lost, Err(PeerError::Unanswered { .. })), "{lost:?}");
}

/// Answers never.
#[derive(Clone)]
struct Silent;

impl Answer<String, String> for Silent {
    async fn answer(&self, _from: &NodeId, _question: String) -> String {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_never_sent_is_known_not_to_be_handled_and_a_full_queue_refuses() {
    let network = Network::new();
    let options = ClusterOptions::default().queue(4).batch(1).in_flight(1);
    let a: Node = Cluster::join(Arc::new(network.endpoint()), id("a"), options, Echo(id("a"))).await.unwrap();
    let _b: Node = Cluster::join(Arc::new(network.endpoint()), id("b"), options, Silent).await.unwrap();
    let ask = |limit| {
        let a = a.clone();
        async move { a.ask(&id("b"), "?".to_owned(), Duration::from_secs(limit)).await }
    };
    let (first, second) = tokio::join!(ask(10), ask(1));
    assert!(matches!(first, Err(PeerError::Unanswered { .. })), "it was sent: {first:?}");
    assert_eq!(second, Err(PeerError::NotSent(NotSent::TooLate(id("b")))), "it waited behind the first");
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        asking.spawn(ask(1));
    }
    let mut busy = 0;
    while let Some(asked) = asking.join_next().await {
        busy += u32::from(asked.unwrap() == Err(PeerError::NotSent(NotSent::Busy(id("b")))));
    }
    assert!(busy >= 14, "4 wait, and at most 2 are on their way: {busy}");
}

/// How many requests were answered per second, by 64 who ask one after the other.
async fn rate<F: Future<Output = ()> + Send + 'static>(ask: impl Fn() -> F + Clone + Send + 'static) -> f64 {
    let (each, started) = (150, Instant::now());
    let mut asking = JoinSet::new();
    for _ in 0..64 {
        let ask = ask.clone();
        asking.spawn(async move {
            for _ in 0..each {
                ask().await;
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    f64::from(64 * each) / started.elapsed().as_secs_f64()
}

/// The figures are printed; what is promised is that frames are shared, as a rate depends on whatever else the machine
/// does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_over_nats_share_frames() {
    let connector = Connector::nats();
    let [one, other] = [connector.transport().await, connector.transport().await];
    let options = ClusterOptions::default();
    let a: Node = Cluster::join(Arc::clone(&one), id("a"), options, Echo(id("a"))).await.unwrap();
    let _b: Node = Cluster::join(Arc::clone(&other), id("b"), options, Echo(id("b"))).await.unwrap();
    sees(&a, &["a", "b"]).await;
    let mut requests = other.serve(&id("plain")).await.unwrap();
    let plain_server = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            tokio::spawn(request.reply.send(request.frame));
        }
    });
    for round in 0..3 {
        let asks = a.clone();
        let batched = rate(move || {
            let a = asks.clone();
            async move { drop(a.ask(&id("b"), "?".to_owned(), LIMIT).await.unwrap()) }
        })
        .await;
        let asks = Arc::clone(&one);
        let plain = rate(move || {
            let one = Arc::clone(&asks);
            async move { drop(one.request(&id("plain"), "?".into(), LIMIT).await.unwrap()) }
        })
        .await;
        eprintln!("round {round}: {batched:.0}/s in batches, {plain:.0}/s one by one: {:.2} times", batched / plain);
    }
    let metrics = a.metrics();
    assert!(metrics.sent > 2 * metrics.batches, "{metrics:?}");
    plain_server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_asked_while_a_node_leaves_nothing_is_left_unanswered() {
    for round in 0..30 {
        let network = Network::new();
        let ((asking, _), (leaving, _)) = (join(&network, "a").await, join(&network, "b").await);
        let ask = |_| {
            let (asking, to) = (asking.clone(), leaving.id().clone());
            tokio::spawn(async move {
                loop {
                    match asking.ask(&to, "hello".to_owned(), LIMIT).await {
                        Ok(_) => {}
                        Err(PeerError::NotSent(NotSent::NoSuchNode(_))) => return Ok(()),
                        Err(PeerError::NotSent(_)) => tokio::task::yield_now().await,
                        Err(error @ PeerError::Unanswered { .. }) => return Err(error),
                    }
                }
            })
        };
        let askers: Vec<_> = (0..32).map(ask).collect();
        leaving.leave().await;
        for asker in askers {
            assert_eq!(asker.await.unwrap(), Ok(()), "round {round}");
        }
        asking.leave().await;
    }
}
