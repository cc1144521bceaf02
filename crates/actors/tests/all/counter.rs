//! What the tests count with.

use evenfold_actors::{Actor, Handle, Message, Moves};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::sync::Semaphore;

/// Adds up what it is sent, and knows who has sent what last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) value: i64,
    last: BTreeMap<u64, u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Add(pub(crate) i64);

/// The next number of a sender. The reply is whether it was the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Next {
    pub(crate) sender: u64,
    pub(crate) number: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Read;

/// Waits until the gate of this name lets it pass.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pass(pub(crate) String);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Panic;

/// Makes the state so large.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grow(pub(crate) u64);

impl Message for Add {
    type Reply = i64;
}

impl Message for Next {
    type Reply = bool;
}

impl Message for Read {
    type Reply = i64;
}

impl Message for Pass {
    type Reply = ();
}

impl Message for Panic {
    type Reply = ();
}

impl Message for Grow {
    type Reply = ();
}

impl Actor for Counter {
    type Messages = (Add, Next, Read, Pass, Panic, Grow);
    type Handover = Moves;

    fn merge(&mut self, other: Self) {
        self.value += other.value;
        self.last.extend(other.last);
    }
}

impl Handle<Add> for Counter {
    async fn handle(&mut self, Add(amount): Add) -> i64 {
        self.value += amount;
        self.value
    }
}

impl Handle<Next> for Counter {
    async fn handle(&mut self, next: Next) -> bool {
        // Now and then it has to wait, as handlers do.
        if next.number.is_multiple_of(7) {
            tokio::task::yield_now().await;
        }
        let last = self.last.entry(next.sender).or_default();
        let is_next = *last + 1 == next.number;
        *last = next.number;
        self.value += 1;
        is_next
    }
}

impl Handle<Read> for Counter {
    async fn handle(&mut self, _: Read) -> i64 {
        self.value
    }
}

impl Handle<Pass> for Counter {
    async fn handle(&mut self, Pass(gate): Pass) {
        self::gate(&gate).acquire().await.expect("an open gate").forget();
    }
}

impl Handle<Panic> for Counter {
    async fn handle(&mut self, _: Panic) {
        panic!("asked to panic");
    }
}

impl Handle<Grow> for Counter {
    async fn handle(&mut self, Grow(entries): Grow) {
        self.last = (0..entries).map(|sender| (sender, u64::MAX)).collect();
    }
}

/// The gate of this name, shut at first.
pub(crate) fn gate(name: &str) -> Arc<Semaphore> {
    static GATES: LazyLock<Mutex<BTreeMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);
    let mut gates = GATES.lock().unwrap();
    Arc::clone(gates.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
}
