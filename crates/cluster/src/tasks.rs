//! The tasks of a node: who ends them, and who learns that one has panicked.

use super::Ended;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Clones are cheap, and the same tasks.
#[derive(Debug, Clone)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    /// Ends all of them.
    pub(super) stop: CancellationToken,
    ended: Arc<watch::Sender<Option<Ended>>>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), ended: Arc::new(watch::Sender::new(None)) }
    }

    /// Starts one that ends when all of them are to. One that panics ends the others too: half a node would be a
    /// mystery.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn_to_its_end(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Starts one that ends by itself when all of them are to, and may have something to finish first.
    pub(super) fn spawn_to_its_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        let tasks = self.clone();
        self.tracker.spawn(async move {
            // What it has touched is not used any more.
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tasks.end(Ended::Failed(text_of(&*panic)));
            }
        });
    }

    /// Ends all of them, for this reason if there is none yet.
    pub(super) fn end(&self, why: Ended) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(why);
            first
        });
        self.stop.cancel();
    }

    /// Why they have ended; none while they run.
    pub(super) fn ended(&self) -> watch::Receiver<Option<Ended>> {
        self.ended.subscribe()
    }

    /// Waits until none is left.
    pub(super) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}
