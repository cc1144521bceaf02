//! Groups of actors: [shards](ActorGroup) that have the keys divided among them, and
//! [members](ProcessGroups) that all receive every broadcast.

mod actors;
mod hash;
pub mod process;
#[doc(hidden)]
pub mod threads;

pub use actors::{
    ActorGroup, AfterPanic, AskError, GatherError, Gathered, GroupMetrics, GroupOptions, GroupOptionsError,
    MAX_MAILBOX, MAX_SHARDS, Missing, Resizable, ResizeError, SendError, Shard, ShardMetrics, WeakGroup, top, total,
};
pub use hash::KeyHash;
pub use process::ProcessGroups;

/// The document's Rust is compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/GROUPS_COMPARISON.md")]
pub struct Comparison;
