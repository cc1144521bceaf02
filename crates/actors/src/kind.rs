//! The actors of one kind on one node, whatever their type is.

use super::meters::ActorsMetrics;
use super::wire::{NodeReply, What};
use evenfold_cluster::sharding::Ownership;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// What a node does for others with its actors of one kind.
pub(super) trait Kind: Send + Sync {
    fn answer(&self, what: What) -> BoxFuture<'_, NodeReply>;

    fn ownership(&self) -> &Arc<Ownership>;

    fn metrics(&self) -> ActorsMetrics;

    /// Has actors save their states that live elsewhere, of the shards that nobody has taken over.
    fn save(&self) -> BoxFuture<'_, ()>;

    /// Ends its shards, with all actors that are left.
    fn stop(&self) -> BoxFuture<'_, ()>;
}
