//! Who is a member, by the paused clock: nothing here takes real time, and every interval is exact.

use super::nodes::{Echo, id, join, sees, try_join};
use evenfold_cluster::local::{Cut, Network};
use evenfold_cluster::{Cluster, ClusterOptions, Ended, JoinError, NotSent, PeerError};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn nodes_that_join_see_each_other_and_agree_who_owns_what() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    assert_eq!(a.view().members(), [id("a")]);
    let (b, _) = join(&network, "b").await;
    let (c, _) = join(&network, "c").await;
    for node in [&a, &b, &c] {
        sees(node, &["a", "b", "c"]).await;
        assert_eq!(node.view(), a.view());
        assert!(node.view().owned_by(node.id()).count() > 5, "each has a share of the 64");
    }
    let answer = a.ask(&id("c"), "how much?".to_owned(), Duration::from_secs(1)).await;
    assert_eq!(answer.as_deref(), Ok("c answers a: how much?"));
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_is_gone_at_once_and_gives_its_own_shards_alone() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, _) = join(&network, "b").await;
    let (c, _) = join(&network, "c").await;
    sees(&a, &["a", "b", "c"]).await;
    let (before, left) = (a.view(), Instant::now());
    c.leave().await;
    for node in [&a, &b] {
        sees(node, &["a", "b"]).await;
    }
    assert!(left.elapsed() < Duration::from_millis(100), "{:?}", left.elapsed());
    let after = a.view();
    for shard in 0..64 {
        assert!(before.owner(shard) == after.owner(shard) || *before.owner(shard) == id("c"));
    }
    assert_eq!((c.ended().await, c.is_certain()), (Ended::Left, false));
    let error = a.ask(&id("c"), "there?".to_owned(), Duration::from_secs(1)).await;
    assert_eq!(error, Err(PeerError::NotSent(NotSent::NoSuchNode(id("c")))));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_silent_is_noticed_within_3_seconds_and_not_before_2() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, _) = join(&network, "b").await;
    sees(&a, &["a", "b"]).await;
    drop(b);
    let killed = Instant::now();
    sees(&a, &["a"]).await;
    let noticed = killed.elapsed();
    assert!(noticed > Duration::from_millis(1_400) && noticed < Duration::from_secs(3), "{noticed:?}");
    let (_b, _) = join(&network, "b").await;
    sees(&a, &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_keeps_its_view_and_is_uncertain_before_others_own_its_shards() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, endpoint) = join(&network, "b").await;
    sees(&b, &["a", "b"]).await;
    sleep(Duration::from_secs(3)).await;
    assert!(a.is_certain() && b.is_certain());
    endpoint.cut(Cut::Everything);
    while b.is_certain() {
        assert_eq!(a.view().members().len(), 2, "nobody takes over while it is certain");
        advance(Duration::from_millis(10)).await;
    }
    sees(&a, &["a"]).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(b.view().members(), [id("a"), id("b")], "it does not take the others for dead");
    endpoint.cut(Cut::Nothing);
    sees(&a, &["a", "b"]).await;
    sleep(Duration::from_secs(1)).await;
    assert!(b.is_certain());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(b.view().members(), [id("a"), id("b")]);
}

#[tokio::test(start_paused = true)]
async fn one_that_joins_takes_no_silent_node_for_absent_that_may_be_certain_yet() {
    let network = Network::new();
    let (a, endpoint) = join(&network, "a").await;
    endpoint.cut(Cut::Everything);
    assert!(a.is_certain());
    let (b, _) = join(&network, "b").await;
    assert!(!a.is_certain(), "what the new node owns now was this one's");
    assert_eq!(b.view().members(), [id("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_with_a_name_is_refused_while_the_first_lives() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let refused = try_join(&network.endpoint(), "a").await;
    assert_eq!(refused.err(), Some(JoinError::AlreadyRunning(id("a"))));
    assert!(timeout(Duration::from_secs(5), a.ended()).await.is_err(), "the first goes on");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_paused_and_replaced_ends_with_a_sentence() {
    let network = Network::new();
    let (paused, endpoint) = join(&network, "a").await;
    endpoint.cut(Cut::Everything);
    let (_second, _) = join(&network, "a").await;
    endpoint.cut(Cut::Nothing);
    let ended = timeout(Duration::from_secs(5), paused.ended()).await.unwrap();
    assert_eq!(ended, Ended::Superseded(id("a")));
    assert!(!paused.is_certain());
}

#[tokio::test(start_paused = true)]
async fn one_whose_heartbeats_are_not_acknowledged_is_uncertain_although_the_others_hear_them() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, endpoint) = join(&network, "b").await;
    sees(&a, &["a", "b"]).await;
    sleep(Duration::from_secs(3)).await;
    endpoint.cut(Cut::Answers);
    let cut = Instant::now();
    while b.is_certain() {
        advance(Duration::from_millis(10)).await;
    }
    let uncertain = cut.elapsed();
    // The last heartbeat that was acknowledged was sent up to one interval before the cut.
    assert!(uncertain > Duration::from_millis(900) && uncertain <= Duration::from_millis(1_510), "{uncertain:?}");
    endpoint.cut(Cut::Nothing);
    sleep(Duration::from_secs(2)).await;
    assert!(b.is_certain(), "its record had gone on without it, and it has found that out");
    sees(&a, &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dead_and_goes_on_asking_is_not_known_again_before_it_beats() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, endpoint) = join(&network, "b").await;
    sees(&a, &["a", "b"]).await;
    endpoint.cut(Cut::Answers);
    sees(&a, &["a"]).await;
    let (mut views, mut known) = (a.watch(), a.membership().known());
    views.mark_unchanged();
    known.mark_unchanged();
    // What it sends arrives.
    for _ in 0..20 {
        b.ask(&id("a"), "anybody?".to_owned(), Duration::from_millis(200)).await.unwrap_err();
        let asked = Instant::now();
        a.membership().meet_all().await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO, "it is known to be dead");
    }
    assert!(known.borrow().nodes().next().is_none());
    assert!(!views.has_changed().unwrap() && !known.has_changed().unwrap());
    endpoint.cut(Cut::Nothing);
    sees(&a, &["a", "b"]).await;
    sees(&b, &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn records_that_are_lost_are_written_again_and_nobody_is_taken_for_dead() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, _) = join(&network, "b").await;
    sees(&a, &["a", "b"]).await;
    sees(&b, &["a", "b"]).await;
    let changes = a.metrics().view_changes + b.metrics().view_changes;
    network.forget();
    sleep(Duration::from_secs(10)).await;
    assert!(a.is_certain() && b.is_certain());
    assert_eq!(a.metrics().view_changes + b.metrics().view_changes, changes);
}

#[tokio::test(start_paused = true)]
async fn one_that_announces_its_leaving_owns_nothing_and_still_answers() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, _) = join(&network, "b").await;
    sees(&a, &["a", "b"]).await;
    b.announce_leaving().await;
    sees(&a, &["a"]).await;
    sees(&b, &["a"]).await;
    assert!(a.ask(&id("b"), "there?".to_owned(), Duration::from_secs(1)).await.is_ok());
    b.leave().await;
    a.announce_leaving().await;
    assert_eq!(a.view().owned_by(&id("a")).count(), 64, "nobody else is there");
}

#[tokio::test(start_paused = true)]
async fn one_with_another_number_of_shards_or_impossible_times_is_refused_with_a_sentence() {
    let network = Network::new();
    let (_a, _) = join(&network, "a").await;
    let join = async |options| {
        Cluster::join(Arc::new(network.endpoint()), id("b"), options, Echo(id("b"))).await.err().map(|e| e.to_string())
    };
    let shards = ClusterOptions::default().shards(NonZeroU32::new(32).unwrap());
    assert!(join(shards).await.is_some_and(|sentence| sentence.contains("start this one with 64")));
    let times = ClusterOptions::default().dead_after(Duration::from_secs(1));
    assert!(join(times).await.is_some_and(|sentence| sentence.contains("make it longer")));
}
