//! Process groups that reach across nodes: a broadcast goes to the members on every node.

use super::tasks::Tasks;
use super::transport::{Delivery, Subscription, Transport, Unreachable};
use super::{Ended, NodeId};
use bytes::Bytes;
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Accepted, GroupError};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::DropGuard;

/// How many numbers of senders are remembered, of each in each group.
const MAX_KNOWN: usize = 100_000;

/// Groups whose members are on several nodes, by the same tenants, namespaces and names everywhere. Members join the
/// groups of their own node: [`local`](Self::local). Clones are cheap, and the same groups.
///
/// What is promised: the members of the sender's own node get a broadcast as they get any. Those on other nodes get it
/// at most once, in the order of its sender; where some are missing, they get the message that stands for it instead,
/// made by the closure: what they know may be out of date then. That message may come without need, and comes before or
/// in place of what is missing. A node that is cut off learns of it when it is connected again.
pub struct Groups<M> {
    shared: Arc<Bridge<M>>,
}

struct Bridge<M> {
    transport: Arc<dyn Transport>,
    topic: &'static str,
    node: NodeId,
    /// Drawn at the start: a node that starts again counts from 1 again.
    incarnation: u64,
    local: ProcessGroups<M>,
    /// The number of the last broadcast to each group. It is locked while one is sent, so that the order of the numbers
    /// is that of the messages.
    sent: Mutex<HashMap<Place, u64>>,
    tasks: Tasks,
    _end: DropGuard,
}

/// Tenant, namespace and name of a group.
type Place = (String, String, String);

/// What travels.
#[derive(Debug, Serialize, Deserialize)]
struct Broadcast<M> {
    from: String,
    incarnation: u64,
    place: Place,
    /// Of the sender in this group, from 1 on.
    number: u64,
    /// None where only the number of the last one is sent, after a connection was lost.
    message: Option<M>,
}

impl<M> Groups<M>
where
    M: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Connects the groups of this node with those of the same topic on the other nodes. What was missed is reported by
    /// the message that `missed` makes.
    ///
    /// # Errors
    ///
    /// [`Unreachable`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing is connected.
    pub async fn connect(
        transport: Arc<dyn Transport>,
        node: NodeId,
        topic: &'static str,
        local: ProcessGroups<M>,
        missed: impl Fn() -> M + Send + Sync + 'static,
    ) -> Result<Self, Unreachable> {
        let subscription = transport.subscribe(topic).await?;
        let (tasks, incarnation) = (Tasks::new(), fastrand::u64(..));
        let end = tasks.stop.clone().drop_guard();
        let receiver = Receiver { node: node.clone(), local: local.clone(), last: HashMap::new(), missed };
        let shared = Bridge {
            transport,
            topic,
            node,
            incarnation,
            local,
            sent: Mutex::default(),
            tasks: tasks.clone(),
            _end: end,
        };
        let shared = Arc::new(shared);
        // The task does not keep the groups: it ends with the last of their handles.
        let weak = Arc::downgrade(&shared);
        tasks.spawn(async move { receiver.run(subscription, weak).await });
        Ok(Self { shared })
    }

    /// The groups of this node, to join them.
    #[must_use]
    pub fn local(&self) -> &ProcessGroups<M> {
        &self.shared.local
    }

    /// Gives the message to the members of the group on every node. Waits for no member: those that would be waited for
    /// go without where their queues are full. Returns what became of it on this node.
    ///
    /// Where the transport can't send it, the others learn later that they have missed something.
    ///
    /// # Errors
    ///
    /// A bad name, or too many tenants or groups: nobody has got the message.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, it is sent to the members of each node, or not.
    pub async fn broadcast(
        &self,
        tenant: &str,
        namespace: &str,
        name: &str,
        message: M,
    ) -> Result<Accepted, GroupError> {
        let group = self.shared.local.tenant(tenant)?.open(namespace, name)?;
        let place = (tenant.to_owned(), namespace.to_owned(), name.to_owned());
        let mut sent = self.shared.sent.lock().await;
        let number = sent.entry(place.clone()).or_insert(0);
        *number += 1;
        let frame = self.shared.frame(place, *number, Some(message.clone()));
        let accepted = group.offer(message)?;
        if let Err(error) = self.shared.transport.publish(self.shared.topic, frame).await {
            tracing::debug!(%error, "a broadcast was not sent to the other nodes, which learn later that they have missed something");
        }
        drop(sent);
        Ok(accepted)
    }

    /// Disconnects from the other nodes, and waits until that is done. The members of this node stay.
    ///
    /// # Cancel safety
    ///
    /// It is disconnected all the same.
    pub async fn leave(&self) {
        self.shared.tasks.end(Ended::Left);
        self.shared.tasks.wait().await;
    }
}

impl<M: Serialize> Bridge<M> {
    fn frame(&self, place: Place, number: u64, message: Option<M>) -> Bytes {
        let from = self.node.as_str().to_owned();
        let broadcast = Broadcast { from, incarnation: self.incarnation, place, number, message };
        // What can't be encoded arrives as something that can't be read, which is missing then.
        postcard::to_stdvec(&broadcast).unwrap_or_default().into()
    }

    /// Publishes how far it has come, so that the others notice when they have missed the last ones.
    async fn publish_numbers(&self) {
        let sent = self.sent.lock().await;
        for (place, number) in &*sent {
            let _ = self.transport.publish(self.topic, self.frame(place.clone(), *number, None)).await;
        }
    }
}

/// What takes in the broadcasts of other nodes.
struct Receiver<M, F> {
    node: NodeId,
    local: ProcessGroups<M>,
    /// The last number of each sender in each group, and of which incarnation.
    last: HashMap<(String, Place), (u64, u64)>,
    missed: F,
}

impl<M, F> Receiver<M, F>
where
    M: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    F: Fn() -> M + Send + Sync + 'static,
{
    async fn run(mut self, mut subscription: Subscription, groups: std::sync::Weak<Bridge<M>>) {
        while let Some(delivery) = subscription.next().await {
            match delivery {
                Delivery::Frame(frame) => self.take(&frame),
                Delivery::Missed => {
                    self.offer_missed_to_all();
                    // What this node has sent may be lost as well.
                    let Some(groups) = groups.upgrade() else { return };
                    groups.publish_numbers().await;
                }
            }
        }
    }

    fn take(&mut self, frame: &[u8]) {
        let Ok(broadcast) = postcard::from_bytes::<Broadcast<M>>(frame) else {
            tracing::debug!("a broadcast can't be read: another version of evenfold has sent it");
            return self.offer_missed_to_all();
        };
        if broadcast.from == self.node.as_str() {
            return;
        }
        let Broadcast { from, incarnation, place, number, message } = broadcast;
        let (tenant, namespace, name) = &place;
        // Only a group that somebody here has created: what others broadcast takes no room where nobody listens.
        let group = self.local.tenant(tenant).and_then(|tenant| tenant.group(namespace, name));
        let Ok(group) = group else { return };
        if self.last.len() >= MAX_KNOWN {
            // All senders are strangers again, which only notifies members without need that they have missed
            // something.
            self.last.clear();
        }
        let last = self.last.insert((from, place), (incarnation, number));
        // From a sender that is seen for the first time it may be the first message, or the first after some that were
        // missed.
        let last = last.filter(|(known, _)| *known == incarnation).map_or(0, |(_, last)| last);
        let missed = (number != last.wrapping_add(message.is_some().into())).then(|| (self.missed)());
        for message in missed.into_iter().chain(message) {
            // It may have been deleted just now, and then there is nobody to notify.
            let _ = group.offer(message);
        }
    }

    /// Any group may have missed something.
    fn offer_missed_to_all(&self) {
        for group in self.local.all() {
            let _ = group.offer((self.missed)());
        }
    }
}

impl<M> Clone for Groups<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Groups<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("node", &self.shared.node)
            .field("topic", &self.shared.topic)
            .finish_non_exhaustive()
    }
}
