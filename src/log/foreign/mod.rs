//! Logs that others write: any table of events with a position that grows, read as it is, by a role that may only
//! SELECT.
//!
//! A sequence hands positions out before their transactions commit, in any order, and rolled back transactions leave
//! positions that nobody will ever see. So a fence of such a log is a set of positions: all up to a floor, but for
//! those that are missing. `docs/sources.md` has the argument.

mod check;
mod fence;
mod holders;
mod holes;
mod mapping;
mod missing;

pub use check::{Refusal, refusals, sequence_of};
pub use fence::Taken;
pub use holders::{Holder, keep_holders};
pub use holes::Holes;
pub use mapping::{InvalidMapping, Mapping, Payload};
pub use missing::fence_after;

/// How the positions of a log are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// By this sequence, as SQL has its name: each by the transaction that writes the row, in any order of commits.
    Sequence(String),
    /// In the order in which transactions commit: whoever draws the next one waits until the one before has ended.
    Serial,
}

/// A log that others write: its table, and what its columns mean.
#[derive(Debug, Clone)]
pub struct Foreign {
    name: String,
    table: String,
    position: String,
    positions: Positions,
    /// The log as a relation with the columns of evenfold's own.
    relation: String,
}

impl Foreign {
    /// What the log is called: a preset's name, or `custom`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its table, as SQL has it.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// How its positions are given.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// A template's text for this log: see [`Layout`](super::Layout).
    pub(super) fn render(&self, template: &str) -> String {
        template
            .replace("{log}", &format!("({}) AS log", self.relation))
            .replace("{table}", &self.table)
            .replace("{position}", &self.position)
    }
}
