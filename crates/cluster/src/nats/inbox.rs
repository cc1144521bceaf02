//! Where answers arrive.
//!
//! The client's own requests take the first message that comes for an answer, and anybody may send one who has read
//! where it is to go. Here only the one that was sealed for the request ends the waiting for it.

use super::link::{Link, unreachable};
use crate::seal::{Code, Purpose};
use crate::transport::Unreachable;
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How long NATS may take to confirm a subscription.
const CONFIRMED: Duration = Duration::from_secs(5);

/// The server says that nobody has subscribed to what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nobody;

/// The requests that wait, by the last part of the subject that their answers go to.
type Waiting = Arc<Mutex<HashMap<u64, Expected>>>;

#[derive(Debug)]
struct Expected {
    /// Of the request.
    code: Code,
    answer: oneshot::Sender<Result<Bytes, Nobody>>,
}

/// One subscription, for the answers to all requests of a connection.
#[derive(Debug)]
pub(super) struct Inbox {
    link: Arc<Link>,
    subject: String,
    addresses: AtomicU64,
    waiting: Waiting,
    _task: AbortOnDropHandle<()>,
}

/// A request whose answer is waited for.
#[derive(Debug)]
pub(super) struct Pending {
    token: u64,
    waiting: Waiting,
    answer: oneshot::Receiver<Result<Bytes, Nobody>>,
}

impl Inbox {
    pub(super) async fn open(link: Arc<Link>) -> Result<Self, Unreachable> {
        let subject = link.inbox(Uuid::new_v4());
        let messages = link.subscribe(format!("{subject}.*")).await?;
        let waiting = Waiting::default();
        let task = tokio::spawn(take_in(messages, Arc::clone(&link), Arc::clone(&waiting)));
        let addresses = AtomicU64::new(0);
        Ok(Self { link, subject, addresses, waiting, _task: AbortOnDropHandle::new(task) })
    }

    /// A subject for the answer to a request that is to be sealed: the seal covers it.
    pub(super) fn address(&self) -> Address<'_> {
        let token = self.addresses.fetch_add(1, Ordering::Relaxed);
        Address { inbox: self, token, subject: format!("{}.{token}", self.subject) }
    }

    /// Waits until the server has taken in what was sent to it before: it goes by the order, so a message of this
    /// connection to itself shows it. A flush only shows that the bytes have gone out. It is an error too if the server
    /// has refused something meanwhile.
    pub(super) async fn settled(&self) -> Result<(), Unreachable> {
        self.settled_since(Instant::now()).await
    }

    /// Subscribes, and waits until the server has taken it in.
    pub(super) async fn subscribe(&self, subject: String) -> Result<Subscriber, Unreachable> {
        let begun = Instant::now();
        let subscriber = self.link.subscribe(subject).await?;
        self.settled_since(begun).await?;
        Ok(subscriber)
    }

    pub(super) async fn settled_since(&self, begun: Instant) -> Result<(), Unreachable> {
        // What is refused is reported before that, but reaches this process by a way of its own: the second time is for
        // that.
        for _ in 0..2 {
            let address = self.address();
            let (_, code) = self.link.seal.seal(Purpose::Request, &[address.subject.as_bytes()], &[], &[]);
            let (message, _) = self.link.seal.seal(Purpose::Answer, &[code.as_bytes()], &[], &[]);
            let (subject, pending) = (address.subject.clone(), address.expect(code));
            self.link.client.publish(subject, message).await.map_err(unreachable)?;
            tokio::select! {
                biased;
                denied = self.link.denials.wait_since(begun) => return Err(Unreachable(denied)),
                answered = timeout(CONFIRMED, pending.answer()) => if answered.is_err() {
                    return Err(Unreachable(format!("NATS did not answer within {CONFIRMED:?}")));
                },
            }
        }
        Ok(())
    }
}

/// Where the answer to one request goes.
#[derive(Debug)]
pub(super) struct Address<'a> {
    inbox: &'a Inbox,
    token: u64,
    pub(super) subject: String,
}

impl Address<'_> {
    /// From now on the answer to the request with this code is expected.
    pub(super) fn expect(self, code: Code) -> Pending {
        let (sender, answer) = oneshot::channel();
        let waiting = Arc::clone(&self.inbox.waiting);
        lock(&waiting).insert(self.token, Expected { code, answer: sender });
        Pending { token: self.token, waiting, answer }
    }
}

impl Pending {
    /// The answer; that there is nobody, where the server says so.
    ///
    /// # Cancel safety
    ///
    /// Nobody waits for the answer any more.
    pub(super) async fn answer(mut self) -> Result<Bytes, Nobody> {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            // The connection is being dropped, and whoever waits with it.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.token);
    }
}

async fn take_in(mut messages: Subscriber, link: Arc<Link>, waiting: Waiting) {
    while let Some(message) = messages.next().await {
        let subject = message.subject.as_str();
        let Some(token) = subject.rsplit_once('.').and_then(|(_, token)| token.parse::<u64>().ok()) else { continue };
        // One that nobody waits for any more is late.
        let Some(code) = lock(&waiting).get(&token).map(|expected| expected.code) else { continue };
        let Some(answer) = opened(&message, &code, &link) else { continue };
        if let Some(expected) = lock(&waiting).remove(&token) {
            // Whoever waited may have ceased just now.
            let _ = expected.answer.send(answer);
        }
    }
}

/// None if it is not the answer.
fn opened(message: &Message, code: &Code, link: &Link) -> Option<Result<Bytes, Nobody>> {
    // The server's word has no seal, so anybody may send this in its place who can publish to the inbox: answers are
    // numbered, so their subjects can be guessed once one was seen. What follows from it is looked at again before it
    // is believed (see `calls`).
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Some(Err(Nobody));
    }
    let opened = link.seal.open::<0>(Purpose::Answer, &[code.as_bytes()], message.payload.clone());
    if opened.is_none() {
        link.refusals.unverified(&message.subject);
    }
    opened.map(|opened| Ok(opened.body))
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, Expected>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
