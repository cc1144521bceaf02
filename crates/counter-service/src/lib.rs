//! The counter service: increments in, events in the log, values out.
//!
//! The counters of a [`Node`] are divided among the shards of an actor group. A shard decides what
//! comes against its counters, has the events appended, and answers when they are committed. It groups nothing: the
//! log's appender does, for all shards together.

mod batch;
mod changes;
mod command;
mod decide;
mod durable;
mod error;
mod forget;
mod handover;
pub mod http;
mod id;
mod inner;
mod key;
mod limits;
mod message;
mod meters;
mod node;
mod options;
mod peer;
mod question;
mod relay;
mod route;
mod shard;
mod storage;
mod top;
mod volatile;
mod watch;
mod work;

pub use changes::{changes_group, subscribers};
pub use command::CounterValue;
pub use error::ServiceError;
pub use evenfold::log::GroupCommits;
pub use id::{CounterId, InvalidCounterId, MAX_COUNTER_ID};
pub use key::{IdempotencyKey, InvalidIdempotencyKey, MAX_IDEMPOTENCY_KEY};
pub use limits::{MAX_TOP, is_amount, is_top};
pub use meters::{Handling, NodeMetrics};
pub use node::Node;
pub use options::{NodeOptions, StartError, Storage};
pub use watch::Watching;

/// The document's Rust is compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/services.md")]
pub struct Services;
