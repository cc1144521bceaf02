//! What somebody can do who reaches the NATS server of a cluster, and is no node of it: nothing that a node takes in.

mod broadcasts;
mod heavy;
pub mod permissions;
mod records;
mod replays;
mod requests;
pub mod wire;
