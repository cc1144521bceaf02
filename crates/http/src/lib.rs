//! What is served over HTTP: the connections, and as services the cache and the counters.

pub mod about;
mod activity;
pub mod answer;
pub mod auth;
mod authorisation;
pub mod body;
pub mod codes;
mod connection;
mod curl;
mod docs;
pub mod documented;
pub mod error;
mod exposition;
pub mod histogram;
mod host;
pub mod inflight;
mod method;
pub mod metrics;
pub mod percent;
mod request_id;
mod respond;
mod room;
pub mod route;
mod router;
mod serve;
mod table;
mod traceparent;

pub use auth::{ApiToken, ApiTokenError, Auth};
pub use host::{AllowedHosts, InvalidHost};
pub use respond::Respond;
pub use router::Router;
pub use serve::{Limits, serve};
pub use traceparent::{Continue, InvalidTraceparent, Traceparent, trace_requests};
