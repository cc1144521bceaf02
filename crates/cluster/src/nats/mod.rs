//! A transport over NATS, with `JetStream` for the records.
//!
//! The node `a` of the cluster `c` is greeted at the subject `evenfold.c.node.a` and gets requests at the one of its
//! session below that; messages go to `evenfold.c.topic.…`, answers to `evenfold.c.inbox.…`, and the records are the
//! bucket `evenfold_c`. So several clusters can share a NATS.
//!
//! Everything is sealed under the cluster's secret, as whoever reaches the server can send anything to anybody.

mod calls;
mod connection;
mod denials;
mod error;
mod inbox;
mod link;
mod options;
mod records;
mod serving;
mod topics;
mod user;

use super::seal::{ClusterSecret, Refusals, Seal};
use super::transport::{RequestError, Requests, Subscription, Transport, Unreachable, WriteError, Writes};
use super::{NodeId, Record};
use bytes::Bytes;
use calls::Calls;
use connection::Losses;
use denials::Denials;
pub use error::NatsError;
use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt;
use inbox::Inbox;
use link::Link;
pub use options::{Credentials, NatsOptions};
use records::Records;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use topics::Topics;

/// A connection to NATS, for one cluster. A connection that is lost is made again, for ever; requests are refused
/// meanwhile.
pub struct Nats {
    link: Arc<Link>,
    inbox: Arc<Inbox>,
    calls: Arc<Calls>,
    topics: Topics,
    records: Records,
    losses: Losses,
    _events: AbortOnDropHandle<()>,
}

impl Nats {
    /// Connects to a server that only this machine can reach, without a secret.
    ///
    /// # Errors
    ///
    /// See [`connect_with`](Self::connect_with).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, there is no connection.
    pub async fn connect(url: &str, cluster: NodeId) -> Result<Self, NatsError> {
        Self::connect_with(&NatsOptions::new(url, cluster)).await
    }

    /// Connects to one of the servers of the address.
    ///
    /// # Errors
    ///
    /// [`NatsError`]: there is no secret where one is needed, a file can't be used, nobody answers within 5 seconds,
    /// the user is refused or may not do what a node must, or there is no `JetStream`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, there is no connection.
    pub async fn connect_with(options: &NatsOptions) -> Result<Self, NatsError> {
        let (url, begun, denials) = (options::shown(&options.url), Instant::now(), Arc::new(Denials::new()));
        let (client, events) = connection::connect(options, Arc::clone(&denials)).await?;
        let seal = Seal::new(&options.secret.clone().unwrap_or_else(ClusterSecret::public), &options.cluster);
        let (cluster, refusals) = (options.cluster.clone(), Refusals::default());
        let link = Arc::new(Link { client, cluster, seal, refusals, denials, sessions: Mutex::default() });
        let denied = |error: Unreachable| NatsError::Denied(url.clone(), error.0);
        let inbox = Arc::new(Inbox::open(Arc::clone(&link)).await.map_err(denied)?);
        inbox.settled_since(begun).await.map_err(denied)?;
        let (losses, events) = connection::follow(events, Arc::clone(&inbox)).await;
        let records = Records::new(Arc::clone(&link));
        records.create().await.map_err(|error| match link.denials.since(begun) {
            Some(sentence) => NatsError::Denied(url.clone(), sentence),
            None => NatsError::NoJetStream(url.clone(), error),
        })?;
        let calls = Arc::new(Calls::new(Arc::clone(&link), Arc::clone(&inbox)));
        let topics = Topics::new(Arc::clone(&link));
        Ok(Self { link, inbox, calls, topics, records, losses, _events: events })
    }

    /// How often messages were lost, as far as it is known: more came than were taken, or the connection was.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.count()
    }

    /// How many messages were ignored, as no node of this cluster has sealed them, or as they had come before.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.link.refusals.count()
    }

    /// In time; with what the server has refused meanwhile, as it does not answer then.
    async fn within<T, E: From<Unreachable>>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        timeout(limit, answer).await.unwrap_or_else(|_| {
            let late = || format!("NATS did not answer within {limit:?}");
            Err(Unreachable(self.link.denials.since(begun).unwrap_or_else(late)).into())
        })
    }
}

impl Transport for Nats {
    fn max_frame(&self) -> usize {
        self.link.max_frame()
    }

    fn request<'a>(
        &'a self,
        to: &'a NodeId,
        frame: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Bytes, RequestError>> {
        Box::pin(self.calls.request(to, frame, limit))
    }

    fn serve<'a>(&'a self, node: &'a NodeId) -> BoxFuture<'a, Result<Requests, Unreachable>> {
        Box::pin(serving::serve(&self.link, &self.inbox, node))
    }

    fn publish<'a>(&'a self, topic: &'a str, frame: Bytes) -> BoxFuture<'a, Result<(), Unreachable>> {
        Box::pin(self.topics.publish(topic, frame))
    }

    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, Unreachable>> {
        Box::pin(topics::subscribe(&self.link, &self.inbox, self.losses.clone(), topic))
    }

    fn nodes(&self, limit: Duration) -> BoxFuture<'_, Result<Vec<NodeId>, Unreachable>> {
        Box::pin(self.within(limit, self.records.nodes()))
    }

    fn read<'a>(&'a self, node: &'a NodeId, limit: Duration) -> BoxFuture<'a, Result<Option<Record>, Unreachable>> {
        Box::pin(self.within(limit, self.records.read(node)))
    }

    fn write<'a>(
        &'a self,
        node: &'a NodeId,
        expected: u64,
        value: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<u64, WriteError>> {
        Box::pin(self.within(limit, self.records.write(node, expected, value, limit)))
    }

    /// The bucket is in memory, and whoever may use the server's API can purge it.
    fn may_lose_records(&self) -> bool {
        true
    }

    fn writes(&self) -> BoxFuture<'_, Result<Writes, Unreachable>> {
        Box::pin(async move {
            let written = self.inbox.subscribe(self.records.subjects()).await?;
            let (records, calls) = (self.records.clone(), Arc::clone(&self.calls));
            let writes = written.filter_map(move |message| {
                let written = records.written(message);
                if let Some((node, session, _)) = &written {
                    calls.has_session(node, *session);
                }
                std::future::ready(written.map(|(node, _, value)| (node, value)))
            });
            Ok(writes.boxed())
        })
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("cluster", &self.link.cluster).finish_non_exhaustive()
    }
}
