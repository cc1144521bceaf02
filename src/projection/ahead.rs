//! Reading ahead: while a batch is applied on one connection, the next ones are read on another.
//!
//! Only within one window. What a window has is fixed when it is opened, so what is read before the batch that comes
//! first is committed is what would be read after; a worker that was outrun drops it with everything else.

use super::chunk::{Chunk, Limit};
use crate::checkpoint::Checkpoint;
use crate::database::{Database, Identity};
use crate::log::{EventBuffer, Interest, Layout, Slice};
use sqlx::Connection;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// How long a worker reads by itself after reading ahead has failed, as it does where connections are used up.
const PAUSE: Duration = Duration::from_secs(10);

/// Chunks that wait to be applied, in addition to the one that is being applied and the one that is being read.
const WAITING: usize = 1;

/// A window that is being read.
#[derive(Debug)]
pub(super) struct ReadAhead {
    chunks: mpsc::Receiver<Chunk>,
    /// Buffers that were applied, to be filled again.
    used: mpsc::Sender<EventBuffer>,
    /// None where others read it as well.
    #[expect(dead_code, reason = "ends the task when it is dropped")]
    task: Option<AbortOnDropHandle<()>>,
    /// What the checkpoint must be for the next chunk to be the next one, and what is read.
    at: Checkpoint,
    slice: Slice,
}

impl ReadAhead {
    /// Begins to read the rest of the checkpoint's open window.
    pub(super) fn start(
        (database, layout): (&Database, &Layout),
        at: &Checkpoint,
        slice: &Slice,
        interest: &Interest,
        limit: Limit,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(WAITING);
        let (used, buffers) = mpsc::channel(WAITING + 2);
        let (log, interest) = ((database.clone(), layout.clone()), interest.clone());
        let (from, of) = (at.clone(), slice.clone());
        let task = tokio::spawn(async move {
            // Whatever fails: the chunks end, the worker reads by itself, and meets the failure or not.
            if let Err(error) = read(&log, from, &of, &interest, limit, &sender, buffers).await {
                tracing::debug!(%error, "reading ahead ended");
            }
        });
        Self { task: Some(AbortOnDropHandle::new(task)), ..Self::of(chunks, used, at, slice) }
    }

    /// A window that somebody else reads.
    pub(super) fn of(
        chunks: mpsc::Receiver<Chunk>,
        used: mpsc::Sender<EventBuffer>,
        at: &Checkpoint,
        slice: &Slice,
    ) -> Self {
        Self { chunks, used, task: None, at: at.clone(), slice: slice.clone() }
    }

    /// Whether the next chunk is the next one for this checkpoint.
    pub(super) fn is_for(&self, checkpoint: &Checkpoint, slice: &Slice) -> bool {
        self.at == *checkpoint && self.slice == *slice
    }

    /// The next chunk, and the checkpoint after it. None if reading has failed.
    ///
    /// # Cancel safety
    ///
    /// A chunk is taken or not; what was taken and is then dropped is read again.
    pub(super) async fn next(&mut self) -> Option<(Chunk, Checkpoint)> {
        let chunk = self.chunks.recv().await?;
        chunk.advance(&mut self.at);
        Some((chunk, self.at.clone()))
    }

    /// Takes back a buffer that was applied.
    pub(super) fn give_back(&self, events: EventBuffer) {
        // With the window read to its end nobody fills buffers any more.
        let _ = self.used.try_send(events);
    }
}

async fn read(
    (database, layout): &(Database, Layout),
    mut at: Checkpoint,
    slice: &Slice,
    interest: &Interest,
    mut limit: Limit,
    chunks: &mpsc::Sender<Chunk>,
    mut buffers: mpsc::Receiver<EventBuffer>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut conn = match layout {
        Layout::Own(_) => database.connect().await?,
        // Its table was checked when the window was opened, and the server is pinned.
        Layout::Foreign(_) => database.connect_to_server().await?.0,
    };
    while let Some(window) = at.window() {
        let buffer = buffers.try_recv().unwrap_or_default();
        let chunk = limit.read(layout, &mut conn, window, (slice, interest), buffer).await?;
        chunk.advance(&mut at);
        if chunks.send(chunk).await.is_err() {
            break;
        }
    }
    conn.close().await?;
    Ok(())
}

/// Whether to read ahead, and since when not.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    database: Option<Database>,
    failed: Option<Instant>,
}

impl Readiness {
    pub(super) fn with(database: &Database) -> Self {
        Self { database: Some(database.clone()), failed: None }
    }

    /// Whether another connection is read from at all.
    pub(super) fn is_wanted(&self) -> bool {
        self.database.is_some()
    }

    /// From here on, from this server only: a window that was opened on one means nothing on another.
    pub(super) fn only(&mut self, identity: Identity) {
        self.database = self.database.take().map(|database| database.only(identity));
    }

    pub(super) fn has_failed(&mut self) {
        self.failed = Some(Instant::now());
    }

    /// The database to read from on another connection, if that is wanted and has not just failed.
    pub(super) fn database(&self) -> Option<&Database> {
        self.database.as_ref().filter(|_| self.failed.is_none_or(|failed| failed.elapsed() >= PAUSE))
    }
}
