//! Typed actors by key, divided among the nodes of a cluster.
//!
//! For each key there is one actor, in memory, made when it is first asked for something. Keys belong to shards by jump
//! consistent hash, and shards to nodes by rendezvous hashing; any node takes any request, and sends it on, many in one
//! frame. When nodes join and leave, the actors move with their state.
//!
//! ```
//! use evenfold_actors::{Actor, Cluster, Handle, JoinOptions, Message, Moves};
//! use evenfold_cluster::{NodeId, local};
//! use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter {
//!     value: i64,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Increment {
//!     amount: i64,
//! }
//!
//! impl Message for Increment {
//!     type Reply = i64;
//! }
//!
//! impl Actor for Counter {
//!     type Messages = (Increment,);
//!     type Handover = Moves;
//! }
//!
//! impl Handle<Increment> for Counter {
//!     async fn handle(&mut self, increment: Increment) -> i64 {
//!         self.value += increment.amount;
//!         self.value
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let network = local::Network::new();
//! let node = Cluster::join(JoinOptions::local(&network, NodeId::new("a")?)).await?;
//! let counters = node.actors("counter", |_| Counter::default()).await?;
//! let second = Duration::from_secs(1);
//! assert_eq!(counters.request("my-counter", Increment { amount: 1 }, second).await?, 1);
//! assert_eq!(counters.request("my-counter", Increment { amount: 41 }, second).await?, 42);
//! node.leave().await;
//! # Ok(())
//! # }
//! ```
//!
//! What does not fit does not compile, such as a message that is not among an actor's:
//!
//! ```compile_fail,E0277
//! use evenfold_actors::{Actor, Actors, Handle, Message, Moves};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Default, Serialize, Deserialize)]
//! # struct Counter;
//! # #[derive(Serialize, Deserialize)]
//! # struct Read;
//! # #[derive(Serialize, Deserialize)]
//! # struct Reset;
//! # impl Message for Read { type Reply = i64; }
//! # impl Message for Reset { type Reply = (); }
//! # impl Actor for Counter { type Messages = (Read,); type Handover = Moves; }
//! # impl Handle<Read> for Counter { async fn handle(&mut self, _: Read) -> i64 { 0 } }
//! async fn reset(counters: Actors<Counter>) {
//!     let _ = counters.request("my-counter", Reset, std::time::Duration::from_secs(1)).await;
//! }
//! ```
//!
//! # What a request promises
//!
//! - It is handled at most once, and the [error](RequestError) says whether it may have been. With a key
//!   ([`request_once`](Actors::request_once)) it is handled once while the actor lives, however often it is sent.
//! - Messages for one key are handled one at a time, and those of a sender who awaits each reply in their order. A
//!   handler that waits for something holds up its own actor alone.
//! - Nodes that join and leave without being killed, any number at once, lose nothing. With a node that is killed its
//!   actors are gone, but for what they have [saved](Store); the next message is handled by a new one.
//! - A node that others may have taken for dead handles nothing. One that was paused at just the wrong moment can
//!   handle a message while its successor already handles others; when it is back, both states are
//!   [merged](Actor::merge).

mod actor;
mod actors;
mod answered;
mod call;
mod common;
mod entry;
mod error;
mod figures;
mod handing;
mod handover;
mod inner;
mod key;
mod kind;
mod leaving;
mod message;
mod messages;
mod meters;
mod node;
mod of_kind;
mod options;
mod peers;
mod refused;
mod shard;
mod wire;

pub use actor::Actor;
pub use actors::Actors;
pub use error::{ActorsError, RequestError};
pub use evenfold_cluster::{JoinError, NodeId};
pub use handover::{Handover, HandoverError, MAX_STATE, Moves, Store, Stored};
pub use key::{MAX_KEY, RequestKey};
pub use message::{Handle, Message};
pub use messages::{Includes, Messages, Place};
pub use meters::ActorsMetrics;
pub use node::{Cluster, Node, figures};
pub use options::{ActorsOptions, JoinOptions};

/// The document's Rust is compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/actors.md")]
pub struct Document;
