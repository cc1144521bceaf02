//! Counters through everything: nodes that are killed, stopped, cut off, replaced, and servers that start again, while
//! clients count. In the end an oracle knows whether each answered increment was counted, and every other one once at
//! most.

mod cluster;
mod lost;
mod volatile;

use crate::server::Server;
use cluster::{Cluster, counted};
use evenfold::database::Database;
use evenfold::schema::{self, Schema};
use evenfold_testkit::TestDb;
use evenfold_testkit::oracle::{Load, Plan};
use evenfold_testkit::proxy::Wire;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_killed_costs_seconds_and_no_count() {
    let db = TestDb::new().await;
    let mut cluster = Cluster::start(3, &db.url).await;
    let load = Load::start(&cluster.places, Plan::default());
    for (victim, other) in [(0, 1), (1, 2), (2, 0)] {
        counted(&load, 200).await;
        let since = Instant::now();
        cluster.kill(victim);
        cluster.takes_ownership(other, 2, &load, since).await;
        cluster.spawn(victim);
        cluster.whole().await;
    }
    cluster.prove(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_paused_answers_no_stale_read_when_it_wakes() {
    let db = TestDb::new().await;
    let mut cluster = Cluster::start(3, &db.url).await;
    let load = Load::start(&cluster.places, Plan::default());
    for (victim, other, pause) in [(0, 1, 1), (1, 2, 6), (2, 0, 6)] {
        counted(&load, 200).await;
        let (since, pause) = (Instant::now(), Duration::from_secs(pause));
        cluster.signal(victim, Signal::SIGSTOP);
        if pause > Duration::from_secs(5) {
            cluster.takes_ownership(other, 2, &load, since).await;
        }
        sleep(pause.saturating_sub(since.elapsed())).await;
        cluster.signal(victim, Signal::SIGCONT);
        counted(&load, 200).await;
        cluster.whole().await;
    }
    cluster.prove(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_nats_server_that_starts_again_or_is_away_costs_no_count() {
    let db = TestDb::new().await;
    let mut cluster = Cluster::start(3, &db.url).await;
    let load = Load::start(&cluster.places, Plan::default());
    counted(&load, 200).await;
    tokio::task::block_in_place(|| cluster.nats.restart());
    counted(&load, 200).await;
    cluster.whole().await;
    tokio::task::block_in_place(|| cluster.nats.kill());
    sleep(Duration::from_secs(5)).await;
    tokio::task::block_in_place(|| cluster.nats.restart());
    counted(&load, 200).await;
    cluster.prove(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_cut_off_from_nats_costs_no_count() {
    let db = TestDb::new().await;
    let mut cluster = Cluster::of(3, &db.url);
    let wire = cluster.wire_to_nats(0).await;
    cluster.start_all().await;
    let load = Load::start(&cluster.places, Plan::default());
    for spoilt in [Wire::Cut, Wire::Silent, Wire::Deaf, Wire::Slow(Duration::from_millis(100))] {
        counted(&load, 100).await;
        let since = Instant::now();
        wire.set(spoilt);
        if !matches!(spoilt, Wire::Slow(_)) {
            cluster.takes_ownership(1, 2, &load, since).await;
        }
        counted(&load, 100).await;
        sleep(Duration::from_secs(4).saturating_sub(since.elapsed())).await;
        wire.set(Wire::Whole);
        cluster.whole().await;
    }
    cluster.prove(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_is_cut_off_from_the_database_costs_no_count() {
    let db = TestDb::new().await;
    let mut cluster = Cluster::of(3, &db.url);
    let wire = cluster.wire_to_database(0).await;
    cluster.start_all().await;
    let load = Load::start(&cluster.places, Plan::default());
    let seconds = [
        (Wire::Cut, 3),
        (Wire::Silent, 2),
        (Wire::Silent, 7),
        (Wire::Deaf, 7),
        (Wire::Slow(Duration::from_millis(20)), 3),
    ];
    for (spoilt, seconds) in seconds {
        counted(&load, 100).await;
        wire.set(spoilt);
        sleep(Duration::from_secs(seconds)).await;
        wire.set(Wire::Whole);
    }
    counted(&load, 100).await;
    cluster.prove(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_crashes_costs_no_count() {
    let server = tokio::task::block_in_place(Server::start);
    let database = Database::at(&server.url).unwrap();
    schema::migrate(&Schema::default(), &mut database.connect_to_server().await.unwrap().0).await.unwrap();
    let cluster = Cluster::start(3, &server.url).await;
    let load = Load::start(&cluster.places, Plan::default());
    for _ in 0..3 {
        counted(&load, 200).await;
        server.crash().await;
    }
    counted(&load, 200).await;
    cluster.prove(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_leave_and_join_all_the_time_cost_no_count() {
    let db = TestDb::new().await;
    let mut cluster = Cluster::start(4, &db.url).await;
    let load = Load::start(&cluster.places, Plan::default());
    let started = Instant::now();
    for node in (0..4).cycle() {
        counted(&load, 100).await;
        cluster.terminate(node);
        counted(&load, 100).await;
        cluster.spawn(node);
        if started.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    cluster.prove(load).await;
}
