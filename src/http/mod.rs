//! What is served over HTTP: connections, and how they end.

mod connection;
mod serve;

pub use serve::{Limits, Respond, serve};
