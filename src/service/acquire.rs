//! Taking over the shards that have become this node's.
//!
//! A shard is asked for from the node that had it, which finishes what is on its way to the log, and hands over what it keeps
//! in memory only. So there is one owner at a time as long as all see the same members. Where that node does not answer,
//! waiting for it would cost more than it saves: the log decides.
//!
//! A node that was silent for so long that others may have taken it for dead begins anew, also if its own view has never
//! changed: what it knows of its counters may be old.

use super::command::Counted;
use super::id::CounterId;
use super::ownership::Ownership;
use super::peer::{Question, Released, Reply};
use super::shard::{CounterShard, Message};
use crate::cluster::{Cluster, NodeId, View};
use crate::group::ActorGroup;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long the node that had a shard may take to give it.
const ANSWER: Duration = Duration::from_millis(500);

/// The pause before a shard that was not given is asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// A node that lives and does not give a shard is not waited for any longer: it may not see this one.
const PATIENCE: Duration = Duration::from_secs(3);

/// Follows the views of the cluster.
pub(super) struct Acquiring {
    pub(super) ownership: Arc<Ownership>,
    pub(super) shards: ActorGroup<CounterShard>,
    pub(super) cluster: Cluster<Question, Reply>,
    /// From whom a shard is to be taken over, and since when.
    from: Vec<Option<(NodeId, Instant)>>,
}

impl Acquiring {
    pub(super) fn new(
        ownership: Arc<Ownership>,
        shards: ActorGroup<CounterShard>,
        cluster: Cluster<Question, Reply>,
    ) -> Self {
        let from = vec![None; shards.shards() as usize];
        Self { ownership, shards, cluster, from }
    }

    /// Until it is to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (mut views, mut lapses) = (self.cluster.watch(), self.cluster.lapses());
        let mut view = Arc::clone(&views.borrow_and_update());
        let mut lapse = self.begin(&view, &mut lapses);
        loop {
            let all = self.acquire(&view).await;
            let next = async {
                tokio::select! {
                    changed = views.changed() => changed.is_ok(),
                    changed = lapses.changed() => changed.is_ok(),
                    () = sleep(PAUSE), if !all => true,
                }
            };
            if stop.run_until_cancelled(next).await != Some(true) {
                return;
            }
            let new = Arc::clone(&views.borrow_and_update());
            self.follow(&view, &new);
            view = new;
            if *lapses.borrow() != lapse {
                lapse = self.begin(&view, &mut lapses);
            }
        }
    }

    /// Holds nothing for its own that was before; gives how often the certainty had lapsed then.
    fn begin(&mut self, view: &View, lapses: &mut watch::Receiver<u64>) -> u64 {
        let lapse = *lapses.borrow_and_update();
        self.ownership.disown(lapse);
        // Whoever was there before had them: what this node would own without itself is not known better.
        if let Some(before) = view.without(self.cluster.id()) {
            self.follow(&before, view);
        }
        lapse
    }

    /// Gives up what is not this node's any more, and notes who had what is now.
    fn follow(&mut self, before: &View, now: &View) {
        let own = self.cluster.id();
        for (shard, from) in (0..).zip(&mut self.from) {
            if now.owner(shard) != own {
                self.ownership.lose(shard);
                *from = None;
            } else if before.owner(shard) != own {
                *from = Some((before.owner(shard).clone(), Instant::now()));
            }
        }
    }

    /// Takes over what is this node's; whether it has all of it.
    async fn acquire(&mut self, view: &View) -> bool {
        let missing: Vec<u32> = view.owned_by(self.cluster.id()).filter(|shard| !self.ownership.owns(*shard)).collect();
        let taken = join_all(missing.iter().map(|shard| self.take(*shard, view))).await;
        for (shard, taken) in missing.into_iter().zip(&taken) {
            // If the view has changed meanwhile, another node may have been given it already.
            if *taken && self.cluster.view().owner(shard) == self.cluster.id() {
                self.ownership.own(shard);
            }
        }
        taken.into_iter().all(|taken| taken)
    }

    async fn take(&self, shard: u32, view: &View) -> bool {
        let Some((from, since)) = self.from.get(shard as usize).and_then(Option::as_ref) else {
            self.put(shard, Vec::new()).await;
            return true;
        };
        let answers = loop {
            match self.cluster.ask(from, Question::Release { shard }, ANSWER).await {
                Ok(Reply::Released(Released { counters, more })) => {
                    self.put(shard, counters).await;
                    if !more {
                        return true;
                    }
                }
                // It is there, and does not see yet what this node sees.
                Ok(_) => break true,
                Err(_) => break view.members().contains(from),
            }
        };
        if answers {
            if since.elapsed() < PATIENCE {
                return false;
            }
            tracing::warn!(shard, %from, "the shard was not given, and is taken over all the same");
        }
        self.put(shard, Vec::new()).await;
        true
    }

    /// What the shard had known before is not good any more, whatever it is given.
    async fn put(&self, shard: u32, counters: Vec<(CounterId, Counted)>) {
        // A group that has ended counts nothing any more.
        let _ended = self.shards.ask_shard(shard, Message::Take(counters), Duration::MAX).await;
    }
}
