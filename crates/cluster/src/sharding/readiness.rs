//! Whether a node owns what is its own.

use super::ownership::Ownership;
use crate::NodeId;
use std::time::Duration;

impl Ownership {
    /// Whether this node owns all shards that it should, and is certain of it; or why not, in a sentence. A node by
    /// itself always is.
    ///
    /// # Errors
    ///
    /// The sentence.
    pub fn is_ready(&self) -> Result<(), String> {
        let Some(membership) = self.membership() else { return Ok(()) };
        let (view, owned) = (membership.view(), self.owned());
        let own = view.owned_by(membership.id()).count();
        if owned < own {
            Err(takeover_pending(owned, own, self.waits_for()))
        } else if !membership.is_certain() {
            Err("the node is cut off from the cluster".to_owned())
        } else {
            Ok(())
        }
    }

    /// The node that is waited for longest by this one, which takes its shards over, and for how long; none if it waits
    /// for none.
    #[must_use]
    pub fn waits_for(&self) -> Option<(NodeId, Duration)> {
        self.waiting.longest()
    }
}

fn takeover_pending(owned: usize, own: usize, waiting: Option<(NodeId, Duration)>) -> String {
    let taken = format!("the node is taking over its shards: it has {owned} of {own}");
    match waiting {
        Some((node, since)) => {
            format!("{taken}, and has waited for the answer of node {node} for {:.1} s", since.as_secs_f64())
        }
        None => taken,
    }
}
