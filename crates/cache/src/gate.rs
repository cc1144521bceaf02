//! Maintenance: whether changes are let in, and how many are inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What every change passes through.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    inside: AtomicUsize,
    changed: Notify,
}

/// A change that was let in. It goes with the message, so that the change is inside until it has been made, whether or
/// not anybody still waits for its answer.
#[derive(Debug)]
pub(super) struct Pass(Arc<Gate>);

impl Gate {
    /// Lets a change in; none while the gate is closed.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Pass> {
        // First in, then a look: `close` does it the other way round, so that in the one order of all four that there
        // is (sequential consistency), one of them sees the other.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let pass = Pass(Arc::clone(self));
        (!self.closed.load(Ordering::SeqCst)).then_some(pass)
    }

    /// Lets no more in, and waits until all that are inside have left, or the gate is opened again.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        loop {
            // Before looking: what changes from here on is not missed.
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.inside.load(Ordering::SeqCst) == 0 || self.is_open() {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let last = self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !self.0.is_open() {
            self.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    #[test]
    fn a_closed_gate_lets_nobody_in_and_waits_for_those_inside() {
        let gate = Arc::new(Gate::default());
        let (one, two) = (gate.enter(), gate.enter());
        let mut closed = pin!(gate.close());
        assert!(one.is_some() && (&mut closed).now_or_never().is_none());
        assert!(gate.enter().is_none(), "it is closed");
        drop(one);
        assert!((&mut closed).now_or_never().is_none(), "one is still inside");
        drop(two);
        assert!(closed.now_or_never().is_some());
        gate.open();
        assert!(gate.enter().is_some());
    }

    #[test]
    fn whoever_waits_for_a_gate_that_is_opened_again_waits_no_longer() {
        let gate = Arc::new(Gate::default());
        let _inside = gate.enter();
        let mut closed = pin!(gate.close());
        assert!((&mut closed).now_or_never().is_none());
        gate.open();
        assert!(closed.now_or_never().is_some());
    }
}
