//! What the server refuses.

use tokio::sync::watch;
use tokio::time::Instant;

/// What the server has refused last, as this user may not do it. It is reported on the connection, not to the one who
/// has asked.
#[derive(Debug)]
pub(super) struct Denials(watch::Sender<Option<(Instant, String)>>);

impl Denials {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Whether this is one.
    pub(super) fn take_in(&self, error: &str) -> bool {
        let Some((_, denied)) = error.split_once("Permissions Violation for ") else { return false };
        let sentence = format!("its user has no permission for the {}: grant it", denied.trim_end_matches('\''));
        tracing::warn!("NATS refuses what a node needs: {sentence}");
        self.0.send_replace(Some((Instant::now(), sentence)));
        true
    }

    /// What was refused since then, in a sentence.
    pub(super) fn since(&self, then: Instant) -> Option<String> {
        self.0.borrow().as_ref().filter(|(at, _)| *at >= then).map(|(_, sentence)| sentence.clone())
    }

    /// Waits until something is refused, if nothing has been since then.
    pub(super) async fn wait_since(&self, then: Instant) -> String {
        let mut denied = self.0.subscribe();
        let refused = denied.wait_for(|denied| denied.as_ref().is_some_and(|(at, _)| *at >= then)).await;
        match refused.ok().and_then(|denied| denied.as_ref().map(|(_, sentence)| sentence.clone())) {
            Some(sentence) => sentence,
            // Only while all of this is dropped.
            None => std::future::pending().await,
        }
    }
}
