//! What is served over HTTP: the connections, and the cache as a service.

pub mod cache;
mod connection;
mod serve;

pub use serve::{Limits, Respond, serve};
