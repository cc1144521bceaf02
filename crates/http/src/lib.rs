//! What is served over HTTP: the connections, and as services the cache and the counters.

mod activity;
pub mod admitted;
pub mod answer;
pub mod auth;
pub mod body;
mod connection;
pub mod docs;
pub mod error;
pub mod histogram;
mod host;
pub mod inflight;
pub mod metrics;
pub mod percent;
mod room;
mod serve;

pub use auth::{ApiToken, ApiTokenError, Auth};
pub use host::{AllowedHosts, InvalidHost};
pub use serve::{Limits, Respond, serve};
