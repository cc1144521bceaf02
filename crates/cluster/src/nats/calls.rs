//! Asking a node.
//!
//! A request goes to one session of a node: what a node draws when it begins to serve. So one that was recorded is
//! nothing to a process that starts later, and of two processes with one name one gets it. The session, and a ticket by
//! which the node distinguishes its askers, come with the answer to a greeting, which is bound to it like every answer.

use super::inbox::{Inbox, Nobody};
use super::link::Link;
use crate::NodeId;
use crate::seal::Purpose;
use crate::transport::RequestError;
use async_nats::client::PublishErrorKind;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// The bytes of the answer to a greeting: a session and a ticket.
pub(super) const GREETED: usize = 16 + 8;

#[derive(Debug)]
pub(super) struct Calls {
    link: Arc<Link>,
    inbox: Arc<Inbox>,
    peers: Mutex<HashMap<NodeId, Arc<PeerSession>>>,
}

/// A session of another node, as it was when it was greeted.
#[derive(Debug)]
struct PeerSession {
    session: Uuid,
    ticket: u64,
    /// How many requests have been sealed for it.
    sealed: AtomicU64,
}

/// Why a request has no answer yet.
enum Unsettled {
    Nobody,
    Failed(RequestError),
}

impl Calls {
    pub(super) fn new(link: Arc<Link>, inbox: Arc<Inbox>) -> Self {
        Self { link, inbox, peers: Mutex::default() }
    }

    pub(super) async fn request(&self, to: &NodeId, frame: Bytes, limit: Duration) -> Result<Bytes, RequestError> {
        let (bytes, max) = (frame.len(), self.link.max_frame());
        if bytes > max {
            return Err(RequestError::TooLarge { bytes, max });
        }
        let until = Instant::now() + limit;
        let known = self.peers().get(to).cloned();
        let peer = match known {
            Some(peer) => peer,
            None => self.greet(to, until).await?,
        };
        match self.send(to, &peer, &frame, until).await {
            Ok(answer) => Ok(answer),
            Err(Unsettled::Failed(error)) => Err(error),
            // What the server says has no seal: somebody else may have sent it in its place, and so also that nobody is
            // there to be greeted. Only another session, which is sealed, shows that this one is gone.
            Err(Unsettled::Nobody) => match self.greet(to, until).await {
                Ok(next) if next.session != peer.session => {
                    self.send(to, &next, &frame, until).await.map_err(|unsettled| match unsettled {
                        Unsettled::Nobody => uncertain(),
                        Unsettled::Failed(error) => error,
                    })
                }
                Ok(_) | Err(_) => Err(uncertain()),
            },
        }
    }

    async fn send(
        &self,
        to: &NodeId,
        peer: &Arc<PeerSession>,
        frame: &Bytes,
        until: Instant,
    ) -> Result<Bytes, Unsettled> {
        let address = self.inbox.address();
        let number = peer.sealed.fetch_add(1, Ordering::Relaxed) + 1;
        let head = [peer.ticket.to_be_bytes(), number.to_be_bytes()].concat();
        let place = [to.as_str().as_bytes(), peer.session.as_bytes(), address.subject.as_bytes()];
        let (message, code) = self.link.seal.seal(Purpose::Request, &place, &head, frame);
        let (reply, pending) = (address.subject.clone(), address.expect(code));
        self.publish(self.link.session(to, peer.session), reply, message).await.map_err(Unsettled::Failed)?;
        match timeout_at(until, pending.answer()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Nobody)) => {
                self.forget(to, peer);
                Err(Unsettled::Nobody)
            }
            Err(_) => {
                // It may have another session by now, and somebody who is not that node keeps the server from saying
                // so.
                self.forget(to, peer);
                Err(Unsettled::Failed(RequestError::Unanswered("none came in time".to_owned())))
            }
        }
    }

    /// Asks a node for its session. Nothing has been handled if there is no answer.
    async fn greet(&self, to: &NodeId, until: Instant) -> Result<Arc<PeerSession>, RequestError> {
        let address = self.inbox.address();
        let place = [to.as_str().as_bytes(), address.subject.as_bytes()];
        let (message, code) = self.link.seal.seal(Purpose::Greeting, &place, &[], &[]);
        let (reply, pending) = (address.subject.clone(), address.expect(code));
        self.publish(self.link.node(to), reply, message).await?;
        let answer = match timeout_at(until, pending.answer()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Nobody)) => return Err(RequestError::NoSuchNode(to.clone())),
            Err(_) => return Err(RequestError::NotSent(format!("node {to} does not answer"))),
        };
        let (session, ticket) = greeted(&answer)
            .ok_or_else(|| RequestError::NotSent(format!("node {to} answers in another version's words")))?;
        let peer = Arc::new(PeerSession { session, ticket, sealed: AtomicU64::new(0) });
        self.peers().insert(to.clone(), Arc::clone(&peer));
        Ok(peer)
    }

    async fn publish(&self, subject: String, reply: String, message: Bytes) -> Result<(), RequestError> {
        self.link.connected().map_err(|error| RequestError::NotSent(error.0))?;
        let bytes = message.len();
        self.link.client.publish_with_reply(subject, reply, message).await.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => RequestError::TooLarge { bytes, max: self.link.max_frame() },
            _ => RequestError::NotSent(error.to_string()),
        })
    }

    /// A node shows with its heartbeats which session it has: another one than that of a process before it, to which
    /// requests would go in vain.
    pub(super) fn has_session(&self, node: &NodeId, session: Uuid) {
        let mut peers = self.peers();
        if peers.get(node).is_some_and(|known| known.session != session) {
            peers.remove(node);
        }
    }

    fn forget(&self, to: &NodeId, peer: &Arc<PeerSession>) {
        let mut peers = self.peers();
        if peers.get(to).is_some_and(|known| Arc::ptr_eq(known, peer)) {
            peers.remove(to);
        }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<PeerSession>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn uncertain() -> RequestError {
    RequestError::Unanswered("whether the node has got it is not certain: nobody seems to be there".to_owned())
}

fn greeted(answer: &[u8]) -> Option<(Uuid, u64)> {
    let (session, ticket) = answer.split_at_checked(16)?;
    Some((Uuid::from_slice(session).ok()?, u64::from_be_bytes(ticket.try_into().ok()?)))
}
