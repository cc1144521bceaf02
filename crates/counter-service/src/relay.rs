//! Publishes to those who watch at any node what this process has counted.
//!
//! It costs nothing while nobody watches: a node with watchers announces that to the others, again and again, and they
//! pass on what they commit for as long as that is announced.

use super::id::AGGREGATE_TYPE;
use super::options::StartError;
use crate::changes::{PLACE, changes_group};
use bytes::Bytes;
use evenfold::counters::Changes;
use evenfold_cluster::transport::Subscription;
use evenfold_cluster::{Groups, NodeId, Transport};
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Group, JoinOptions, Member, Slow};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

/// Where it is announced that somebody watches, and where changes are published.
const WATCHED: &str = "watched";
const CHANGES: &str = "changes";

/// How often it is announced that somebody watches.
const AGAIN: Duration = Duration::from_secs(1);

/// How long it counts.
const COUNTS: Duration = Duration::from_secs(3);

/// How many changes wait for being passed on. Whoever misses one is notified of that.
const QUEUE: usize = 1_024;

/// Passes changes on from the group in which the workers of a process publish them to those in which the watchers of
/// all nodes are.
pub(super) struct Relay {
    id: String,
    source: Group<Arc<Changes>>,
    watchers: Group<Arc<Changes>>,
    everywhere: Groups<Arc<Changes>>,
    transport: Arc<dyn Transport>,
    /// Somebody has begun to watch here.
    begun: Arc<Notify>,
}

impl Relay {
    /// A relay from this group to that of the same name among these, which are the node's own; and what it hears of
    /// watchers elsewhere.
    pub(super) async fn connect(
        transport: Arc<dyn Transport>,
        node: &NodeId,
        source: Group<Arc<Changes>>,
        watchers: ProcessGroups<Arc<Changes>>,
        begun: Arc<Notify>,
    ) -> Result<(Self, Subscription), StartError> {
        let own = changes_group(&watchers)?;
        let watched = transport.subscribe(WATCHED).await?;
        let missed = || Arc::new(Changes::Any);
        let everywhere = Groups::connect(Arc::clone(&transport), node.clone(), CHANGES, watchers, missed).await?;
        let id = format!("relay {node}");
        Ok((Self { id, source, watchers: own, everywhere, transport, begun }, watched))
    }

    /// Until it is to stop.
    pub(super) async fn run(self, watched: Subscription, stop: CancellationToken) {
        let _stopped = stop.run_until_cancelled(self.pass_on(watched)).await;
        self.everywhere.leave().await;
    }

    async fn pass_on(&self, mut watched: Subscription) {
        let mut again = interval(AGAIN);
        let (mut member, mut until) = (None, Instant::now());
        loop {
            tokio::select! {
                changes = received(&mut member) => match changes {
                    Some(changes) => self.pass(changes).await,
                    // Its group was deleted: nothing is published there any more.
                    None => member = None,
                },
                Some(_) = watched.next() => until = Instant::now() + COUNTS,
                () = self.begun.notified() => until = self.announce(until).await,
                _ = again.tick() => until = self.announce(until).await,
            }
            if Instant::now() >= until {
                member = None;
            } else if member.is_none() {
                let options = JoinOptions::default().queue(QUEUE).slow(Slow::DropOldest);
                member = self.source.join(&self.id, options).ok().map(|member| (member, 0));
                // Who began to watch before this has read the counter, and missed what came then.
                self.pass(Arc::new(Changes::Any)).await;
            }
        }
    }

    /// Announces to the other nodes that somebody watches here, if so; until when that counts here.
    async fn announce(&self, until: Instant) -> Instant {
        if self.watchers.is_empty() {
            return until;
        }
        // It is announced again soon.
        let _unreachable = self.transport.publish(WATCHED, Bytes::new()).await;
        Instant::now() + COUNTS
    }

    async fn pass(&self, changes: Arc<Changes>) {
        let Some(changes) = of_counters(changes) else { return };
        let (tenant, namespace, name) = PLACE;
        if let Err(error) = self.everywhere.broadcast(tenant, namespace, name, changes).await {
            tracing::warn!(%error, "those who watch were not notified of a change");
        }
    }
}

/// What the shards and the workers publish; that anything may have changed, where something was dropped; none where the
/// group has ended. Without a member it waits for ever.
async fn received(member: &mut Option<(Member<Arc<Changes>>, u64)>) -> Option<Arc<Changes>> {
    let Some((member, dropped)) = member else { return std::future::pending().await };
    let changes = member.recv().await.ok()?;
    let before = std::mem::replace(dropped, member.dropped());
    Some(if before == *dropped { changes } else { Arc::new(Changes::Any) })
}

/// What it says about counters of the service; none if that is nothing.
fn of_counters(changes: Arc<Changes>) -> Option<Arc<Changes>> {
    let Changes::Listed(rows) = &*changes else { return Some(changes) };
    if rows.iter().all(|row| row.aggregate_type == AGGREGATE_TYPE) {
        return Some(changes);
    }
    let rows: Vec<_> = rows.iter().filter(|row| row.aggregate_type == AGGREGATE_TYPE).cloned().collect();
    (!rows.is_empty()).then(|| Arc::new(Changes::Listed(rows)))
}
