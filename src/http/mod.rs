//! What is served over HTTP: the connections, and as services the cache and the counters.

mod activity;
mod admitted;
mod answer;
mod auth;
mod body;
pub mod cache;
mod connection;
pub mod counter;
mod docs;
mod error;
mod host;
mod inflight;
mod metrics;
mod percent;
mod room;
mod serve;

pub use auth::{ApiToken, ApiTokenError, Auth};
pub use host::{AllowedHosts, InvalidHost};
pub use serve::{Limits, Respond, serve};
