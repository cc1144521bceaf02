//! A transport within one process, for a node alone, several in one process, and tests.

mod endpoint;
mod network;

pub use endpoint::Endpoint;
pub use network::{Cut, Network};
