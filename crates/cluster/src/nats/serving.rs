//! Being asked: what arrives for a node of this process.

use super::calls::GREETED;
use super::inbox::Inbox;
use super::link::Link;
use crate::NodeId;
use crate::seal::{Code, Purpose, Windows};
use crate::transport::{Incoming, Requests, Responder, Unreachable};
use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How many askers are remembered by their tickets.
const ASKERS: usize = 4_096;

/// The requests to one session of a node.
struct Served {
    link: Arc<Link>,
    node: NodeId,
    session: Uuid,
    requests: Subscriber,
    windows: Windows<u64>,
    /// Askers with tickets up to this one that are not remembered may have been forgotten: they greet again.
    forgotten: u64,
    closing: CancellationToken,
    _greeter: AbortOnDropHandle<()>,
}

/// Begins a session of this node.
///
/// The subscriptions are in no queue group: whoever joined it would swallow requests. Two processes with one name, for
/// the moment that this can last, both answer greetings, and each request is for the session of one of them.
pub(super) async fn serve(link: &Arc<Link>, inbox: &Inbox, node: &NodeId) -> Result<Requests, Unreachable> {
    let (session, closing) = (Uuid::new_v4(), CancellationToken::new());
    let requests = inbox.subscribe(link.session(node, session)).await?;
    let greetings = inbox.subscribe(link.node(node)).await?;
    link.serves(node, session);
    let greeter = tokio::spawn(greet(greetings, Arc::clone(link), node.clone(), session));
    let served = Served {
        link: Arc::clone(link),
        node: node.clone(),
        session,
        requests,
        windows: Windows::new(ASKERS),
        forgotten: 0,
        closing: closing.clone(),
        _greeter: AbortOnDropHandle::new(greeter),
    };
    let incoming = stream::unfold(served, |mut served| async { Some((served.next().await?, served)) });
    Ok(Requests::new(incoming, closing))
}

/// Answers greetings, each with a ticket of its own.
async fn greet(mut greetings: Subscriber, link: Arc<Link>, node: NodeId, session: Uuid) {
    let mut ticket = 0_u64;
    while let Some(message) = greetings.next().await {
        let Message { subject, reply: Some(reply), payload, .. } = message else { continue };
        let place = [node.as_str().as_bytes(), reply.as_bytes()];
        let Some(opened) = link.seal.open::<0>(Purpose::Greeting, &place, payload) else {
            link.refusals.unverified(&subject);
            continue;
        };
        ticket += 1;
        let mut greeted = [0; GREETED];
        greeted[..16].copy_from_slice(session.as_bytes());
        greeted[16..].copy_from_slice(&ticket.to_be_bytes());
        answer(Arc::clone(&link), reply, opened.code, Bytes::copy_from_slice(&greeted)).await;
    }
}

impl Served {
    /// The next message. Once it is closing, what has arrived is still taken out of the subscription, and nothing is
    /// waited for.
    async fn arrived(&mut self) -> Option<Message> {
        match self.closing.run_until_cancelled(self.requests.next()).await {
            Some(message) => message,
            None => self.requests.next().now_or_never().flatten(),
        }
    }

    async fn next(&mut self) -> Option<Incoming> {
        loop {
            let message = self.arrived().await?;
            // A message that can't be answered is no request.
            let Message { subject, reply: Some(reply), payload, .. } = message else { continue };
            let place = [self.node.as_str().as_bytes(), self.session.as_bytes(), reply.as_bytes()];
            let Some(opened) = self.link.seal.open::<16>(Purpose::Request, &place, payload) else {
                self.link.refusals.unverified(&subject);
                continue;
            };
            let number = |at: usize| opened.head[at..].iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte));
            if !self.is_first(number(0), number(8)) {
                self.link.refusals.repeated(&subject);
                continue;
            }
            let (link, code) = (Arc::clone(&self.link), opened.code);
            let reply = Responder::new(move |frame| Box::pin(answer(link, reply, code, frame)));
            return Some(Incoming { frame: opened.body, reply });
        }
    }

    fn is_first(&mut self, ticket: u64, number: u64) -> bool {
        if ticket <= self.forgotten && !self.windows.knows(&ticket) {
            return false;
        }
        let taken = self.windows.take(ticket, number);
        self.forgotten = self.forgotten.max(taken.forgotten.unwrap_or(0));
        taken.first
    }
}

async fn answer(link: Arc<Link>, to: Subject, request: Code, frame: Bytes) {
    let (message, _) = link.seal.seal(Purpose::Answer, &[request.as_bytes()], &[], &frame);
    if let Err(error) = link.client.publish(to, message).await {
        tracing::debug!(%error, "an answer was not sent");
    }
}
