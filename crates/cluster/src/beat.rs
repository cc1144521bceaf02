//! What a node writes into its record to show that it lives.

use super::{NodeId, Record};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The version of what nodes send to each other. It comes first in every record and frame, so that another version is
/// recognised by it.
pub(super) const PROTOCOL: u8 = 2;

/// How far a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// It has the name and answers, and owns nothing before all who are there know it.
    Joining,
    /// It owns its share.
    Live,
    /// It answers, and owns nothing any more.
    Leaving,
    /// It is no more; the name is free.
    Gone,
}

/// One heartbeat. It has no time in it: clocks of two machines differ, so each observer goes by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) protocol: u8,
    /// Drawn at the start: two processes with one name differ in it.
    pub(super) incarnation: u64,
    /// How many came before.
    pub(super) count: u64,
    pub(super) shards: u32,
    pub(super) state: State,
    /// The heartbeat of another process with the same name that it replaces: its incarnation and count. Only a process
    /// that lives can name one that is new.
    pub(super) replaces: Option<(u64, u64)>,
}

impl Beat {
    pub(super) fn first(shards: u32) -> Self {
        Self {
            protocol: PROTOCOL,
            incarnation: fastrand::u64(..),
            count: 0,
            shards,
            state: State::Joining,
            replaces: None,
        }
    }

    pub(super) fn next(&mut self, state: State) {
        self.count += 1;
        self.state = state;
    }

    pub(super) fn encode(&self) -> Bytes {
        // It has numbers alone, for which there is always room in memory.
        postcard::to_stdvec(self).unwrap_or_default().into()
    }

    /// None for what nodes of this version don't write.
    pub(super) fn decode(node: &NodeId, value: &[u8]) -> Option<Self> {
        let beat = Self::read(value);
        if beat.is_none() {
            tracing::debug!(%node, "its record can't be read: another version of evenfold has written it");
        }
        beat
    }

    /// None for what nodes of this version don't send.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        postcard::from_bytes(value).ok().filter(|beat: &Self| beat.protocol == PROTOCOL)
    }

    pub(super) fn of(node: &NodeId, record: &Record) -> Option<Self> {
        Self::decode(node, &record.value)
    }
}
