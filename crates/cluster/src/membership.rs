//! What a node knows of its cluster, whatever its nodes ask each other.

use super::error::JoinError;
use super::known::Known;
use super::shared::Shared;
use super::{NodeId, View};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Who is in the cluster as far as this node knows, and whether it is certain of its own part in it. Clones are cheap,
/// and of the same node: one that lives is as good as a clone of its [`Cluster`](super::Cluster).
#[derive(Clone)]
pub struct Membership {
    pub(super) shared: Arc<Shared>,
}

impl Membership {
    /// This node.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.shared.node
    }

    /// Who is there and who owns what, as far as this node knows. While it is cut off from the others that is what it
    /// knew before.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.borrow())
    }

    /// The other nodes that this one knows, and each set that takes its place. All who are or have been members know
    /// each other, whatever their views are.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Arc<Known>> {
        self.shared.known.clone()
    }

    /// Greets all who have records, as when it joined: others may have taken this node for dead, and may have joined
    /// since.
    ///
    /// # Errors
    ///
    /// [`JoinError`] when their records can't be read.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, some are greeted, and others are not.
    pub async fn meet_all(&self) -> Result<(), JoinError> {
        self.shared.greeter.meet_all().await
    }

    /// The view, and each that takes its place.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.clone()
    }

    /// Whether the others certainly don't take this node for dead: its last acknowledged heartbeat was sent less than
    /// [`dead_after`](super::ClusterOptions::dead_after) minus one [`heartbeat`](super::ClusterOptions::heartbeat) ago.
    /// No wall clock has a part in it.
    ///
    /// It says nothing about what happens after the call: a process may be paused at any time. What must not be done
    /// twice is decided elsewhere, in the log.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.shared.certainty.is_certain()
    }

    /// How often it was certain again after it had not been. Others may have taken it for dead in between, without its
    /// view having changed: what it has owned since before may have been another node's for a while.
    ///
    /// Whoever finds it [certain](Self::is_certain) first, and the same number after that, knows that there was no
    /// lapse.
    #[must_use]
    pub fn lapses(&self) -> watch::Receiver<u64> {
        self.shared.certainty.lapses()
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Membership").field(&self.shared.node).finish()
    }
}
