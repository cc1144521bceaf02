//! What waits to be appended, and who takes what: of one aggregate only one group is on its way at a time.

use super::group::{Group, Request};
use crate::event::NewEvent;
use crate::hash::IdHash;
use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// The events of a group may have this many bytes together, unless those of its first call have more.
const MAX_GROUP_BYTES: usize = 4 * 1024 * 1024;

/// So many calls may be passed over because their aggregates are busy. Whoever comes then waits in the queue, which is
/// what bounds memory.
const MAX_SKIPPED: usize = 1_000;

/// The aggregates with events that are on their way, by the hashes of their ids: two that share one wait for each
/// other.
#[derive(Debug, Default)]
pub(super) struct Busy {
    hashes: Mutex<HashSet<IdHash>>,
    freed: Notify,
}

impl Busy {
    fn has_some_of(&self, call: &Request) -> bool {
        let hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        call.hashes().any(|hash| hashes.contains(&hash))
    }

    pub(super) fn free(&self, events: &[NewEvent]) {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            hashes.remove(&IdHash::of(&event.aggregate.aggregate_id));
        }
        drop(hashes);
        self.freed.notify_waiters();
    }
}

/// The calls that wait, in their order.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: mpsc::Receiver<Request>,
    /// Those that were taken out of `waiting` and did not fit, or had to wait for a busy aggregate.
    skipped: VecDeque<Request>,
    max_events: usize,
    closing: CancellationToken,
}

impl Queue {
    pub(super) fn new(waiting: mpsc::Receiver<Request>, max_events: usize, closing: CancellationToken) -> Self {
        Self { waiting, skipped: VecDeque::new(), max_events, closing }
    }

    /// Waits for a call, without taking it; false when there will be none.
    pub(super) async fn any(&mut self) -> bool {
        if !self.skipped.is_empty() {
            return true;
        }
        let next = self.next().await;
        self.skipped.extend(next);
        !self.skipped.is_empty()
    }

    async fn next(&mut self) -> Option<Request> {
        if let Some(next) = self.closing.run_until_cancelled(self.waiting.recv()).await {
            return next;
        }
        // Nothing more comes in; what has come in is still there to be taken.
        self.waiting.close();
        self.waiting.recv().await
    }

    /// Takes what waits, as far as it fits and no other group has events of its aggregates, which are busy from now on;
    /// waits for one such call at least. None when there will be none.
    pub(super) async fn take(&mut self, busy: &Busy) -> Option<Group> {
        loop {
            // Before looking: what is freed from here on is not missed.
            let freed = busy.freed.notified();
            let mut freed = std::pin::pin!(freed);
            freed.as_mut().enable();
            let group = self.fill(busy);
            if !group.is_empty() {
                return Some(group);
            }
            if self.skipped.is_empty() {
                let next = self.next().await?;
                self.skipped.push_back(next);
            } else {
                self.wait(busy, freed).await;
            }
        }
    }

    /// All that was passed over waits for busy aggregates: until some are freed, or a call comes that does not.
    async fn wait(&mut self, busy: &Busy, mut freed: Pin<&mut Notified<'_>>) {
        loop {
            let room = self.skipped.len() < MAX_SKIPPED && !self.waiting.is_closed();
            tokio::select! {
                () = freed.as_mut() => return,
                Some(next) = self.waiting.recv(), if room => {
                    let waits = busy.has_some_of(&next);
                    self.skipped.push_back(next);
                    if !waits {
                        return;
                    }
                }
                () = self.closing.cancelled(), if !self.waiting.is_closed() => self.waiting.close(),
            }
        }
    }

    fn fill(&mut self, busy: &Busy) -> Group {
        let mut busy = busy.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = HashSet::new();
        // Whoever comes after a call that is passed over must not overtake it.
        let mut before = HashSet::new();
        let (mut group, mut bytes) = (Group::default(), 0);
        let mut again = std::mem::take(&mut self.skipped).into_iter();
        while self.skipped.len() < MAX_SKIPPED
            && let Some(request) = again.next().or_else(|| self.waiting.try_recv().ok())
        {
            // Whoever does not want the answer any more may take it that nothing was appended.
            if request.answer.is_closed() {
                continue;
            }
            if request.hashes().any(|hash| busy.contains(&hash) || before.contains(&hash)) {
                before.extend(request.hashes());
                self.skipped.push_back(request);
                continue;
            }
            bytes += request.bytes();
            let full = group.len() + request.events.len() > self.max_events || bytes > MAX_GROUP_BYTES;
            if full && !group.is_empty() {
                self.skipped.push_back(request);
                break;
            }
            own.extend(request.hashes());
            group.add(request);
        }
        self.skipped.extend(again);
        busy.extend(own);
        group
    }
}
