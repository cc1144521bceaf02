//! What a node counts about itself.

use super::command::Call;
use evenfold::log::GroupCommits;
use evenfold_groups::GroupMetrics;
use evenfold_http::histogram::{Counts, Histogram};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that only grow.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// How many counters are in memory, by shard.
    pub(super) counters: Box<[Meter]>,
    /// How long shards of this node took for what they were asked.
    pub(super) handling: Handling<Histogram>,
    /// Counters that were read back.
    pub(super) loaded: Meter,
    /// Counters that have made room for others.
    pub(super) passivated: Meter,
    /// Appends that another node or writer was ahead of.
    pub(super) conflicts: Meter,
    /// Waiting for the log: reading back, appending.
    pub(super) coordination: Meter,
    /// Deciding.
    pub(super) compute: Meter,
    /// Commands that were sent to other nodes.
    pub(super) forwarded: Meter,
}

impl Meters {
    pub(super) fn new(shards: u32) -> Self {
        Self { counters: (0..shards).map(|_| Meter::default()).collect(), ..Self::default() }
    }

    /// A shard is about to answer a call.
    pub(super) fn answered(&self, call: &Call) {
        let kind = if call.command.changes() { &self.handling.increment } else { &self.handling.read };
        kind.record(call.took());
    }

    pub(super) fn counters(&self, shard: u32, counters: usize) {
        if let Some(meter) = self.counters.get(shard as usize) {
            meter.0.store(counters as u64, Ordering::Relaxed);
        }
    }
}

/// What shards are asked, and how long handling it takes: from when a shard takes the message from its mailbox until it
/// has the answer. What waits for the log has its answer when its event is committed, so that is in it, with the wait
/// for what came before it about the same counter.
#[derive(Debug, Clone, Default)]
pub struct Handling<T> {
    /// Increments, also those that were refused.
    pub increment: T,
    /// Reads of one counter.
    pub read: T,
    /// Looks at the counters of the highest values: for each list one in every shard of every node.
    pub top: T,
}

impl Handling<Histogram> {
    pub(super) fn counts(&self) -> Handling<Counts> {
        let Self { increment, read, top } = self;
        Handling { increment: increment.counts(), read: read.counts(), top: top.counts() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Of durations: in nanoseconds.
    pub(super) fn spend(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn spent(&self) -> Duration {
        Duration::from_nanos(self.get())
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a node has done until now.
#[derive(Debug, Clone)]
pub struct NodeMetrics {
    /// The node's name in its cluster; empty if it is by itself.
    pub node: String,
    /// The group of its shards: mailboxes, and time spent.
    pub actors: GroupMetrics,
    /// How many shards the node owns.
    pub owned: usize,
    /// How many counters are in memory, by shard.
    pub counters: Vec<u64>,
    /// Requests that were answered by shards of this node.
    pub handled: u64,
    /// How long its shards took for what they were asked.
    pub handling: Handling<Counts>,
    /// Counters that were idle and made room for others.
    pub passivations: u64,
    /// Counters that were read from the database, because they were not in memory.
    pub loads: u64,
    /// Appends that the log refused because somebody else had appended to the counter.
    pub conflicts: u64,
    /// The transactions that have appended events.
    pub commits: GroupCommits,
    /// Requests that were sent on to the node that owns the counter's shard.
    pub forwarded: u64,
    /// The time of all shards that went into waiting: for other nodes, for the database, for commits.
    pub coordination: Duration,
    /// The time of all shards that went into deciding commands.
    pub compute: Duration,
    /// How many nodes the cluster has, as this one sees it, with itself.
    pub members: u64,
    /// Requests that were sent to other nodes, each of them in a batch.
    pub batched: u64,
    /// The batches in which they were sent.
    pub batches: u64,
}
