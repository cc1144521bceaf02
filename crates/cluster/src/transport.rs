//! What nodes need of whatever connects them.

use super::NodeId;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How nodes reach each other: [in one process](super::local) or [over NATS](super::nats).
///
/// It carries requests to a node, messages to all who have subscribed, and a small table of records, one per node, in
/// which the nodes show that they live. Where a limit of time is given, it holds: whoever hears nothing until then gets
/// an error.
///
/// # Cancel safety
///
/// Whatever is dropped may be done all the same, or not.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// The most bytes of a frame: a request, an answer, or a message to a topic.
    fn max_frame(&self) -> usize;

    /// Sends a request to a node and waits for its answer.
    fn request<'a>(
        &'a self,
        to: &'a NodeId,
        frame: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<Bytes, RequestError>>;

    /// The requests to this node, until the stream is dropped. Where two serve one node, only one of them gets a
    /// request.
    fn serve<'a>(&'a self, node: &'a NodeId) -> BoxFuture<'a, Result<Requests, Unreachable>>;

    /// Sends a message to all who have subscribed, this node too. Those of one sender arrive in their order, or not at
    /// all.
    fn publish<'a>(&'a self, topic: &'a str, frame: Bytes) -> BoxFuture<'a, Result<(), Unreachable>>;

    /// The messages to a topic from now on. A topic is named like a [`NodeId`].
    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, Unreachable>>;

    /// The nodes that have records.
    fn nodes(&self, limit: Duration) -> BoxFuture<'_, Result<Vec<NodeId>, Unreachable>>;

    /// The record of a node.
    fn read<'a>(&'a self, node: &'a NodeId, limit: Duration) -> BoxFuture<'a, Result<Option<Record>, Unreachable>>;

    /// Replaces the record of a node if its revision still is the expected one, 0 where there is none. Gives the new
    /// one.
    fn write<'a>(
        &'a self,
        node: &'a NodeId,
        expected: u64,
        value: Bytes,
        limit: Duration,
    ) -> BoxFuture<'a, Result<u64, WriteError>>;

    /// Whether records that were written can be lost, so that a node that lives may have none until its next heartbeat.
    /// Whoever joins listens for heartbeats as well then.
    fn may_lose_records(&self) -> bool {
        false
    }

    /// What is written from now on. It is a hint, and no truth: writes that were refused may be among them, and some
    /// may be missing.
    fn writes(&self) -> BoxFuture<'_, Result<Writes, Unreachable>>;
}

/// Requests to a node, as they arrive.
pub struct Requests {
    arriving: BoxStream<'static, Incoming>,
    closing: CancellationToken,
}

impl Requests {
    /// Those of this stream. It is to end after those that have arrived when it is polled and the token is cancelled.
    pub fn new(arriving: impl Stream<Item = Incoming> + Send + 'static, closing: CancellationToken) -> Self {
        Self { arriving: arriving.boxed(), closing }
    }

    /// Accepts no more: what has arrived can still be read, and then it ends.
    pub fn close(&self) {
        self.closing.cancel();
    }
}

impl Stream for Requests {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.arriving.poll_next_unpin(cx)
    }
}

/// Messages to a topic, as they arrive.
pub type Subscription = BoxStream<'static, Delivery>;

/// The nodes whose records are written, and what is written.
pub type Writes = BoxStream<'static, (NodeId, Bytes)>;

/// A request that waits for an answer.
pub struct Incoming {
    /// What was asked.
    pub frame: Bytes,
    /// To answer it.
    pub reply: Responder,
}

/// The way back to whoever has asked. One that is dropped leaves them to their limit of time.
pub struct Responder(Box<dyn FnOnce(Bytes) -> BoxFuture<'static, ()> + Send>);

impl Responder {
    /// A way back.
    pub fn new(send: impl FnOnce(Bytes) -> BoxFuture<'static, ()> + Send + 'static) -> Self {
        Self(Box::new(send))
    }

    /// Sends the answer, which may be lost on its way.
    pub async fn send(self, frame: Bytes) {
        (self.0)(frame).await;
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("bytes", &self.frame.len()).finish_non_exhaustive()
    }
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A message.
    Frame(Bytes),
    /// Messages may be missing, before this or among those that follow: more came than the queue holds, or the
    /// connection was lost.
    Missed,
}

/// The record of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Changes with each write; at least 1.
    pub revision: u64,
    /// What was written.
    pub value: Bytes,
}

/// The transport can't be reached, or does not answer in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// Why a record was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The revision is another one; nothing was written.
    #[error("somebody else has written the record")]
    Conflict,
    /// It may be written, or not.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// Why there is no answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody serves this node: the request was not handled.
    #[error("nobody answers for the node {0}")]
    NoSuchNode(NodeId),
    /// It is larger than a frame may be, and was not sent.
    #[error("a request of {bytes} bytes is too large: {max} is the most, so split it")]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many are possible.
        max: usize,
    },
    /// It was not sent, for this reason.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have been handled.
    #[error("no answer: {0}")]
    Unanswered(String),
}

impl RequestError {
    /// Whether the request was certainly not handled.
    #[must_use]
    pub fn not_handled(&self) -> bool {
        !matches!(self, Self::Unanswered(_))
    }
}
