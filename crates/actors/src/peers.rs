//! The other nodes: how they are asked, and what they are answered.

use super::kind::Kind;
use super::refused::Refused;
use super::wire::{NodeReply, Question, What};
use evenfold_cluster::sharding::Claimed;
use evenfold_cluster::{Answer, Cluster, NodeId, PeerError};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

/// The kinds of actors that a node has.
#[derive(Default)]
pub(super) struct Kinds(RwLock<BTreeMap<String, Arc<dyn Kind>>>);

impl Kinds {
    pub(super) fn get(&self, kind: &str) -> Option<Arc<dyn Kind>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    /// Adds one; whether there was none of that name.
    pub(super) fn add(&self, name: &str, kind: Arc<dyn Kind>) -> bool {
        let mut kinds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = !kinds.contains_key(name);
        if new {
            kinds.insert(name.to_owned(), kind);
        }
        new
    }

    pub(super) fn all(&self) -> Vec<Arc<dyn Kind>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Answers the other nodes for as long as the node is there.
#[derive(Clone)]
pub(super) struct Answers(pub(super) Weak<Kinds>);

impl Answer<Question, NodeReply> for Answers {
    async fn answer(&self, _from: &NodeId, question: Question) -> NodeReply {
        let Some(kinds) = self.0.upgrade() else { return NodeReply::Refused };
        match (kinds.get(&question.kind), question.what) {
            (Some(kind), what) => kind.answer(what).await,
            // A node that has no such actors yet neither owns nor claims any of their shards.
            (None, What::Claim { shards }) => NodeReply::Claimed(vec![Claimed::Free; shards.len()]),
            (None, What::Request(_)) => NodeReply::Reply(Err(Refused::UnknownKind)),
            (None, What::Release { .. }) => NodeReply::Refused,
        }
    }
}

/// Asks other nodes.
#[derive(Clone)]
pub(super) struct Peers(pub(super) Cluster<Question, NodeReply>);

impl Peers {
    pub(super) async fn ask(
        &self,
        node: &NodeId,
        kind: &str,
        what: What,
        limit: Duration,
    ) -> Result<NodeReply, PeerError> {
        self.0.ask(node, Question { kind: kind.to_owned(), what }, limit).await
    }
}
