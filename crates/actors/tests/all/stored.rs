//! Actors whose states live elsewhere.

use super::nodes::{LONG, join, ready};
use super::support::{SOON, wait_until};
use evenfold_actors::{Actor, ActorsOptions, Handle, HandoverError, Message, RequestError, Store, Stored};
use evenfold_cluster::local::Network;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Where the states are.
#[derive(Default)]
struct Elsewhere {
    saved: Mutex<BTreeMap<String, i64>>,
    loads: Mutex<BTreeMap<String, u64>>,
    fails: AtomicBool,
}

struct Account {
    at: Arc<Elsewhere>,
    value: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Deposit(i64);

impl Message for Deposit {
    type Reply = i64;
}

impl Actor for Account {
    type Messages = (Deposit,);
    type Handover = Stored;
}

impl Handle<Deposit> for Account {
    async fn handle(&mut self, Deposit(amount): Deposit) -> i64 {
        self.value += amount;
        self.value
    }
}

impl Store for Account {
    async fn load(&mut self, key: &str) -> Result<(), HandoverError> {
        // It waits, as one does for a database.
        tokio::task::yield_now().await;
        if self.at.fails.load(Ordering::SeqCst) {
            return Err("the database is away".into());
        }
        *self.at.loads.lock().unwrap().entry(key.to_owned()).or_default() += 1;
        self.value = self.at.saved.lock().unwrap().get(key).copied().unwrap_or_default();
        Ok(())
    }

    async fn save(&mut self, key: &str) -> Result<(), HandoverError> {
        tokio::task::yield_now().await;
        if self.at.fails.load(Ordering::SeqCst) {
            return Err("the database is away".into());
        }
        self.at.saved.lock().unwrap().insert(key.to_owned(), self.value);
        Ok(())
    }
}

fn account(at: &Arc<Elsewhere>) -> impl Fn(&str) -> Account + Send + Sync + use<> {
    let at = Arc::clone(at);
    move |_| Account { at: Arc::clone(&at), value: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_have_been_idle_longest_make_room_and_come_back_as_they_were() {
    let at = Arc::new(Elsewhere::default());
    let node = join(&Network::new(), "a").await;
    // Eight per shard.
    let options = ActorsOptions::default().max_actors(128);
    let accounts = node.actors_with("account", options, account(&at)).await.unwrap();
    ready(&node, 1).await;
    for round in 1..=3 {
        for key in 0..1_000 {
            assert_eq!(accounts.request(&key.to_string(), Deposit(1), LONG).await, Ok(round), "{key}");
            accounts.request("used all the time", Deposit(1), LONG).await.unwrap();
            assert!(accounts.metrics().actors <= 128, "{:?}", accounts.metrics());
        }
    }
    let (metrics, loads) = (accounts.metrics(), at.loads.lock().unwrap().clone());
    assert!(metrics.passivated >= 2_800 && loads.values().sum::<u64>() >= 2_900, "{metrics:?}");
    assert_eq!(loads["used all the time"], 1, "it never was idle longest");
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_node_saves_the_states_of_its_actors_when_it_leaves() {
    let at = Arc::new(Elsewhere::default());
    let node = join(&Network::new(), "a").await;
    let accounts = node.actors("account", account(&at)).await.unwrap();
    ready(&node, 1).await;
    let deposit = async |key: u64| accounts.request(&key.to_string(), Deposit(7), LONG).await.unwrap();
    join_all((0..100).map(deposit)).await;
    assert!(at.saved.lock().unwrap().is_empty());
    // Until it can be saved, the node waits.
    at.fails.store(true, Ordering::SeqCst);
    let leaving = node.leave();
    let mending = async {
        wait_until("a save has failed", SOON, async || accounts.metrics().unsaved > 0).await;
        at.fails.store(false, Ordering::SeqCst);
    };
    tokio::join!(leaving, mending);
    let saved = at.saved.lock().unwrap();
    assert!(saved.len() == 100 && saved.values().all(|value| *value == 7), "{saved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_can_not_be_loaded_handles_nothing_and_one_that_can_not_be_saved_stays() {
    let at = Arc::new(Elsewhere::default());
    let network = Network::new();
    let node = join(&network, "a").await;
    let accounts = node.actors("account", account(&at)).await.unwrap();
    ready(&node, 1).await;
    at.fails.store(true, Ordering::SeqCst);
    let limit = std::time::Duration::from_millis(200);
    let refused = accounts.request("a", Deposit(1), limit).await.unwrap_err();
    assert_eq!(refused, RequestError::NotLoaded("the database is away".to_owned()));
    assert!(!refused.may_have_been_handled());
    at.fails.store(false, Ordering::SeqCst);
    let deposit = async |key: u64| accounts.request(&key.to_string(), Deposit(7), LONG).await.unwrap();
    join_all((0..100).map(deposit)).await;
    at.fails.store(true, Ordering::SeqCst);
    let other = join(&network, "b").await;
    let theirs = other.actors("account", account(&at)).await.unwrap();
    wait_until("a save has failed", SOON, async || accounts.metrics().unsaved > 0).await;
    assert!(other.is_ready().is_err());
    at.fails.store(false, Ordering::SeqCst);
    ready(&other, 2).await;
    let again = async |key: u64| theirs.request(&key.to_string(), Deposit(1), LONG).await.unwrap();
    assert!(join_all((0..100).map(again)).await.iter().all(|value| *value == 8));
    node.leave().await;
    other.leave().await;
    assert_eq!(at.saved.lock().unwrap().len(), 100);
}
