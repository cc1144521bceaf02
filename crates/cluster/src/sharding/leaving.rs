//! What a node that leaves has to hand over.

use super::ownership::Ownership;
use crate::{Membership, Stage};
use std::time::Duration;
use tokio::time::timeout;

/// How long a node that leaves waits while nobody takes anything over from it.
const HANDOFF_LIMIT: Duration = Duration::from_secs(4);

impl Ownership {
    /// Waits until others have taken over all that this node has, as long as somebody is there who could, be it a node
    /// that only joins, and as long as it goes on: 4 seconds without any progress are the end. Call it after
    /// [`announce_leaving`](crate::Cluster::announce_leaving), and while this node goes on answering. A node by itself
    /// waits for nobody.
    ///
    /// # Cancel safety
    ///
    /// Call it again: it goes on where it was.
    pub async fn hand_off(&self) {
        let Some(membership) = self.membership() else { return };
        self.stop_claiming();
        let (mut progress, mut known) = (self.progress(), membership.known());
        loop {
            progress.mark_unchanged();
            known.mark_unchanged();
            let left = self.holdings();
            if left == 0 || !could_take(membership) && !appears(membership).await {
                return;
            }
            let next = async {
                tokio::select! {
                    changed = progress.changed() => changed,
                    changed = known.changed() => changed,
                }
            };
            if timeout(HANDOFF_LIMIT, next).await.is_err() {
                tracing::warn!(node = %membership.id(), shards = left, "nobody has taken over shards of this node for {HANDOFF_LIMIT:?}, and it leaves with them");
                return;
            }
        }
    }
}

/// Whether somebody has begun to join of whom this node does not know yet: it is in the records.
async fn appears(membership: &Membership) -> bool {
    let met = membership.meet_all().await;
    if let Err(error) = met {
        tracing::warn!(node = %membership.id(), %error, "whether anybody could take over shards of this node is not known");
    }
    could_take(membership)
}

fn could_take(membership: &Membership) -> bool {
    membership.known().borrow().nodes().any(|(_, stage)| matches!(stage, Stage::Joining | Stage::Live))
}
