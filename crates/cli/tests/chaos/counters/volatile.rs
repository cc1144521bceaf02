//! Counters in memory only: processes that join and leave at the same time, over NATS, and none is killed.

use super::cluster::{Cluster, counted};
use evenfold_testkit::Client;
use evenfold_testkit::SOON;
use evenfold_testkit::oracle::connection::CounterAnswer;
use evenfold_testkit::oracle::ledger::Acknowledged;
use evenfold_testkit::oracle::{Ledger, Load, Plan, name};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const COUNTERS: u32 = 5_000;

/// How many connections count and read them.
const CONNECTIONS: u32 = 16;

/// What becomes of all counters when each has one request: what they stand at.
async fn each(address: SocketAddr, counters: u32, increment: bool) -> BTreeMap<u32, CounterAnswer> {
    let mut asking = JoinSet::new();
    for connection in 0..CONNECTIONS {
        asking.spawn(async move {
            let (mut client, mut all) = (Client::connect(address).await, Vec::new());
            for counter in (connection..counters).step_by(CONNECTIONS as usize) {
                let path = format!("/counter/{}", name(counter));
                let reply = if increment {
                    client.post(&format!("{path}/increment"), "{\"amount\":1}").await
                } else {
                    client.get(&path).await
                };
                assert_eq!(reply.status, 200, "{reply:?}");
                all.push((counter, serde_json::from_str::<CounterAnswer>(&reply.body).unwrap()));
            }
            all
        });
    }
    asking.join_all().await.into_iter().flatten().collect()
}

/// One node that has counted all of them to 1, of a cluster of more.
async fn one_that_has_counted(nodes: usize) -> Cluster {
    let mut cluster = Cluster::volatile(nodes);
    for node in 0..nodes {
        // Each has a place from the beginning on, also one that is not there yet.
        cluster.places.set(node, SocketAddr::from(([127, 0, 0, 1], 1)));
    }
    cluster.spawn(0);
    cluster.whole().await;
    each(cluster.address(0), COUNTERS, true).await;
    cluster
}

fn all_at(value: i64) -> BTreeMap<u32, CounterAnswer> {
    (0..COUNTERS).map(|counter| (counter, CounterAnswer { value, version: value })).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_that_join_at_once_have_all_counters_of_an_earlier_one_and_the_last_that_stays_has_all() {
    let mut cluster = one_that_has_counted(4).await;
    cluster.change(&[1, 2, 3], &[]);
    for node in 0..4 {
        // Not even ready yet, they answer no 0.
        assert_eq!(each(cluster.address(node), COUNTERS, false).await, all_at(1), "at node {node}");
    }
    cluster.whole().await;
    assert_eq!(each(cluster.address(2), COUNTERS, true).await, all_at(2));
    cluster.change(&[], &[0, 3]);
    assert_eq!(each(cluster.address(1), COUNTERS, false).await, all_at(2));
    cluster.change(&[0], &[2]);
    cluster.change(&[], &[1]);
    assert_eq!(each(cluster.address(0), COUNTERS, true).await, all_at(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn joins_and_leaves_at_once_lose_no_count_in_memory_and_answer_none_twice() {
    let mut cluster = one_that_has_counted(4).await;
    let plan = Plan { keys: false, counters: COUNTERS, ..Plan::default() };
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let (load, started) = (Load::start(&cluster.places, plan), Instant::now());
    while started.elapsed() < Duration::from_secs(20) {
        counted(&load, 200).await;
        let (mut ending, starting) = (cluster.living(), absent(&cluster));
        random.shuffle(&mut ending);
        ending.truncate(random.usize(0..ending.len()));
        println!("{starting:?} start, {ending:?} end");
        cluster.change(&starting, &ending);
    }
    counted(&load, 200).await;
    cluster.whole().await;
    let ledger = load.stop(SOON).await;
    let mut wrong = Vec::new();
    for node in cluster.living() {
        let last = each(cluster.address(node), COUNTERS, false).await;
        wrong.extend(judge(&ledger, &last));
    }
    let (known, maybes) = (ledger.acknowledged.len(), ledger.maybes.len());
    let answered = format!("acknowledged: {known}, not known: {maybes}, refused: {}", ledger.refused);
    println!("{answered}");
    assert!(wrong.is_empty(), "{} are wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    assert!(known > 1_000 && maybes * 20 < known, "hardly anything was answered: {answered}");
    // Most of them are connections to nodes that are not there just then.
    assert!(ledger.refused < 4 * known as u64, "too many were refused: {answered}");
}

fn absent(cluster: &Cluster) -> Vec<usize> {
    let living = cluster.living();
    (0..4).filter(|node| !living.contains(node)).collect()
}

/// Whether counters can stand at this, each of which stood at 1 by one increment before: what is wrong.
fn judge(ledger: &Ledger, last: &BTreeMap<u32, CounterAnswer>) -> Vec<String> {
    let mut wrong = [ledger.wrong.as_slice(), &ledger.contradictions].concat();
    let mut amounts: BTreeMap<u32, BTreeMap<i64, i64>> =
        last.keys().map(|counter| (*counter, BTreeMap::from([(1, 1)]))).collect();
    for Acknowledged { counter, amount, answer } in &ledger.acknowledged {
        if amounts.entry(*counter).or_default().insert(answer.version, *amount).is_some() {
            wrong.push(format!("{}: two increments were given version {}", name(*counter), answer.version));
        }
    }
    for (counter, amounts) in amounts {
        let maybes: Vec<i64> =
            ledger.maybes.iter().filter(|(other, _)| *other == counter).map(|(_, amount)| *amount).collect();
        let (newest, Some(last)) = (amounts.keys().max(), last.get(&counter)) else {
            wrong.push(format!("{} was not read at the end", name(counter)));
            continue;
        };
        let known = i64::try_from(amounts.len()).unwrap();
        let most = known + i64::try_from(maybes.len()).unwrap();
        let all = maybes.is_empty() && last.value != amounts.values().sum::<i64>();
        if last.version < known || last.version > most || newest > Some(&last.version) || all {
            wrong.push(format!("{} stands at {last:?} after {amounts:?}, and perhaps {maybes:?}", name(counter)));
        }
    }
    wrong
}
