//! What a node counts about its actors of one kind.

use evenfold_groups::GroupMetrics;
use evenfold_http::histogram::{Counts, Histogram};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// What the messages are called, and how long actors took for each.
    pub(super) handling: Vec<(&'static str, Histogram)>,
    /// How many actors each shard has in memory.
    actors: Box<[AtomicU64]>,
    pub(super) local: Total,
    pub(super) remote: Total,
    pub(super) refused: Total,
    pub(super) passivated: Total,
    pub(super) panics: Total,
    pub(super) unsaved: Total,
    pub(super) moved: Total,
    pub(super) dropped: Total,
}

impl Meters {
    pub(super) fn new(messages: Vec<&'static str>, shards: u32) -> Self {
        Self {
            handling: messages.into_iter().map(|name| (name, Histogram::default())).collect(),
            actors: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            ..Self::default()
        }
    }

    pub(super) fn actors(&self, shard: u32, actors: usize) {
        if let Some(count) = self.actors.get(shard as usize) {
            count.store(actors as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn all_actors(&self) -> u64 {
        self.actors.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[derive(Debug, Default)]
pub(super) struct Total(AtomicU64);

impl Total {
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a node has done with its actors of one kind until now.
#[derive(Debug, Clone)]
pub struct ActorsMetrics {
    /// The kind.
    pub kind: String,
    /// What the messages are called, and how long actors took for each: from when one begins with it until it replies,
    /// waiting included.
    pub handling: Vec<(&'static str, Counts)>,
    /// How many actors are in memory.
    pub actors: u64,
    /// How many shards the node owns.
    pub owned: usize,
    /// The shards' mailboxes. What waits for an actor that is at work is not in them any more.
    pub shards: GroupMetrics,
    /// Attempts with actors of this node, for requests that were made here.
    pub local: u64,
    /// Attempts with other nodes.
    pub remote: u64,
    /// Messages that were certainly not handled by an actor of this node: of too many, or not its own.
    pub refused: u64,
    /// Idle actors that have made room for others.
    pub passivated: u64,
    /// Messages at which an actor has panicked.
    pub panics: u64,
    /// Attempts to save a state that have failed.
    pub unsaved: u64,
    /// Actors that were handed over to other nodes.
    pub moved: u64,
    /// Actors whose state is gone, as it could not be read after the handover.
    pub dropped: u64,
}
