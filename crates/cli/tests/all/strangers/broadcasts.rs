//! Broadcasts of strangers, and of somebody who knows the secret and errs.

use super::wire::{Member, Pair, SECRET, counter, transport};
use crate::support::SOON;
use bytes::Bytes;
use evenfold::counters::{Changes, CounterRow};
use evenfold::number::{Position, Version};
use evenfold_cluster::Transport;
use evenfold_counter_service::Watching;
use futures_util::FutureExt;
use serde::Serialize;
use std::sync::Arc;
use tokio::task::JoinSet;

/// What travels between the groups of nodes, as it is encoded.
#[derive(Serialize)]
struct Broadcast {
    from: &'static str,
    incarnation: u64,
    place: (&'static str, &'static str, &'static str),
    number: u64,
    message: Option<Arc<Changes>>,
}

/// The sealing is left to whoever publishes it.
pub(super) fn forged(number: u64, listed: &[(i64, i64)]) -> Bytes {
    let row = |&(version, value): &(i64, i64)| CounterRow {
        aggregate_type: "counter".to_owned(),
        aggregate_id: "x".to_owned(),
        events: version,
        value,
        version: Version::new(version),
        last_position: Position::new(0),
    };
    let message = Some(Arc::new(Changes::Listed(listed.iter().map(row).collect())));
    let place = ("evenfold", "counters", "changes");
    postcard::to_stdvec(&Broadcast { from: "z", incarnation: 5, place, number, message }).unwrap().into()
}

async fn watch(member: &Member) -> Watching {
    let mut watching = member.node.watch(&counter("x")).unwrap();
    watching.next().await.unwrap();
    watching
}

/// The value and the version that a watcher is given next.
async fn next(watching: &mut Watching) -> (i64, i64) {
    let given = tokio::time::timeout(SOON, watching.next()).await.expect("a value that is given soon");
    let counted = given.unwrap().unwrap();
    (counted.value, counted.version)
}

/// Increments, and makes sure that the watcher sees each value, and nothing else.
async fn true_ones_are_watched(pair: &Pair, watching: &mut Watching, values: std::ops::RangeInclusive<i64>) {
    for value in values {
        assert_eq!(pair.a.increment("x").await, value);
        assert_eq!(next(watching).await, (value, value));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_makes_no_watcher_see_anything() {
    let pair = Pair::start(Some(SECRET)).await;
    let mut watching = watch(&pair.b).await;
    true_ones_are_watched(&pair, &mut watching, 1..=3).await;
    let stranger = transport(&pair.server.url(), None).await;
    for (number, listed) in (1..).zip([(4, 666), (i64::MAX, 666), (3, 666)]) {
        stranger.publish("changes", forged(number, &[listed])).await.unwrap();
    }
    true_ones_are_watched(&pair, &mut watching, 4..=20).await;
    assert!(watching.next().now_or_never().is_none());
    assert!(pair.b.nats.refused() >= 3, "they were there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_jumps_is_read_before_a_watcher_is_given_it_and_sticks_never() {
    // Whoever knows the secret is a node; here everybody does.
    let pair = Pair::start(None).await;
    let mut watching = watch(&pair.b).await;
    true_ones_are_watched(&pair, &mut watching, 1..=3).await;
    let knows = transport(&pair.server.url(), None).await;
    for (number, listed) in (1..).zip([&[(i64::MAX, 666)][..], &[(50, 666)], &[(i64::MAX, 1), (70, 7)], &[(3, 666)]]) {
        knows.publish("changes", forged(number, listed)).await.unwrap();
    }
    true_ones_are_watched(&pair, &mut watching, 4..=20).await;
    // The next version alone is believed; it is read again as soon as another value comes for it.
    knows.publish("changes", forged(5, &[(21, 666)])).await.unwrap();
    assert_eq!(next(&mut watching).await, (666, 21));
    pair.a.increment("x").await;
    assert_eq!(next(&mut watching).await, (21, 21));
    true_ones_are_watched(&pair, &mut watching, 22..=25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_watchers_of_a_hot_counter_do_not_read_it_at_each_commit() {
    const WATCHERS: u64 = 1_000;
    const COMMITS: i64 = 200;
    let pair = Pair::start(Some(SECRET)).await;
    let handled = || pair.a.node.metrics().handled + pair.b.node.metrics().handled;
    let mut watching = JoinSet::new();
    for _ in 0..WATCHERS {
        let mut watching_one = watch(&pair.b).await;
        watching.spawn(async move { while next(&mut watching_one).await.0 < COMMITS {} });
    }
    let before = handled();
    for value in 1..=COMMITS {
        assert_eq!(pair.a.increment("x").await, value);
    }
    while let Some(watched) = watching.join_next().await {
        watched.unwrap();
    }
    let reads = handled() - before - COMMITS.unsigned_abs();
    // Some begin while changes are not passed on yet, and some fall behind: those read. One read each at each commit
    // were 200,000.
    assert!(reads < 10 * WATCHERS, "{reads}");
    println!("{WATCHERS} watchers, {COMMITS} commits: {reads} reads");
}
