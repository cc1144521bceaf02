//! What has occurred while the states were explored. A model in which an action can never happen proves nothing about
//! it.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// A writer aborted after it had taken a position.
    Abort,
    /// A writer lost a version to another, and appended again.
    Retry,
    /// An event at or below the floor was applied: its transaction was in the list of those in progress.
    Late,
    /// The same, and its transaction was in no list.
    Unlisted,
    /// A fence showed that there is nothing to read.
    Unchanged,
    /// A batch was full, and left its window open.
    OpenWindow,
    /// A worker applied up to a position, without having read what is up to there.
    Span,
    /// A checkpoint without new events was written.
    EmptyWindow,
    /// A commit found another revision: nothing of it was kept.
    Outrun,
    /// A worker left its partition to another one that was faster.
    StandingBy,
    /// A worker took over from another one that does not move.
    TakenUp,
    /// A worker crashed between reading events and committing them.
    CrashBetween,
    /// A worker committed and never got the answer.
    Lost,
    /// A worker with another number of partitions took over.
    Takeover,
    /// A worker found the projection gone on with another number of partitions.
    Superseded,
    /// A row was cut into its cells.
    Split,
    /// A row with an open window was cut into its cells.
    SplitOpen,
    /// A split missed rows that were merged while it waited for them.
    MissedMerge,
    /// Open windows of several rows were read as one.
    Together,
    /// A row caught up with another one.
    CatchUp,
    /// Rows were merged.
    Merge,
    /// A merge found another revision: nothing of it was kept.
    MergeOutrun,
    /// A replaced total took over at once, because no worker of the present one was alive.
    TakenFromNobody,
    /// The same, while a worker of the present total was paused with something in memory.
    TakenFromPaused,
    /// A worker found that a rebuild had changed the definition.
    OtherDefinition,
    /// A transaction began with a position that was drawn earlier, when a higher one was visible.
    DrawnEarlier,
    /// An event was left out of a chunk because an earlier version of its aggregate comes later.
    Waits,
    /// An event was applied at a position that the cursor of its row had passed.
    HasWaited,
    /// More had waited than fits in a chunk.
    Cut,
    /// A look took all that was new.
    TakenWhole,
    /// A look took nothing, and opened a window: more was new than fits.
    TooManyForLook,
    /// A savepoint was rolled back after an insert, to insert again with the same number.
    RolledBack,
    /// A transaction was prepared.
    Prepared,
    /// A prepared transaction was renamed.
    Renamed,
    /// A transaction that was shown to have the sequence's lock had released it before all were shown.
    ReleasedMeanwhile,
    /// A transaction was shown to have the sequence's lock whose events were visible already.
    VisibleAndLocked,
    /// A position was missing that nobody could write any more.
    Abandoned,
    /// A fence was taken once nobody could write below it any more.
    Settled,
    /// Somebody still could, and it was waited for no longer.
    NotSettled,
    /// A fence was taken that lists what is missing.
    Listed,
    /// An event was lost, and a worker watched its position.
    LostAndWatched,
    /// More was missing than a fence may name.
    TooManyMissing,
    /// Workers of a pool opened their windows together.
    Gathered,
    /// A server that crashed had lost what a worker had committed.
    WentBack,
    /// The same, and that was another number of partitions.
    TotalWentBack,
    /// Of two rows each had seen a position that the other had not.
    Union,
}

#[derive(Debug, Default)]
pub struct Cases(AtomicU64);

impl Cases {
    pub fn note(&self, case: Case) {
        self.0.fetch_or(1 << case as u32, Ordering::Relaxed);
    }

    pub fn has(&self, case: Case) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << case as u32) != 0
    }
}
