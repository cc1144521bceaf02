//! The workers of a process, for whoever looks at it from outside.

use super::Progress;
use crate::class::Class;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A worker of this process, or a replica that waits for a partition.
#[derive(Debug, Clone)]
pub struct ProcessWorker {
    /// What it folds; none until the first worker of a pool was made.
    pub projection: Option<String>,
    /// Its partition; none while a replica waits for one.
    pub partition: Option<Class>,
    /// What it has done, across restarts.
    pub progress: Arc<Progress>,
}

/// The workers that are at work, are restarted, or have ended with an error.
#[derive(Clone, Default)]
pub(super) struct Listing(Arc<Mutex<Vec<ProcessWorker>>>);

impl Listing {
    pub(super) fn all(&self) -> Vec<ProcessWorker> {
        self.lock().clone()
    }

    /// Lists a worker until the answer is dropped.
    pub(super) fn enter(&self, worker: ProcessWorker) -> Listed {
        let progress = Arc::clone(&worker.progress);
        self.lock().push(worker);
        Listed { listing: self.clone(), progress, stays: false }
    }

    /// What the worker with this progress folds.
    pub(super) fn name(&self, progress: &Arc<Progress>, projection: &str) {
        let mut all = self.lock();
        if let Some(worker) = all.iter_mut().find(|worker| Arc::ptr_eq(&worker.progress, progress)) {
            worker.projection.get_or_insert_with(|| projection.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ProcessWorker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker on the list.
pub(super) struct Listed {
    listing: Listing,
    progress: Arc<Progress>,
    stays: bool,
}

impl Listed {
    /// It stays on the list as long as the process: it has ended with an error, and nobody works on its partition here.
    pub(super) fn stay(mut self) {
        self.stays = true;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        self.listing.lock().retain(|worker| !Arc::ptr_eq(&worker.progress, &self.progress));
    }
}
