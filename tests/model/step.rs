//! What can happen next.

use super::log::Write;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    Switch,
    /// The server writes to disk what was committed.
    Flush,
    CrashServer,
    Writer(usize, Write),
    Worker(usize, Step),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    Start,
    Register,
    /// A merge gets in between what a registration reads and what it locks.
    RegisterMissingMerge,
    Return,
    Load,
    Fence,
    /// Of a log that others write: what is new, in one statement.
    Look,
    /// Of a log that others write: the next one who has the sequence's lock.
    Holders,
    /// Opens its window up to what its own fence shows, or one of those of its pool who have one as well; so do they.
    Gather,
    /// Opens its window up to its own fence: others have not come in time, or are on another server.
    OpenAlone,
    Apply,
    /// The transaction is committed, and the worker does not learn it.
    ApplyUnknowing,
    Merge,
    WriteEmpty,
    Crash,
    /// Until its next step.
    Pause,
}
