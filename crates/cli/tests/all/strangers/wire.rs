//! A stranger's tools, and a cluster to use them on.

use crate::support::{NatsServer, SOON, wait_until};
use async_nats::{Client, Message};
use bytes::{BufMut, Bytes, BytesMut};
use evenfold_cluster::nats::{Nats, NatsOptions};
use evenfold_cluster::{ClusterSecret, NodeId, Transport};
use evenfold_counter_service::{CounterId, Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use futures_util::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

pub const SECRET: &str = "what only the nodes know";
pub const CLUSTER: &str = "c";

pub fn node_id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn counter(name: &str) -> CounterId {
    CounterId::new(name).unwrap()
}

/// A connection under this secret, or without one.
pub async fn transport(url: &str, secret: Option<&str>) -> Arc<Nats> {
    let secret = secret.map(|secret| ClusterSecret::new(secret).unwrap());
    let options = NatsOptions::new(url, node_id(CLUSTER)).secret(secret);
    Arc::new(Nats::connect_with(&options).await.unwrap())
}

/// A node that keeps counters in memory, and its connection.
pub struct Member {
    pub node: Node,
    pub nats: Arc<Nats>,
}

impl Member {
    pub async fn join(url: &str, name: &str, secret: Option<&str>) -> Self {
        let nats = transport(url, secret).await;
        let options = NodeOptions::default().shards(16);
        let groups = ProcessGroups::default();
        let node =
            Node::join(options, Storage::Volatile, &groups, Arc::clone(&nats) as _, node_id(name)).await.unwrap();
        wait_until("it has its shards", SOON, async || node.is_ready().is_ok()).await;
        Self { node, nats }
    }

    pub async fn increment(&self, name: &str) -> i64 {
        self.node.increment(&counter(name), 1, None).await.unwrap().value
    }

    /// The value and the version, which says how often it was incremented.
    pub async fn get(&self, name: &str) -> (i64, i64) {
        let counted = self.node.get(&counter(name)).await.unwrap();
        (counted.value, counted.version)
    }

    pub fn goes_on(&self) -> bool {
        self.node.ended().now_or_never().is_none()
    }
}

/// Two nodes over a server of their own, which know each other.
pub struct Pair {
    pub server: NatsServer,
    pub a: Member,
    pub b: Member,
}

impl Pair {
    pub async fn start(secret: Option<&str>) -> Self {
        let server = NatsServer::start();
        Self::at(&server.url(), server, secret).await
    }

    pub async fn at(url: &str, server: NatsServer, secret: Option<&str>) -> Self {
        let a = Member::join(url, "a", secret).await;
        let b = Member::join(url, "b", secret).await;
        let pair = Self { server, a, b };
        pair.is_whole().await;
        pair
    }

    /// Waits until both nodes are members and have their shards.
    pub async fn is_whole(&self) {
        for member in [&self.a, &self.b] {
            let whole = async || member.node.metrics().members == 2 && member.node.is_ready().is_ok();
            wait_until("both nodes are there", SOON, whole).await;
        }
    }

    pub async fn stranger(&self) -> Client {
        async_nats::connect(self.server.url()).await.unwrap()
    }
}

/// Everything that goes through the server for the cluster, as anybody can read it who has no permissions to keep to.
pub struct Recording {
    messages: Arc<Mutex<Vec<Message>>>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Recording {
    pub async fn start(client: &Client) -> Self {
        let (messages, mut tasks) = (Arc::<Mutex<Vec<Message>>>::default(), tokio::task::JoinSet::new());
        for subject in [format!("evenfold.{CLUSTER}.>"), format!("$KV.evenfold_{CLUSTER}.>")] {
            let (mut subscribed, messages) = (client.subscribe(subject).await.unwrap(), Arc::clone(&messages));
            tasks.spawn(async move {
                while let Some(message) = subscribed.next().await {
                    messages.lock().unwrap().push(message);
                }
            });
        }
        client.flush().await.unwrap();
        Self { messages, _tasks: tasks }
    }

    pub fn all(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    /// Those whose subjects have this in them.
    pub fn with(&self, part: &str) -> Vec<Message> {
        self.all().into_iter().filter(|message| message.subject.contains(part)).collect()
    }
}

/// Sends something, with a reply if it has one.
pub async fn send(client: &Client, subject: &str, reply: Option<&str>, payload: Bytes) {
    let subject = subject.to_owned();
    match reply {
        Some(reply) => client.publish_with_reply(subject, reply.to_owned(), payload).await.unwrap(),
        None => client.publish(subject, payload).await.unwrap(),
    }
}

pub async fn send_again(client: &Client, message: &Message) {
    send(client, &message.subject, message.reply.as_deref(), message.payload.clone()).await;
}

/// What nodes ask each other, as it is encoded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Question {
    Command { id: String, what: What },
    Claim { shards: Vec<u32> },
    Release { shard: u32, holding: u64, taking: u64, number: u64 },
    Top { limit: u64, named: Vec<String> },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum What {
    Read,
    Increment { amount: i64, event_id: Uuid, again: bool, traceparent: Option<()> },
}

pub fn increment(name: &str, amount: i64) -> Question {
    Question::Command {
        id: name.to_owned(),
        what: What::Increment { amount, event_id: Uuid::nil(), again: false, traceparent: None },
    }
}

/// The incarnation of the node that frames are of.
pub const INCARNATION: u64 = 77;

/// A frame of the node `from` with these questions.
pub fn frame(protocol: u8, from: &str, limit: u32, questions: impl IntoIterator<Item = Question>) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(protocol);
    frame.put_u8(u8::try_from(from.len()).unwrap());
    frame.put_slice(from.as_bytes());
    frame.put_u64(INCARNATION);
    frame.put_u32(limit);
    for question in questions {
        let question = postcard::to_stdvec(&question).unwrap();
        frame.put_u32(u32::try_from(question.len()).unwrap());
        frame.put_slice(&question);
    }
    frame.freeze()
}

/// Somebody who knows the key, as everybody does where there is no secret, and shows the heartbeats of a node `p` that
/// is joining: what it asks is handled, and nobody waits for it.
pub struct Peer {
    pub nats: Arc<Nats>,
    _beating: tokio::task::JoinSet<()>,
}

impl Peer {
    pub async fn start(url: &str) -> Self {
        let (nats, mut beating) = (transport(url, None).await, tokio::task::JoinSet::new());
        let beats = Arc::clone(&nats);
        let mut revision = 0;
        let mut beat = async move |count: u64| {
            let value = postcard::to_stdvec(&(2_u8, INCARNATION, count, 16_u32, 0_u32, None::<(u64, u64)>)).unwrap();
            revision = beats.write(&node_id("p"), revision, value.into(), SOON).await.unwrap();
        };
        beat(0).await;
        beating.spawn(async move {
            let mut ticks = tokio::time::interval(std::time::Duration::from_millis(300));
            for count in 1.. {
                ticks.tick().await;
                beat(count).await;
            }
        });
        Self { nats, _beating: beating }
    }

    /// Asks the node `a`, and gives the frame of its answers.
    pub async fn ask(&self, questions: impl IntoIterator<Item = Question>) -> Bytes {
        self.nats.request(&node_id("a"), frame(2, "p", 20_000, questions), SOON).await.unwrap()
    }
}
