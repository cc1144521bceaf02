//! What the workers of a process share, whatever they fold: a connection that listens, one for their heartbeats, and a
//! list of themselves.

use super::RunOptions;
use super::heartbeats::Heartbeats;
use super::listing::Listing;
use super::wake::Wake;
use crate::database::Database;

/// Each is opened with the first worker that needs it.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) database: Database,
    pub(super) heartbeats: Heartbeats,
    wake: Wake,
    /// For workers that end when nothing is left: they never wait for more.
    asleep: Wake,
    /// Who they are.
    pub(super) listing: Listing,
}

impl Connections {
    pub(super) fn new(database: &Database) -> Self {
        let (wake, heartbeats) = (Wake::listening(database), Heartbeats::new(database));
        Self { database: database.clone(), heartbeats, wake, asleep: Wake::never(), listing: Listing::default() }
    }

    /// What wakes a worker with these options.
    pub(super) fn wake(&self, options: &RunOptions) -> Wake {
        if options.until_caught_up { self.asleep.clone() } else { self.wake.clone() }
    }

    /// Closes both, so that whoever owns the server can stop it.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has ended them, and not waited until they are closed.
    pub(super) async fn close(&self) {
        self.wake.close().await;
        self.heartbeats.close().await;
    }
}
