//! Answering the requests of other nodes.

use super::NodeId;
use super::beat::Beat;
use super::frame::{Answered, Answers, Questions};
use super::greeting::{Admission, Greeter};
use super::known::Known;
use super::metrics::Counts;
use super::transport::{Incoming, Requests};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio_util::sync::CancellationToken;

/// How many bytes of questions are read before other tasks have their turn: to read a frame as a whole takes so long
/// that many of them at once would keep everything else from its thread, this node's heartbeats too.
const READ_AT_ONCE: usize = 64 * 1_024;

/// What answers the questions of other nodes.
pub trait Answer<Q, A>: Clone + Send + Sync + 'static {
    /// Answers one question. Those that come together are answered concurrently, and their answers go back together, so
    /// one that takes long keeps the others waiting.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the asker waits no more, or this node leaves.
    fn answer(&self, from: &NodeId, question: Q) -> impl Future<Output = A> + Send;
}

pub(super) struct Server<Q, A, H> {
    answer: H,
    acquaintances: Acquaintances,
    counts: Arc<Counts>,
    /// How many frames are answered at the same time.
    limit: usize,
    max_frame: usize,
    types: PhantomData<fn(Q) -> A>,
}

/// Who may ask.
pub(super) struct Acquaintances {
    pub(super) known: watch::Receiver<Arc<Known>>,
    pub(super) greeter: Arc<Greeter>,
    /// The last heartbeat of this node that was acknowledged.
    pub(super) own: watch::Receiver<Beat>,
}

impl Acquaintances {
    /// Whether the sender is known, from now on at the latest.
    async fn admit(&self, from: &NodeId, incarnation: u64) -> bool {
        self.known.borrow().is(from, incarnation)
            || matches!(self.greeter.admit(from, incarnation).await, Admission::Known { .. })
    }
}

impl<Q, A, H> Server<Q, A, H>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    H: Answer<Q, A>,
{
    pub(super) fn new(
        answer: H,
        acquaintances: Acquaintances,
        counts: Arc<Counts>,
        limit: usize,
        max_frame: usize,
    ) -> Self {
        Self { answer, acquaintances, counts, limit, max_frame, types: PhantomData }
    }

    /// Answers until it is to stop; then those that have been accepted, within this time.
    pub(super) async fn run(self, mut requests: Requests, stop: CancellationToken, grace: Duration) {
        let server = Arc::new(self);
        let mut answering = JoinSet::new();
        while let Some(Some(incoming)) = stop.run_until_cancelled(requests.next()).await {
            // Those that panic have reported so in their answers.
            while answering.try_join_next().is_some() {}
            if answering.len() < server.limit {
                answering.spawn(Arc::clone(&server).answer(incoming));
            } else {
                server.counts.refused();
                incoming.reply.send(Answers::Busy.encode(server.max_frame)).await;
            }
        }
        // What has arrived and was not looked at: whoever asked learns that, instead of waiting in vain.
        requests.close();
        while let Some(incoming) = requests.next().await {
            incoming.reply.send(Answers::Busy.encode(server.max_frame)).await;
        }
        drop(requests);
        let all = async { while answering.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("requests of other nodes were not answered before this node left");
        }
    }

    async fn answer(self: Arc<Self>, incoming: Incoming) {
        let Some(questions) = Questions::decode(incoming.frame) else {
            return incoming.reply.send(Answers::Unreadable.encode(self.max_frame)).await;
        };
        // Who is active must be known to all: a node that asks, and was never known, is not to be overlooked any
        // longer.
        let answers = if !self.acquaintances.admit(&questions.from, questions.incarnation).await {
            Answers::Stranger
        } else if questions.all.is_empty() {
            Answers::Greeting(*self.acquaintances.own.borrow())
        } else {
            let answers = self.answers(questions).await;
            self.counts.answered(answers.len());
            Answers::All(answers)
        };
        incoming.reply.send(answers.encode(self.max_frame)).await;
    }

    async fn answers(&self, questions: Questions) -> Vec<Answered> {
        let Questions { from, limit, all, .. } = questions;
        let mut answers = vec![Answered::Late; all.len()];
        let one = async |(place, question)| (place, self.one(&from, question).await);
        let all = async {
            let (mut pending, mut read) = (FuturesUnordered::new(), 0);
            for (place, question) in all.into_iter().enumerate() {
                read += question.len();
                pending.push(one((place, question)));
                if read >= READ_AT_ONCE {
                    read = 0;
                    while let Some(Some((place, answer))) = pending.next().now_or_never() {
                        answers[place] = answer;
                    }
                    yield_now().await;
                }
            }
            while let Some((place, answer)) = pending.next().await {
                answers[place] = answer;
            }
        };
        // Who waits no longer needs no answer; those that are done are worth nothing then either, but say so.
        let _ = tokio::time::timeout(limit, all).await;
        answers
    }

    async fn one(&self, from: &NodeId, question: Bytes) -> Answered {
        let Ok(question) = postcard::from_bytes(&question) else { return Answered::Unreadable };
        // A mistake in one answer must not take the others with it.
        let answer = AssertUnwindSafe(self.answer.answer(from, question)).catch_unwind().await;
        match answer.map(|answer| postcard::to_stdvec(&answer)) {
            Ok(Ok(bytes)) => Answered::Answer(bytes.into()),
            Ok(Err(error)) => {
                tracing::error!(%error, "an answer can't be encoded");
                Answered::Panicked
            }
            Err(_) => Answered::Panicked,
        }
    }
}
