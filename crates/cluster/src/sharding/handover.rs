//! What nodes ask each other and answer to change the owner of a shard.

use crate::NodeId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a node answers about a shard that another one claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claimed {
    /// It does not own it, does not claim it, and has nothing of it.
    Free,
    /// It does not own and does not claim it, and has something of it, under this number.
    Holds(u64),
    /// It owns it as far as it sees, or claims it or takes it over: it is to be asked again.
    NotYet,
}

/// Which part is asked for of what a node has of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The number under which the node has it.
    pub holding: u64,
    /// Drawn by whoever takes it over, each time that it begins to.
    pub taking: u64,
    /// From 0 on. It acknowledges the part before.
    pub number: u64,
}

/// What a node hands over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Released<I> {
    /// Some of what it has. The node keeps it, too, until the next part is asked for.
    Part(I),
    /// There is nothing left, and the node has nothing of the shard any more.
    Done,
    /// It is not for whoever asks: the claim is to be made again.
    Refused,
}

/// What a package has to provide whose shards are divided among nodes: how other nodes are asked, and what its own
/// shards do with what is handed over. Clones are cheap, and the same.
///
/// # Cancel safety
///
/// The futures are dropped only when the node ends.
pub trait Handover: Clone + Send + Sync + 'static {
    /// What a part of a shard consists of.
    type Items: Send;

    /// Asks a node about shards that this one claims, and waits for so long at most. The node answers with
    /// [`Ownership::answer_claim`](super::Ownership::answer_claim), in the order of the shards. None if there is no
    /// answer, or another one: then the node is asked again.
    fn claim(
        &self,
        node: &NodeId,
        shards: Vec<u32>,
        limit: Duration,
    ) -> impl Future<Output = Option<Vec<Claimed>>> + Send;

    /// Asks a node for a part of what it has of a shard, and waits for so long at most. The shard there answers, as
    /// [`Giving`](super::Giving) does. None if there is no answer, or another one: then the node is asked for the same
    /// part again.
    fn release(
        &self,
        node: &NodeId,
        shard: u32,
        part: Part,
        limit: Duration,
    ) -> impl Future<Output = Option<Released<Self::Items>>> + Send;

    /// Has a shard of this node take what was handed over, and returns when it has. It comes once, and in no certain
    /// order with what other nodes hand over. Where the shard has some of it already, both have changed it for a while.
    fn take(&self, shard: u32, items: Self::Items) -> impl Future<Output = ()> + Send;

    /// Has a shard of this node prepare for being owned, and returns when it has: everything was taken that others had
    /// of it and could hand over. It takes back what it has [given](super::Giving::take_back) and was not acknowledged,
    /// and forgets what others may have changed since, such as what it has read from a log.
    fn begin(&self, shard: u32) -> impl Future<Output = ()> + Send;
}
