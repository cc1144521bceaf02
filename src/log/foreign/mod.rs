//! Logs that others write: any table of events with a position that grows, read as it is, by a role that may only
//! SELECT.
//!
//! A sequence hands positions out before their transactions commit, in any order, and rolled back transactions leave
//! positions that nobody will ever see. So a fence of such a log is a set of positions: all up to a floor, but for
//! those that are missing. `docs/sources.md` has the argument.

mod add_xid;
mod candidates;
mod catalog;
mod check;
mod facts;
mod fence;
mod holders;
mod holes;
mod mapping;
mod missing;
mod positions;
mod preset;
mod probe;
mod removed;
mod report;
mod table;
mod xid;

pub use add_xid::{add_xid, adding_xid};
pub use candidates::{Candidate, candidates};
pub use catalog::{PRESETS, why_not};
pub use check::{Refusal, refusals, sequence_of};
pub use fence::Taken;
pub use holders::{Holder, keep_holders};
pub use holes::Holes;
pub use mapping::{InvalidMapping, Mapping, Payload};
pub(super) use missing::MOST_MISSING;
pub use missing::fence_after;
pub use positions::{Positions, XID_COLUMN};
pub use preset::Preset;
pub use report::{DrawnFrom, EventCount, LogReport, report};
pub use table::Foreign;
pub(super) use xid::fence_of;
