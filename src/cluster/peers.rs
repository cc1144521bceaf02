//! Who lives, by what was heard of them. No clock of another machine has a part in it.

use super::NodeId;
use super::beat::{Beat, State};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The other nodes, as one observer knows them.
#[derive(Debug)]
pub(super) struct Peers {
    dead_after: Duration,
    shards: u32,
    known: BTreeMap<NodeId, Peer>,
    /// Silence counts from here on at the earliest: before, the observer itself may have been cut off, and would take
    /// everybody for dead.
    listening_since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    beat: Beat,
    heard: Instant,
}

/// What a heartbeat changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// There may be other members now.
    Members,
    /// Another process has the name, or wants it: only the record tells which of them.
    Doubt,
}

impl Peers {
    pub(super) fn new(dead_after: Duration, shards: u32, now: Instant) -> Self {
        Self { dead_after, shards, known: BTreeMap::new(), listening_since: now }
    }

    /// Takes in a heartbeat that was seen on its way: the write may be refused, so it tells only what can't be wrong.
    pub(super) fn hear(&mut self, node: &NodeId, beat: Beat, now: Instant) -> Effect {
        match self.known.get(node) {
            Some(known) if known.beat.incarnation != beat.incarnation => Effect::Doubt,
            Some(known) if known.beat.count >= beat.count => Effect::Nothing,
            _ => self.take(node, beat, now),
        }
    }

    /// Takes in what a node's record says, which is the truth; unless it was read before what was heard since.
    pub(super) fn settle(&mut self, node: &NodeId, record: Option<Beat>, now: Instant) -> Effect {
        match (self.known.get(node), record) {
            (Some(known), Some(beat)) if known.beat.incarnation == beat.incarnation => {
                // A record that says nothing newer, though the node was silent for long: it is dead.
                if known.beat.count < beat.count {
                    self.take(node, beat, now)
                } else if self.is_silent(known, now) {
                    self.remove(node)
                } else {
                    Effect::Nothing
                }
            }
            (_, Some(beat)) => self.take(node, beat, now),
            (Some(known), None) if self.is_silent(known, now) => self.remove(node),
            (_, None) => Effect::Nothing,
        }
    }

    fn take(&mut self, node: &NodeId, beat: Beat, now: Instant) -> Effect {
        if beat.state == State::Gone {
            return self.remove(node);
        }
        let before = self.known.insert(node.clone(), Peer { beat, heard: now });
        let counted = |beat: Beat| self.is_member(beat);
        if before.is_none() && beat.shards != self.shards {
            tracing::warn!(%node, shards = beat.shards, "a node with another number of shards is not a member: start it again with {}", self.shards);
        }
        if before.is_some_and(|before| counted(before.beat)) == counted(beat) {
            Effect::Nothing
        } else {
            Effect::Members
        }
    }

    fn remove(&mut self, node: &NodeId) -> Effect {
        let was = self.known.remove(node).is_some_and(|peer| self.is_member(peer.beat));
        if was { Effect::Members } else { Effect::Nothing }
    }

    fn is_member(&self, beat: Beat) -> bool {
        beat.state == State::Live && beat.shards == self.shards
    }

    fn is_silent(&self, peer: &Peer, now: Instant) -> bool {
        now.saturating_duration_since(peer.heard.max(self.listening_since)) >= self.dead_after
    }

    /// Those who may be dead: their records tell.
    pub(super) fn silent(&self, now: Instant) -> Vec<NodeId> {
        self.known.iter().filter(|(_, peer)| self.is_silent(peer, now)).map(|(node, _)| node.clone()).collect()
    }

    /// The observer may have been cut off until now.
    pub(super) fn listen_again(&mut self, now: Instant) {
        self.listening_since = self.listening_since.max(now);
    }

    pub(super) fn members(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        self.known.iter().filter(|(_, peer)| self.is_member(peer.beat)).map(|(node, _)| node.clone())
    }

    /// One that has another number of shards.
    pub(super) fn stranger(&self) -> Option<(NodeId, u32)> {
        let strangers = self.known.iter().filter(|(_, peer)| peer.beat.shards != self.shards);
        strangers.map(|(node, peer)| (node.clone(), peer.beat.shards)).next()
    }
}
