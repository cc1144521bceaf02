//! What a node that leaves has to hand over.

use super::inner::Inner;
use super::question::{NodeReply, Question};
use evenfold_cluster::{Cluster, Stage};
use std::time::Duration;
use tokio::time::timeout;

/// How long a node that leaves waits while nobody takes anything over from it.
const HANDOFF_LIMIT: Duration = Duration::from_secs(4);

impl Inner {
    /// Waits until others have taken over all that this node has, as long as somebody is there who could, be it a node
    /// that only joins, and as long as it goes on.
    pub(super) async fn hand_off(&self, cluster: &Cluster<Question, NodeReply>) {
        let (mut progress, mut known) = (self.ownership.progress(), cluster.known());
        loop {
            progress.mark_unchanged();
            known.mark_unchanged();
            let left = self.ownership.holdings();
            if left == 0 || !could_take(cluster) && !self.appears(cluster).await {
                return;
            }
            let next = async {
                tokio::select! {
                    changed = progress.changed() => changed,
                    changed = known.changed() => changed,
                }
            };
            if timeout(HANDOFF_LIMIT, next).await.is_err() {
                tracing::warn!(node = %cluster.id(), shards = left, "nobody has taken over shards of this node for {HANDOFF_LIMIT:?}, and it leaves with them");
                return;
            }
        }
    }

    /// Whether somebody has begun to join of whom this node does not know yet: it is in the records.
    async fn appears(&self, cluster: &Cluster<Question, NodeReply>) -> bool {
        let met = cluster.meet_all().await;
        if let Err(error) = met {
            tracing::warn!(node = %cluster.id(), %error, "whether anybody could take over shards of this node is not known");
        }
        could_take(cluster)
    }
}

fn could_take(cluster: &Cluster<Question, NodeReply>) -> bool {
    cluster.known().borrow().nodes().any(|(_, stage)| matches!(stage, Stage::Joining | Stage::Live))
}
