//! Appending for many callers at once.

use super::append::check;
use super::group::Request;
use super::lanes::{Connector, Task};
use super::sizes::{GroupCommits, Sizes};
use super::{AppendError, Appended, Epoch};
use crate::database::Database;
use crate::event::NewEvent;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How an [`Appender`] groups.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AppenderOptions {
    /// How many calls may wait to be taken; whoever comes then waits for room. At least 1.
    pub queue: usize,
    /// How many events are appended together, unless one call has more: 1 to
    /// [`MAX_APPEND_EVENTS`](super::MAX_APPEND_EVENTS). Fewer, where they have more than 4 MiB.
    pub group: usize,
}

impl Default for AppenderOptions {
    /// 10,000 calls wait, 1,000 events are a group.
    fn default() -> Self {
        Self { queue: 10_000, group: 1_000 }
    }
}

impl AppenderOptions {
    /// The same with this [`queue`](Self::queue).
    #[must_use]
    pub fn queue(self, queue: usize) -> Self {
        Self { queue, ..self }
    }

    /// The same with this [`group`](Self::group).
    #[must_use]
    pub fn group(self, group: usize) -> Self {
        Self { group, ..self }
    }
}

/// Appends for many callers at once: whatever waits when a connection is free becomes one transaction.
///
/// What a commit costs is shared by a group, so the more callers wait at the same time, the more is appended. Nobody
/// waits for a group to fill. An append is not part of a transaction of its caller's: for that there is
/// [`append`](super::append).
///
/// Clones are cheap, and share two connections and their task. Of one aggregate only one group is on its way at a time.
/// The task ends when the last of them is dropped, after what was called for.
#[derive(Debug, Clone)]
pub struct Appender {
    queue: mpsc::Sender<Request>,
    sizes: Arc<Sizes>,
    closing: CancellationToken,
    ended: CancellationToken,
}

impl Appender {
    /// Starts the task, which connects when it is first called for. A database that is not there is waited for, with
    /// growing pauses up to 10 seconds, for ever.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(database: &Database, options: AppenderOptions) -> Self {
        Self::new(database, options, None, Arc::default())
    }

    /// One that appends through connections of this epoch only, and is closed when that is over.
    #[doc(hidden)]
    #[must_use]
    pub fn of_epoch(database: &Database, options: AppenderOptions, epoch: Epoch, sizes: Arc<Sizes>) -> Self {
        Self::new(database, options, Some(epoch), sizes)
    }

    fn new(database: &Database, options: AppenderOptions, epoch: Option<Epoch>, sizes: Arc<Sizes>) -> Self {
        let (queue, waiting) = mpsc::channel(options.queue.clamp(1, tokio::sync::Semaphore::MAX_PERMITS));
        let closing = epoch.as_ref().map_or_else(CancellationToken::new, |epoch| epoch.ended().child_token());
        let ended = CancellationToken::new();
        let connector = Connector { database: database.named("evenfold append"), epoch };
        let task = Task::new(connector, waiting, options.group, closing.clone(), Arc::clone(&sizes));
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _ended = guard;
            task.run().await;
        });
        Self { queue, sizes, closing, ended }
    }

    /// Appends all of the events or none, as [`append`](super::append) does, together with those of other callers.
    ///
    /// Events of one aggregate get their versions in the order of the calls. What is wrong with the events of one
    /// caller is reported to that one alone: a group that can't be appended is halved until it can. An aggregate in
    /// which another connection has an open transaction that appended holds up others for some seconds, at most, and
    /// its own caller gets the database's lock timeout (`55P03`).
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. Nothing was appended, except after [`AppendError::Unanswered`]: when the connection is lost
    /// or silent for a minute, those whose events were being appended are not known. Those behind them wait.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, all of the events are in the log, or will be, or none; appending them again, with the
    /// same event ids, shows which.
    pub async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        check(&events)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        self.queue.send(Request { events, answer }).await.map_err(|_| AppendError::Closed)?;
        // Only the end of the runtime drops the task before it has answered.
        answered.await.unwrap_or_else(|_| Err(AppendError::Unanswered("the appender was dropped".to_owned())))
    }

    /// What has been committed until now, by all clones.
    #[must_use]
    pub fn commits(&self) -> GroupCommits {
        self.sizes.commits()
    }

    /// Lets no more events in, from any clone, and waits until those that were called for are appended. If the database
    /// is not there, it is not waited for: their callers get [`AppendError::Unanswered`].
    ///
    /// # Cancel safety
    ///
    /// No more events are let in; the others are appended all the same.
    pub async fn close(self) {
        self.closing.cancel();
        self.ended.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    #[tokio::test]
    async fn a_full_queue_makes_callers_wait_for_room() -> Result<(), crate::event::InvalidEvent> {
        let (queue, mut waiting) = mpsc::channel(2);
        let appender = Appender {
            queue,
            sizes: Arc::default(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let event = || Ok::<_, crate::event::InvalidEvent>(vec![NewEvent::new("t", "a", "e", &1)?]);
        let (one, two, three) = (appender.append(event()?), appender.append(event()?), appender.append(event()?));
        let (mut one, mut two, mut three) = (pin!(one), pin!(two), pin!(three));
        assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
        assert!((&mut three).now_or_never().is_none());
        assert_eq!(waiting.len(), 2, "the third is not in the queue");
        drop(waiting.try_recv());
        assert!((&mut three).now_or_never().is_none());
        assert_eq!(waiting.len(), 2, "there was room for it");
        Ok(())
    }
}
