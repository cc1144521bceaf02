//! The event log: appending to it, and reading it so that no event is missed.
//!
//! Reading by position is wrong: a sequence hands positions out before their transactions commit, in any order. The
//! log is read by *windows* instead: the events that are visible in one [`Snapshot`] and not in an earlier one.
//! `docs/design.md` has the argument.

mod append;
mod buffer;
mod fence;
mod interest;
mod snapshot;
mod window;

pub use append::{AppendError, Appended, MAX_APPEND_EVENTS, append};
pub use buffer::EventBuffer;
pub use fence::Fence;
pub use interest::Interest;
pub use snapshot::{Snapshot, SnapshotError};
pub(crate) use window::decode;
pub use window::{Read, Slice, Window, read};

/// The channel on which those who append notify workers, in the transaction that appends: `NOTIFY evenfold_events`.
/// Once every few tens of milliseconds is enough for each of them: workers go on looking for a while.
pub const CHANNEL: &str = "evenfold_events";
