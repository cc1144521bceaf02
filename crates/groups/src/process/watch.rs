//! Watching who is in a group.

use super::roster::{Change, Roster};
use std::sync::{Arc, Weak};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The members of a group, and what becomes of them: to discover who offers a service, and to notice who has gone.
///
/// It does not keep the group. 256 changes wait for it: a watcher that falls further behind gets all the members again
/// instead of the changes that it has missed, and then the changes since.
#[derive(Debug)]
pub struct Watch<M> {
    roster: Weak<Roster<M>>,
    /// None before the members were sent, and where changes were missed.
    changes: Option<Receiver<Change>>,
}

impl<M> Watch<M> {
    pub(super) fn new(roster: &Arc<Roster<M>>) -> Self {
        Self { roster: Arc::downgrade(roster), changes: None }
    }

    /// Waits for what happens next: [`Change::Members`] at first. None when the group has ended, and all have left with
    /// it.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has missed nothing.
    pub async fn next(&mut self) -> Option<Change> {
        if let Some(changes) = &mut self.changes {
            match changes.recv().await {
                Ok(change) => return Some(change),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(_)) => {}
            }
        }
        // Both under one lock: no change is between them, or in both.
        let (members, changes) = self.roster.upgrade()?.watch().ok()?;
        self.changes = Some(changes);
        Some(Change::Members(members))
    }
}
