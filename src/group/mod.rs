//! Groups of actors: [shards](Shard) that have the keys divided among them, and members that all receive every broadcast.

mod actors;
mod process;

pub use actors::Shard;
