//! What a cluster promises over NATS, which can be killed, and starts again without what it knew.

use super::connectors::Connector;
use super::nodes::{Echo, LIMIT, Node, id, sees};
use crate::support::{NatsServer, SOON, nats_url, wait_until};
use evenfold_cluster::nats::{Nats, NatsError};
use evenfold_cluster::{Cluster, ClusterOptions, JoinError};
use futures_util::future::join_all;
use std::time::{Duration, Instant};

async fn try_join(connector: &Connector, name: &str) -> Result<Node, JoinError> {
    let transport = connector.transport().await;
    Cluster::join(transport, id(name), ClusterOptions::default(), Echo(id(name))).await
}

async fn join(connector: &Connector, name: &str) -> Node {
    try_join(connector, name).await.unwrap()
}

#[tokio::test]
async fn nodes_join_ask_each_other_and_leave_at_once() {
    let connector = Connector::nats();
    let (a, b) = (join(&connector, "a").await, join(&connector, "b").await);
    let c = join(&connector, "c").await;
    for node in [&a, &b, &c] {
        sees(node, &["a", "b", "c"]).await;
    }
    assert_eq!(a.view(), c.view());
    let answer = a.ask(&id("c"), "who?".to_owned(), LIMIT).await;
    assert_eq!(answer.as_deref(), Ok("c answers a: who?"));
    let left = Instant::now();
    c.leave().await;
    sees(&a, &["a", "b"]).await;
    sees(&b, &["a", "b"]).await;
    assert!(left.elapsed() < Duration::from_millis(1_500), "{:?}", left.elapsed());
}

/// To the server the bucket of one overlaps with that of another until it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_the_first_of_their_cluster_at_the_same_time_all_connect() {
    for _ in 0..20 {
        // Its first bucket takes it longest.
        let server = NatsServer::start();
        let url = server.url();
        let connecting = (0..16).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Nats::connect(&url, id("c")).await.map(drop) })
        });
        for connected in join_all(connecting).await {
            assert_eq!(connected.unwrap(), Ok(()));
        }
    }
}

#[tokio::test]
async fn one_that_dies_is_noticed_within_3_seconds_and_its_name_is_free_again() {
    let connector = Connector::nats();
    let (a, b) = (join(&connector, "a").await, join(&connector, "b").await);
    sees(&a, &["a", "b"]).await;
    assert_eq!(try_join(&connector, "b").await.err(), Some(JoinError::AlreadyRunning(id("b"))));
    let killed = Instant::now();
    drop(b);
    sees(&a, &["a"]).await;
    let noticed = killed.elapsed();
    assert!(noticed > Duration::from_millis(1_400) && noticed < Duration::from_secs(3), "{noticed:?}");
    let _b = join(&connector, "b").await;
    sees(&a, &["a", "b"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_that_is_killed_and_starts_again_empty_is_survived_and_nobody_is_taken_for_dead() {
    let mut server = NatsServer::start();
    let connector = Connector::nats_at(&server.url());
    let (a, b) = (join(&connector, "a").await, join(&connector, "b").await);
    sees(&a, &["a", "b"]).await;
    sees(&b, &["a", "b"]).await;
    let changes = [a.metrics().view_changes, b.metrics().view_changes];
    server.kill();
    wait_until("nobody is certain", SOON, async || !a.is_certain() && !b.is_certain()).await;
    assert!(a.ask(&id("b"), "there?".to_owned(), Duration::from_millis(100)).await.is_err());
    // Longer than after which a node is dead.
    let killed = Instant::now();
    wait_until("some time has gone by", SOON, async || killed.elapsed() > Duration::from_secs(3)).await;
    server.restart();
    wait_until("both are certain again", SOON, async || a.is_certain() && b.is_certain()).await;
    let answer = a.ask(&id("b"), "there?".to_owned(), LIMIT).await;
    assert_eq!(answer.as_deref(), Ok("b answers a: there?"));
    let back = Instant::now();
    wait_until("some time has gone by", SOON, async || back.elapsed() > Duration::from_secs(3)).await;
    assert_eq!([a.metrics().view_changes, b.metrics().view_changes], changes, "the views were kept");
    // And it goes on as before.
    let _c = join(&connector, "c").await;
    sees(&a, &["a", "b", "c"]).await;
}

#[tokio::test]
async fn clusters_with_other_names_share_a_nats_and_know_nothing_of_each_other() {
    let (one, other) = (Connector::nats(), Connector::nats());
    let (a, b) = (join(&one, "a").await, join(&other, "b").await);
    let same_name = join(&other, "a").await;
    sees(&b, &["a", "b"]).await;
    assert_eq!(a.view().members(), [id("a")]);
    assert!(a.ask(&id("b"), "there?".to_owned(), LIMIT).await.is_err());
    same_name.leave().await;
    sees(&b, &["b"]).await;
    assert!(a.is_certain());
}

#[tokio::test]
async fn an_address_where_nobody_answers_or_that_is_none_gets_a_sentence_without_a_password() {
    let error = async |url: &str| Nats::connect(url, id("c")).await.unwrap_err();
    let nobody = error("nats://me:secret@127.0.0.1:1").await;
    assert!(matches!(nobody, NatsError::NoServer(..)), "{nobody}");
    assert!(
        nobody.to_string().contains("nats-server -js -a 127.0.0.1") && !nobody.to_string().contains("secret"),
        "{nobody}"
    );
    assert!(matches!(error("http://host").await, NatsError::Address(_)));
    let host = nats_url().trim_start_matches("nats://");
    assert!(Nats::connect(&format!("nats://me:secret@{host}"), id("c")).await.is_ok());
}
