//! Rows of a log that others write, where they are read from a hot standby: fences are taken at the log's server, and
//! what they show is read once the standby has replayed it.

use super::chunk::{Chunk, Limit};
use crate::log::{EventBuffer, Fence, Interest, Layout, Slice, Standby, StandbyError, Window};
use sqlx::PgConnection;
use std::time::Duration;

/// How often one chunk is read again that a standby has cancelled for what it must replay, before the worker connects
/// anew.
const CANCELLED_AT_MOST: u32 = 20;
const CANCELLED_PAUSE: Duration = Duration::from_millis(50);

/// Where a worker reads rows, if not where it takes fences.
pub(super) struct Rows {
    standby: Standby,
    /// A fence that was taken and is not replayed yet, and whether it shows all that is visible.
    taken: Option<(Fence, bool)>,
}

impl Rows {
    pub(super) fn of(standby: Standby) -> Self {
        Self { standby, taken: None }
    }

    pub(super) fn conn(&mut self) -> &mut PgConnection {
        self.standby.conn()
    }

    /// Whether all is replayed that was asked for. Until then nothing is read.
    pub(super) async fn are_replayed(&mut self) -> Result<bool, StandbyError> {
        self.standby.has_replayed().await
    }

    /// Has it replay whatever is in a checkpoint that was read before: another worker may have read from elsewhere.
    pub(super) async fn need_all_of(&mut self, primary: &mut PgConnection) -> Result<(), StandbyError> {
        Ok(self.standby.need_all_of(primary).await?)
    }

    /// The fence that was taken last and is replayed now, if it was not given before.
    pub(super) fn replayed(&mut self) -> Option<(Fence, bool)> {
        self.taken.take()
    }

    /// Gives a fence that was just taken, once it is replayed; until then the one before it, with which nobody has
    /// caught up.
    pub(super) async fn wait_for(
        &mut self,
        primary: &mut PgConnection,
        seen: &Fence,
        taken: (Fence, bool),
    ) -> Result<(Fence, bool), StandbyError> {
        if taken.0 == *seen {
            return Ok(taken);
        }
        // After the fence's statements. Not moved on while it is waited for, or a standby that is behind by the same
        // time all day would never get there.
        self.standby.need_all_of(primary).await?;
        if self.standby.has_replayed().await? {
            return Ok(taken);
        }
        self.taken = Some(taken);
        Ok((seen.clone(), false))
    }
}

/// Reads a chunk; again, where the standby has cancelled that for what it must replay.
pub(super) async fn read(
    limit: &mut Limit,
    (layout, conn): (&Layout, &mut PgConnection),
    window: Window<'_>,
    (slice, interest): (&Slice, &Interest),
    mut events: EventBuffer,
) -> Result<Chunk, sqlx::Error> {
    let mut cancelled = 0;
    loop {
        match limit.read(layout, &mut *conn, window, (slice, interest), events).await {
            Err(error) if is_conflict(&error) && cancelled < CANCELLED_AT_MOST => {
                tracing::debug!(%error, "a read is tried again");
                (events, cancelled) = (EventBuffer::default(), cancelled + 1);
                tokio::time::sleep(CANCELLED_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// What a statement that only reads, and is alone in its transaction, can't have for another reason.
fn is_conflict(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("40001"))
}
