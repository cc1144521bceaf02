//! What a cluster promises: over the local transport by the paused clock, and over NATS.

mod batches;
mod conformance;
mod connectors;
mod groups;
mod joining;
mod membership;
mod nats;
mod nodes;
mod sharding;
