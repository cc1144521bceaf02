//! Who lives, by what was received from them. No clock of another machine has a part in it.

use super::NodeId;
use super::beat::{Beat, State};
use super::known::{Acquaintance, Known, Stage};
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
    last_seen: Instant,
}

/// What a heartbeat changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// There may be other members now, or others are known.
    Changed,
    /// The node was silent for too long, and is forgotten.
    Dead,
    /// It is of a process that is not known. Only that process itself can change this.
    Unknown,
}

impl Peers {
    pub(super) fn new(dead_after: Duration, shards: u32, now: Instant) -> Self {
        Self { dead_after, shards, known: BTreeMap::new(), listening_since: now }
    }

    /// Takes in a heartbeat that was seen on its way: the write may be refused, so only what can't be wrong is taken
    /// from it.
    pub(super) fn hear(&mut self, node: &NodeId, beat: Beat, now: Instant) -> Effect {
        match self.known.get(node) {
            Some(known) if known.beat.incarnation != beat.incarnation => Effect::Unknown,
            Some(known) if known.beat.count >= beat.count => Effect::Nothing,
            Some(_) => self.take(node, beat, now),
            None => Effect::Unknown,
        }
    }

    /// Takes in what the record of a node says that was silent; unless it was read before what was received since.
    pub(super) fn settle(&mut self, node: &NodeId, record: Option<Beat>, now: Instant) -> Effect {
        let Some(known) = self.known.get(node) else { return Effect::Nothing };
        match record {
            Some(beat) if beat.incarnation == known.beat.incarnation && beat.count > known.beat.count => {
                self.take(node, beat, now)
            }
            // A record that says nothing newer of this process, though it was silent for long: it is dead.
            _ if self.is_silent(known, now) => {
                self.remove(node);
                Effect::Dead
            }
            _ => Effect::Nothing,
        }
    }

    /// Takes in a process that has just answered or asked, with its record. It replaces another one of the same name.
    pub(super) fn admit(&mut self, node: &NodeId, record: Beat, now: Instant) -> Effect {
        match self.known.get_mut(node) {
            Some(known) if known.beat.incarnation == record.incarnation && known.beat.count >= record.count => {
                known.last_seen = now;
                Effect::Nothing
            }
            _ => self.take(node, record, now),
        }
    }

    fn take(&mut self, node: &NodeId, beat: Beat, now: Instant) -> Effect {
        if beat.state == State::Gone {
            return self.remove(node);
        }
        let before = self.known.insert(node.clone(), Peer { beat, last_seen: now });
        if before.is_none() && beat.shards != self.shards {
            tracing::warn!(%node, shards = beat.shards, "a node with another number of shards is not a member: start it again with {}", self.shards);
        }
        let what = |beat: Beat| (beat.incarnation, beat.state);
        if before.is_some_and(|before| what(before.beat) == what(beat)) { Effect::Nothing } else { Effect::Changed }
    }

    fn remove(&mut self, node: &NodeId) -> Effect {
        if self.known.remove(node).is_some() { Effect::Changed } else { Effect::Nothing }
    }

    fn is_member(&self, beat: Beat) -> bool {
        beat.state == State::Live && beat.shards == self.shards
    }

    fn is_silent(&self, peer: &Peer, now: Instant) -> bool {
        now.saturating_duration_since(peer.last_seen.max(self.listening_since)) >= self.dead_after
    }

    /// Those who may be dead, and the incarnation and count of the last heartbeat of each: their records show it.
    pub(super) fn silent(&self, now: Instant) -> Vec<(NodeId, (u64, u64))> {
        let silent = self.known.iter().filter(|(_, peer)| self.is_silent(peer, now));
        silent.map(|(node, peer)| (node.clone(), (peer.beat.incarnation, peer.beat.count))).collect()
    }

    /// The observer may have been cut off until now.
    pub(super) fn listen_again(&mut self, now: Instant) {
        self.listening_since = self.listening_since.max(now);
    }

    pub(super) fn members(&self) -> impl Iterator<Item = NodeId> + use<'_> {
        self.known.iter().filter(|(_, peer)| self.is_member(peer.beat)).map(|(node, _)| node.clone())
    }

    /// Whom this node knows.
    pub(super) fn known(&self) -> Known {
        Known::new(self.known.iter().filter_map(|(node, peer)| Some((node.clone(), self.acquaintance(peer.beat)?))))
    }

    fn acquaintance(&self, beat: Beat) -> Option<Acquaintance> {
        let stage = match beat.state {
            State::Joining => Stage::Joining,
            State::Live => Stage::Live,
            State::Leaving => Stage::Leaving,
            State::Gone => return None,
        };
        Some(Acquaintance { incarnation: beat.incarnation, stage, takes_part: beat.shards == self.shards })
    }
}
