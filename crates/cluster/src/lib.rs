//! Nodes that divide shards among them: who is there, who owns what, and how they ask each other.
//!
//! It knows neither what is asked nor what is in a shard. What must not happen twice is not decided here, but by the
//! log: a view may be late, and two nodes may have different ones for some seconds.
//!
//! ```
//! use evenfold_cluster::{Answer, Cluster, ClusterOptions, NodeId, local};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! #[derive(Clone)]
//! struct Doubles;
//!
//! impl Answer<u64, u64> for Doubles {
//!     async fn answer(&self, _from: &NodeId, question: u64) -> u64 {
//!         question * 2
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let network = local::Network::new();
//! let (a, b) = (NodeId::new("a")?, NodeId::new("b")?);
//! let options = ClusterOptions::default();
//! let one = Cluster::join(Arc::new(network.endpoint()), a, options, Doubles).await?;
//! let other = Cluster::join(Arc::new(network.endpoint()), b.clone(), options, Doubles).await?;
//! let mut views = one.watch();
//! views.wait_for(|view| view.members().contains(&b)).await?;
//! assert_eq!(one.ask(&b, 21, Duration::from_secs(1)).await?, 42);
//! other.leave().await;
//! # Ok(())
//! # }
//! ```

mod batch;
mod beat;
mod certainty;
mod error;
mod frame;
mod greeting;
mod groups;
mod handle;
mod heart;
mod known;
pub mod local;
mod membership;
mod metrics;
#[cfg(feature = "nats")]
pub mod nats;
mod node;
mod observer;
mod options;
mod peers;
mod placement;
mod queues;

#[cfg(feature = "nats")]
mod seal;
mod server;
pub mod sharding;
mod shared;
mod tasks;
pub mod transport;
mod view;

pub use error::{Ended, JoinError, NotSent, PeerError};
pub use groups::Groups;
pub use handle::Cluster;
pub use known::{Known, Stage};
pub use membership::Membership;
pub use metrics::ClusterMetrics;
pub use node::{InvalidNodeId, MAX_NODE_ID, NodeId};
pub use options::ClusterOptions;
#[cfg(feature = "nats")]
pub use seal::{ClusterSecret, InvalidSecret, MIN_SECRET};
pub use server::Answer;
pub use transport::{Record, Transport};
pub use view::View;
