//! Events that are read together, and how many at once.

use crate::checkpoint::Checkpoint;
use crate::log::{self, EventBuffer, Interest, Layout, Slice, WindowReader};
use std::time::Duration;

/// The most events that are read at once while a worker is far behind: enough to make little of what each query costs.
pub const CHUNK: usize = 20_000;

/// How many events to ask for at once.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    most: usize,
    next: usize,
    reader: WindowReader,
}

impl Limit {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), next: most.max(1), reader: WindowReader::default() }
    }

    /// The most events of a chunk.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Reads a chunk, which is in the buffer afterwards, and learns from it.
    pub(super) async fn read(
        &mut self,
        layout: &Layout,
        conn: &mut sqlx::PgConnection,
        window: log::Window<'_>,
        (slice, interest): (&Slice, &Interest),
        mut events: EventBuffer,
    ) -> Result<Chunk, sqlx::Error> {
        let log::Read { complete, decoding } =
            self.reader.read(layout, conn, window, (slice, interest), self.next, &mut events).await?;
        let count = events.len();
        // A chunk cut short by its bytes: ask for no more rows than fit, so that few are sent for nothing.
        let next = if !complete && events.is_full() { count } else { self.next.saturating_mul(2) };
        self.next = next.clamp(1, self.most);
        Ok(Chunk { events, complete, decoding })
    }
}

/// Events that were read together.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) events: EventBuffer,
    /// Whether they are the last of their window.
    pub(super) complete: bool,
    pub(super) decoding: Duration,
}

impl Chunk {
    /// Moves the checkpoint past them.
    pub(super) fn advance(&self, checkpoint: &mut Checkpoint) {
        if let Some(position) = self.events.last_position() {
            checkpoint.advance_to(position);
        }
        if self.complete {
            checkpoint.close();
        }
    }
}
