//! A transport over NATS, with `JetStream` for the records.
//!
//! Requests to the node `a` of the cluster `c` go to the subject `evenfold.c.node.a`, messages to `evenfold.c.topic.…`, and
//! the records are the bucket `evenfold_c`. So several clusters can share a NATS.

mod connection;
mod records;
mod user;

use super::transport::{
    Heard, Incoming, Reply, RequestError, Requests, Subscription, Transport, Unreachable, WriteError, Writes,
};
use super::{NodeId, Record};
use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use connection::Losses;
pub use connection::NatsError;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use records::Records;
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// The most bytes of a frame where NATS allows its usual 1 MiB, which is the most here.
const MAX_FRAME: usize = 1_000_000;

/// How long NATS may take to confirm a subscription.
const CONFIRMED: Duration = Duration::from_secs(5);

/// A connection to NATS, for one cluster. A connection that is lost is made again, for ever; requests are refused meanwhile.
pub struct Nats {
    client: Client,
    cluster: NodeId,
    records: Records,
    losses: Losses,
    _events: AbortOnDropHandle<()>,
}

impl Nats {
    /// Connects to one of these servers, given as `nats://user:password@host:port` with commas between them, of which only
    /// the host is needed.
    ///
    /// # Errors
    ///
    /// [`NatsError`]: nobody answers within 5 seconds, the user is refused, or there is no `JetStream`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, there is no connection.
    pub async fn connect(url: &str, cluster: NodeId) -> Result<Self, NatsError> {
        let (client, losses, events) = connection::connect(url, &cluster).await?;
        let records = Records::new(&client, &cluster);
        records.create().await.map_err(|error| NatsError::NoJetStream(connection::shown(url), error))?;
        Ok(Self { client, cluster, records, losses, _events: events })
    }

    /// How often messages were lost, as far as it is known: more came than were taken, or the connection was.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.count()
    }

    fn node(&self, node: &NodeId) -> String {
        format!("evenfold.{}.node.{node}", self.cluster)
    }

    fn topic(&self, topic: &str) -> String {
        format!("evenfold.{}.topic.{topic}", self.cluster)
    }

    async fn confirmed(&self, subscriber: Subscriber) -> Result<Subscriber, Unreachable> {
        match timeout(CONFIRMED, connection::settled(&self.client)).await {
            Ok(()) => Ok(subscriber),
            Err(_) => Err(Unreachable(format!("NATS did not answer within {CONFIRMED:?}"))),
        }
    }

    async fn send(&self, to: &NodeId, frame: Bytes, limit: Duration) -> Result<Bytes, RequestError> {
        let (bytes, max) = (frame.len(), self.max_frame());
        if bytes > max {
            return Err(RequestError::TooLarge { bytes, max });
        }
        // Else it would wait for a connection, and go out when nobody expects it any more.
        if self.client.connection_state() != State::Connected {
            return Err(RequestError::NotSent("there is no connection to NATS at the moment".to_owned()));
        }
        let request = async_nats::Request::new().payload(frame).timeout(Some(limit));
        let answer = self.client.send_request(self.node(to), request).await;
        answer.map(|message| message.payload).map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => RequestError::NoSuchNode(to.clone()),
            RequestErrorKind::MaxPayloadExceeded => RequestError::TooLarge { bytes, max },
            RequestErrorKind::InvalidSubject => RequestError::NotSent(error.to_string()),
            RequestErrorKind::TimedOut | RequestErrorKind::Other => RequestError::Unanswered(error.to_string()),
        })
    }
}

impl Transport for Nats {
    fn max_frame(&self) -> usize {
        self.client.max_payload().min(MAX_FRAME)
    }

    fn request<'a>(
        &'a self,
        to: &'a NodeId,
        frame: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Bytes, RequestError>> {
        let late = move |_| Err(RequestError::Unanswered(format!("none came within {limit:?}")));
        Box::pin(async move { timeout(limit, self.send(to, frame, limit)).await.unwrap_or_else(late) })
    }

    fn serve<'a>(&'a self, node: &'a NodeId) -> BoxFuture<'a, Result<Requests, Unreachable>> {
        Box::pin(async move {
            // A queue group: of two processes with one name, for the moment that this can last, one gets a request.
            let requests = self.client.queue_subscribe(self.node(node), "node".to_owned()).await;
            let requests = self.confirmed(requests.map_err(unreachable)?).await?;
            let client = self.client.clone();
            let incoming = requests.filter_map(move |message| {
                let (client, frame) = (client.clone(), message.payload);
                // A message that can't be answered is no request.
                let reply = message.reply.map(|to| Reply::new(move |frame| Box::pin(answer(client, to, frame))));
                std::future::ready(reply.map(|reply| Incoming { frame, reply }))
            });
            Ok(incoming.boxed())
        })
    }

    fn publish<'a>(&'a self, topic: &'a str, frame: Bytes) -> BoxFuture<'a, Result<(), Unreachable>> {
        Box::pin(async move {
            if frame.len() > self.max_frame() {
                return Err(Unreachable(format!("{} bytes are too many for a message", frame.len())));
            }
            if self.client.connection_state() != State::Connected {
                return Err(Unreachable("there is no connection to NATS at the moment".to_owned()));
            }
            self.client.publish(self.topic(topic), frame).await.map_err(unreachable)
        })
    }

    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, Unreachable>> {
        Box::pin(async move {
            let losses = self.losses.clone();
            let messages = self.client.subscribe(self.topic(topic)).await.map_err(unreachable)?;
            let messages = self.confirmed(messages).await?;
            let heard = stream::unfold((messages, losses), |(mut messages, mut losses)| async {
                let heard = tokio::select! {
                    // First: whoever looks again then at what the messages are about has seen all that was missed.
                    biased;
                    () = losses.more() => Heard::Missed,
                    message = messages.next() => Heard::Frame(message?.payload),
                };
                Some((heard, (messages, losses)))
            });
            Ok(heard.boxed())
        })
    }

    fn nodes(&self, limit: Duration) -> BoxFuture<'_, Result<Vec<NodeId>, Unreachable>> {
        Box::pin(within(limit, self.records.nodes()))
    }

    fn read<'a>(&'a self, node: &'a NodeId, limit: Duration) -> BoxFuture<'a, Result<Option<Record>, Unreachable>> {
        Box::pin(within(limit, self.records.read(node)))
    }

    fn write<'a>(
        &'a self,
        node: &'a NodeId,
        expected: u64,
        value: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<u64, WriteError>> {
        Box::pin(within(limit, self.records.write(node, expected, value, limit)))
    }

    fn writes(&self) -> BoxFuture<'_, Result<Writes, Unreachable>> {
        Box::pin(async move {
            let written = self.client.subscribe(self.records.subjects()).await.map_err(unreachable)?;
            let written = self.confirmed(written).await?;
            let writes = written.filter_map(|message| {
                let node = records::node_of(message.subject.as_str());
                std::future::ready(node.map(|node| (node, message.payload)))
            });
            Ok(writes.boxed())
        })
    }
}

async fn answer(client: Client, to: async_nats::Subject, frame: Bytes) {
    if let Err(error) = client.publish(to, frame).await {
        tracing::debug!(%error, "an answer was not sent");
    }
}

async fn within<T, E: From<Unreachable>>(limit: Duration, answer: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let late = |_| Err(Unreachable(format!("NATS did not answer within {limit:?}")).into());
    timeout(limit, answer).await.unwrap_or_else(late)
}

fn unreachable(error: impl fmt::Display) -> Unreachable {
    Unreachable(error.to_string())
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
