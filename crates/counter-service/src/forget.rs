//! What is done when the server behind the log may be another one, or in an earlier state.
//!
//! No shard answers from an epoch that has ended, whether it was notified or not. This frees their memory, and has
//! those who watch read again.

use super::message::Message;
use super::shard::CounterShard;
use evenfold::counters::Changes;
use evenfold::log::Epochs;
use evenfold_groups::ActorGroup;
use evenfold_groups::process::Group;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Follows the epochs of a node until it is to stop.
pub(super) async fn follow(
    epochs: Arc<Epochs>,
    shards: ActorGroup<CounterShard>,
    changes: Group<Arc<Changes>>,
    stop: CancellationToken,
) {
    let mut number = epochs.number();
    while let Some(next) = stop.run_until_cancelled(epochs.after(number)).await {
        number = next;
        let all = (0..shards.shards()).map(|shard| shards.ask_shard(shard, Message::Forget, Duration::MAX));
        // A group that has ended has nothing to forget.
        let _ended = join_all(all).await;
        // After each shard's last word on the epoch before: of two versions the higher one would count. It may have
        // been deleted just now, and then there is nobody to notify.
        let _nobody = changes.offer(Arc::new(Changes::Any));
    }
}
