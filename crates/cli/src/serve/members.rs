//! Which other nodes the cluster has, for the log: once for the process, as each of its nodes sees the same.

use evenfold_counter_service::Node;
use std::collections::BTreeSet;
use std::convert::Infallible;

/// Logs the members that are not this process's whenever they are others than before. Never ends.
pub(super) async fn log_changes(nodes: &[Node]) -> Infallible {
    let own: BTreeSet<String> = nodes.iter().map(|node| node.metrics().node).collect();
    let Some(mut views) = nodes.first().and_then(Node::views) else { return std::future::pending().await };
    let mut known = BTreeSet::new();
    loop {
        let view = views.borrow_and_update().clone();
        let members = view.members().iter().map(|member| member.as_str().to_owned());
        let others: BTreeSet<String> = members.filter(|member| !own.contains(member)).collect();
        if others != known {
            tracing::info!(?others, "the other nodes of the cluster have changed");
            known = others;
        }
        if views.changed().await.is_err() {
            // The node has ended, which is reported where that is waited for.
            return std::future::pending().await;
        }
    }
}
