//! What a cluster promises: over the local transport by the paused clock, and over NATS.

mod membership;
mod nodes;
