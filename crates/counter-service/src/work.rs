//! What shards have in common, and their batches on the way to the log.

use super::batch::{Batch, Done};
use super::id::CounterId;
use super::meters::Meters;
use super::storage::Log;
use evenfold::counters::Changes;
use evenfold_cluster::sharding::Ownership;
use evenfold_groups::process::Group;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the shards of a node have in common.
pub(super) struct Common {
    pub(super) log: Log,
    pub(super) ownership: Arc<Ownership>,
    pub(super) meters: Arc<Meters>,
    pub(super) changes: Group<Arc<Changes>>,
    pub(super) max_waiting: usize,
    pub(super) request_timeout: Duration,
}

/// A batch that is to be taken to the log.
#[must_use]
pub(super) struct Work {
    pub(super) common: Arc<Common>,
    pub(super) shard: u32,
    pub(super) batch: Batch,
    pub(super) begun: Begun,
}

/// What its shard has to know of a batch when it has ended.
pub(super) struct Begun {
    /// The counters that its calls are about.
    pub(super) counters: Vec<CounterId>,
    /// How many calls it was made of.
    pub(super) calls: usize,
    /// Whether it was to read its counters back.
    pub(super) reads: bool,
    /// How often the shard had been released before.
    pub(super) releases: u64,
}

/// A batch that has ended; nothing is known of one that panicked.
pub(super) struct Finished {
    pub(super) done: Option<Done>,
    pub(super) begun: Begun,
}

impl Work {
    /// Takes it there. It ends by itself, at the deadline at the latest.
    pub(super) async fn run(self) -> Finished {
        let Self { common, shard, batch, begun } = self;
        // Before those who wait for it have no time left: they are to learn whether it is known that nothing was
        // counted.
        let deadline = Instant::now() + common.request_timeout * 9 / 10;
        let run = batch.run(&common.log, &common.meters, common.ownership.owned_shard(shard), deadline);
        Finished { done: AssertUnwindSafe(run).catch_unwind().await.ok(), begun }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F: Future>(_: impl FnOnce(Work) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_batch_on_its_way_has_no_room_for_reads_that_nearly_none_needs() {
        let bytes = size_of_future(Work::run);
        assert!(bytes <= 2048, "{bytes}");
    }
}
