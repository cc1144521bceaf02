//! Requests to one node travel together: whatever waits when there is room for a frame. Nobody waits for a frame to
//! fill.

use super::error::{NotSent, PeerError};
use super::frame::{Answered, Answers, HEAD, QUESTION, Questions};
use super::metrics::Counts;
use super::transport::{RequestError, Transport};
use super::{ClusterOptions, NodeId};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// One request that waits for being sent.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Bytes,
    pub(super) until: Instant,
    pub(super) claim: Claim,
    pub(super) answer: oneshot::Sender<Result<Bytes, PeerError>>,
}

/// A request is either sent or abandoned, by whoever claims it first: so the asker who abandons it knows whether it was
/// sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

/// The sender of all requests to one node.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) from: NodeId,
    pub(super) incarnation: u64,
    pub(super) to: NodeId,
    pub(super) options: ClusterOptions,
    pub(super) counts: Arc<Counts>,
}

/// The most bytes that a request may have to fit into a frame.
pub(super) fn largest(transport: &dyn Transport) -> usize {
    transport.max_frame().saturating_sub(HEAD + QUESTION)
}

impl Sender {
    /// Sends what comes, until nobody can ask any more or nobody has for this long; gives the queue back then.
    pub(super) async fn run(&self, queue: &mut mpsc::Receiver<Asked>, idle: Duration) {
        let mut waiting = VecDeque::new();
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < self.options.in_flight
                && let Some(batch) = self.fill(&mut waiting, queue)
            {
                in_flight.push(self.send(batch));
            }
            let room = in_flight.len() < self.options.in_flight;
            tokio::select! {
                Some(()) = in_flight.next() => {}
                asked = queue.recv(), if room => match asked {
                    Some(asked) => waiting.push_back(asked),
                    None => break,
                },
                () = tokio::time::sleep(idle), if in_flight.is_empty() => return,
            }
        }
        while in_flight.next().await.is_some() {}
    }

    /// What waits, as far as it fits. None if nothing does.
    fn fill(&self, waiting: &mut VecDeque<Asked>, queue: &mut mpsc::Receiver<Asked>) -> Option<Vec<Asked>> {
        let (mut batch, mut room) = (Vec::new(), self.transport.max_frame().saturating_sub(HEAD));
        while batch.len() < self.options.batch
            && let Some(asked) = waiting.pop_front().or_else(|| queue.try_recv().ok())
        {
            let bytes = QUESTION + asked.question.len();
            if bytes > room && !batch.is_empty() {
                waiting.push_front(asked);
                break;
            }
            // Whoever does not want the answer any more, or not in time, has it claimed already.
            if asked.until > Instant::now() && asked.claim.take() {
                room = room.saturating_sub(bytes);
                batch.push(asked);
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn send(&self, batch: Vec<Asked>) {
        self.counts.batch(batch.len());
        let now = Instant::now();
        let limit = batch.iter().map(|asked| asked.until.saturating_duration_since(now)).max().unwrap_or_default();
        let all = batch.iter().map(|asked| asked.question.clone()).collect();
        let frame = Questions { from: self.from.clone(), incarnation: self.incarnation, limit, all }.encode();
        let answers = self.transport.request(&self.to, frame, limit).await;
        self.hand_out(batch, answers);
    }

    fn hand_out(&self, batch: Vec<Asked>, answers: Result<Bytes, RequestError>) {
        let to = &self.to;
        let same = |error: PeerError| vec![Err(error); batch.len()];
        let answers = match answers.map(Answers::decode) {
            Ok(Some(Answers::All(answers))) if answers.len() == batch.len() => {
                answers.into_iter().map(|answer| self.outcome(answer)).collect()
            }
            Ok(Some(Answers::Busy)) => same(PeerError::NotSent(NotSent::Busy(to.clone()))),
            Ok(Some(Answers::Unreadable)) => same(PeerError::NotSent(NotSent::Unreadable(to.clone()))),
            Ok(Some(Answers::Stranger)) => same(PeerError::NotSent(NotSent::Stranger(to.clone()))),
            Ok(_) => same(PeerError::unanswered(to, "its answer can't be read; it may run another version")),
            Err(error) => same(PeerError::of(to, error)),
        };
        for (asked, answer) in batch.into_iter().zip(answers) {
            // Whoever asked may not wait any more.
            let _ = asked.answer.send(answer);
        }
    }

    fn outcome(&self, answer: Answered) -> Result<Bytes, PeerError> {
        let unanswered = |reason: &str| Err(PeerError::unanswered(&self.to, reason));
        match answer {
            Answered::Answer(bytes) => Ok(bytes),
            Answered::Unreadable => Err(PeerError::NotSent(NotSent::Unreadable(self.to.clone()))),
            Answered::Late => unanswered("it had not time enough"),
            Answered::Panicked => unanswered("it has panicked, which is a mistake in the program"),
            Answered::TooLarge => unanswered("the answer has no room in a frame, so ask for less"),
        }
    }
}
