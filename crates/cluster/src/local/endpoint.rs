//! A place on a network within one process.

use super::network::{Cut, MAX_FRAME, Network, QUEUE, Subscriber, Wire};
use crate::transport::{
    Delivery, Incoming, RequestError, Requests, Responder, Subscription, Transport, Unreachable, WriteError, Writes,
};
use crate::{NodeId, Record};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A place on a [`Network`], which can be cut off. Clones are cheap, and the same place.
#[derive(Debug, Clone)]
pub struct Endpoint {
    network: Network,
    wire: Wire,
}

impl Network {
    /// Another place on it, which is a transport: one for each node, if they are to be cut off one by one.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { network: self.clone(), wire: Wire::default() }
    }
}

impl Endpoint {
    /// Cuts this place off from the others, or connects it again.
    pub fn cut(&self, what: Cut) {
        self.wire.cut(what);
    }

    /// Does something on the network, and gives what comes of it, unless one of both gets lost on its way.
    async fn ask<T>(&self, limit: Duration, act: impl FnOnce(&Network) -> T) -> Result<T, Unreachable> {
        let outcome = self.wire.sends().then(|| act(&self.network));
        if let Some(outcome) = outcome.filter(|_| self.wire.receives()) {
            return Ok(outcome);
        }
        tokio::time::sleep(limit).await;
        Err(Unreachable(format!("the network did not answer within {limit:?}")))
    }

    async fn send(&self, to: &NodeId, frame: Bytes) -> Result<Bytes, RequestError> {
        if frame.len() > MAX_FRAME {
            return Err(RequestError::TooLarge { bytes: frame.len(), max: MAX_FRAME });
        }
        if !self.wire.sends() {
            return std::future::pending().await;
        }
        let known = self.network.state().nodes.get(to).cloned();
        let (node, wire) = known.ok_or_else(|| RequestError::NoSuchNode(to.clone()))?;
        if !wire.receives() {
            return std::future::pending().await;
        }
        let (answer, answered) = oneshot::channel();
        let reply = Responder::new(move |frame| {
            Box::pin(async move {
                if wire.sends() {
                    // Nobody may wait for it any more.
                    let _ = answer.send(frame);
                }
            })
        });
        // It serves no more, and what was in its queue is gone: this was not among that.
        node.send(Incoming { frame, reply }).await.map_err(|_| RequestError::NoSuchNode(to.clone()))?;
        let answer = answered.await;
        match answer {
            Ok(answer) if self.wire.receives() => Ok(answer),
            // Only the limit of time shows it.
            _ => std::future::pending().await,
        }
    }
}

impl Transport for Endpoint {
    fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    fn request<'a>(
        &'a self,
        to: &'a NodeId,
        frame: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Bytes, RequestError>> {
        let late = move |_| Err(RequestError::Unanswered(format!("none came within {limit:?}")));
        Box::pin(async move { timeout(limit, self.send(to, frame)).await.unwrap_or_else(late) })
    }

    fn serve<'a>(&'a self, node: &'a NodeId) -> BoxFuture<'a, Result<Requests, Unreachable>> {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        self.network.state().nodes.insert(node.clone(), (sender, self.wire.clone()));
        let closing = CancellationToken::new();
        let closed = closing.clone();
        let arriving = stream::poll_fn(move |cx| {
            if closed.is_cancelled() {
                receiver.close();
            }
            receiver.poll_recv(cx)
        });
        Box::pin(std::future::ready(Ok(Requests::new(arriving, closing))))
    }

    fn publish<'a>(&'a self, topic: &'a str, frame: Bytes) -> BoxFuture<'a, Result<(), Unreachable>> {
        let outcome = match () {
            () if frame.len() > MAX_FRAME => Err(Unreachable(format!("{} bytes are too many", frame.len()))),
            () if !self.wire.sends() => Err(Unreachable("the network is cut off".to_owned())),
            () => {
                self.network.publish(topic, &frame);
                Ok(())
            }
        };
        Box::pin(std::future::ready(outcome))
    }

    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, Unreachable>> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let missed = Arc::new(AtomicBool::new(false));
        let subscriber = Subscriber { queue, missed: Arc::clone(&missed), wire: self.wire.clone() };
        self.network.state().topics.entry(topic.to_owned()).or_default().push(subscriber);
        let deliveries = stream::unfold((receiver, missed), |(mut receiver, missed)| async {
            let delivery = next_delivery(&mut receiver, &missed).await?;
            Some((delivery, (receiver, missed)))
        });
        Box::pin(std::future::ready(Ok(deliveries.boxed())))
    }

    fn nodes(&self, limit: Duration) -> BoxFuture<'_, Result<Vec<NodeId>, Unreachable>> {
        Box::pin(self.ask(limit, |network| network.state().records.keys().cloned().collect()))
    }

    fn read<'a>(&'a self, node: &'a NodeId, limit: Duration) -> BoxFuture<'a, Result<Option<Record>, Unreachable>> {
        Box::pin(self.ask(limit, move |network| network.state().records.get(node).cloned()))
    }

    fn write<'a>(
        &'a self,
        node: &'a NodeId,
        expected: u64,
        value: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<u64, WriteError>> {
        Box::pin(async move {
            let written = self.ask(limit, |network| network.write(node, expected, &value)).await?;
            written.ok_or(WriteError::Conflict)
        })
    }

    fn writes(&self) -> BoxFuture<'_, Result<Writes, Unreachable>> {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        self.network.state().writes.push((sender, self.wire.clone()));
        let writes: Writes = Box::pin(stream::poll_fn(move |cx| receiver.poll_recv(cx)));
        Box::pin(std::future::ready(Ok(writes)))
    }
}

/// The next message, or that some are missing, which is reported first: whoever looks again at what the messages are
/// about then has seen all that was missed.
async fn next_delivery(queue: &mut mpsc::Receiver<Bytes>, missed: &AtomicBool) -> Option<Delivery> {
    if missed.swap(false, Ordering::SeqCst) {
        return Some(Delivery::Missed);
    }
    queue.recv().await.map(Delivery::Frame)
}
