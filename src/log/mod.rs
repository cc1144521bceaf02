//! The event log: appending to it, and reading it so that no event is missed.
//!
//! Reading by position is wrong: a sequence hands positions out before their transactions commit, in any order. The
//! log is read by *windows* instead: the events that are visible in one [`Snapshot`] and not in an earlier one.
//! `docs/design.md` has the argument.

mod append;
mod appender;
mod at;
mod buffer;
mod by_version;
mod columns;
mod epoch;
mod fence;
mod find;
pub mod foreign;
mod group;
mod insert;
mod interest;
mod lanes;
mod late;
mod layout;
mod load;
mod look;
mod named;
mod outcome;
mod poll;
mod queue;
mod read;
mod relation;
mod sent;
mod sentinel;
mod sizes;
mod snapshot;
mod source;
mod standby;
mod wake;
mod window;

pub use append::append;
pub use appender::{Appender, AppenderOptions};
pub(crate) use at::{Addressed, ClassProgress};
pub use buffer::EventBuffer;
pub use by_version::WindowReader;
pub(crate) use columns::{ParsedTexts, RowColumns};
#[doc(hidden)]
pub use epoch::{Epoch, Epochs};
pub use fence::{Fence, Shown};
pub use find::{count, find};
pub use interest::Interest;
pub use layout::Layout;
pub(crate) use layout::{ENVELOPE, PAYLOAD};
pub use load::{EventStream, LoadError, load};
pub use look::{Look, look};
pub use named::Log;
pub use outcome::{AppendError, Appended, MAX_APPEND_EVENTS};
pub use poll::{Polled, poll};
pub use read::read;
pub use relation::{Between, Checked, Span, check_span, show_listed, show_span};
pub use sent::show_sent;
#[doc(hidden)]
pub use sentinel::Sentinel;
pub use sizes::GroupCommits;
#[doc(hidden)]
pub use sizes::Sizes;
pub use snapshot::{Snapshot, SnapshotError};
pub use source::{OpenSource, Source, SourceError};
pub(crate) use standby::Standby;
pub use standby::StandbyError;
pub use window::{Read, Slice, Window};
