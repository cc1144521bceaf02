//! A transport that is slow, loses what it may lose, and so shows every order that is possible.

use bytes::Bytes;
use evenfold_cluster::local::{Endpoint, Network};
use evenfold_cluster::transport::{RequestError, Requests, Subscription, Unreachable, WriteError, Writes};
use evenfold_cluster::{NodeId, Record, Transport};
use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::sleep;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy)]
pub struct FaultPlan {
    /// Every step takes up to this long.
    pub delay: Duration,
    /// How many of a hundred requests are lost on their way.
    pub lost_requests: u8,
    /// How many of a hundred requests arrive when nobody waits for them any more.
    pub late_requests: u8,
    /// How many of a hundred answers to requests are lost on their way.
    pub lost_answers: u8,
    /// How many of a hundred writes of others are not received.
    pub lost_writes: u8,
}

impl FaultPlan {
    /// Nothing is lost, and nothing takes any time.
    pub const GOOD: Self =
        Self { delay: Duration::ZERO, lost_requests: 0, late_requests: 0, lost_answers: 0, lost_writes: 0 };
}

/// Which requests of a node, and answers to it, are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    Planned,
    None,
    All,
}

/// The endpoint of one node.
#[derive(Debug)]
pub struct Shaky {
    inner: Endpoint,
    plan: FaultPlan,
    random: Mutex<Rng>,
    losses: Mutex<Losses>,
}

impl Shaky {
    pub fn new(network: &Network, plan: FaultPlan, seed: u64) -> Self {
        let random = Mutex::new(Rng::with_seed(seed));
        Self { inner: network.endpoint(), plan, random, losses: Mutex::new(Losses::Planned) }
    }

    /// Loses these from now on.
    pub fn lose(&self, losses: Losses) {
        *self.losses.lock().unwrap() = losses;
    }

    async fn takes_time(&self) {
        let most = u64::try_from(self.plan.delay.as_micros()).unwrap();
        let delay = Duration::from_micros(self.random.lock().unwrap().u64(..=most));
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    fn loses(&self, percent: u8) -> bool {
        let planned = self.random.lock().unwrap().u8(..100) < percent;
        match *self.losses.lock().unwrap() {
            Losses::Planned => planned,
            Losses::None => false,
            Losses::All => true,
        }
    }

    /// Up to 3 seconds later: many times what whoever asks waits for an answer about a shard.
    fn send_late(&self, to: NodeId, frame: Bytes) {
        let delay = Duration::from_millis(self.random.lock().unwrap().u64(500..3_000));
        let endpoint = self.inner.clone();
        tokio::spawn(async move {
            sleep(delay).await;
            let _nobody = endpoint.request(&to, frame, delay).await;
        });
    }

    async fn around<T>(&self, act: impl Future<Output = T>) -> T {
        self.takes_time().await;
        let outcome = act.await;
        self.takes_time().await;
        outcome
    }
}

impl Transport for Shaky {
    fn max_frame(&self) -> usize {
        self.inner.max_frame()
    }

    fn request<'a>(
        &'a self,
        to: &'a NodeId,
        frame: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Bytes, RequestError>> {
        let lost = || RequestError::Unanswered("lost".to_owned());
        let asked = async move {
            self.takes_time().await;
            if self.loses(self.plan.lost_requests) {
                return std::future::pending().await;
            }
            if self.loses(self.plan.late_requests) {
                self.send_late(to.clone(), frame);
                return std::future::pending().await;
            }
            let answer = self.inner.request(to, frame, limit).await;
            self.takes_time().await;
            if self.loses(self.plan.lost_answers) { std::future::pending().await } else { answer }
        };
        Box::pin(async move { tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(lost())) })
    }

    fn serve<'a>(&'a self, node: &'a NodeId) -> BoxFuture<'a, Result<Requests, Unreachable>> {
        self.inner.serve(node)
    }

    fn publish<'a>(&'a self, topic: &'a str, frame: Bytes) -> BoxFuture<'a, Result<(), Unreachable>> {
        self.inner.publish(topic, frame)
    }

    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, Unreachable>> {
        self.inner.subscribe(topic)
    }

    fn nodes(&self, limit: Duration) -> BoxFuture<'_, Result<Vec<NodeId>, Unreachable>> {
        // Where everything is lost, so are the records.
        if *self.losses.lock().unwrap() == Losses::All {
            return Box::pin(async { Ok(Vec::new()) });
        }
        Box::pin(self.around(self.inner.nodes(limit)))
    }

    fn read<'a>(&'a self, node: &'a NodeId, limit: Duration) -> BoxFuture<'a, Result<Option<Record>, Unreachable>> {
        Box::pin(self.around(self.inner.read(node, limit)))
    }

    fn write<'a>(
        &'a self,
        node: &'a NodeId,
        expected: u64,
        value: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<u64, WriteError>> {
        Box::pin(self.around(self.inner.write(node, expected, value, limit)))
    }

    fn writes(&self) -> BoxFuture<'_, Result<Writes, Unreachable>> {
        Box::pin(async move {
            let (percent, mut random) = (self.plan.lost_writes, self.random.lock().unwrap().fork());
            let writes = self.inner.writes().await?;
            let received = writes.filter(move |_| std::future::ready(random.u8(..100) >= percent));
            Ok(received.boxed())
        })
    }
}
