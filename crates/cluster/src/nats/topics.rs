//! Messages to all who have subscribed to a topic.

use super::connection::Losses;
use super::inbox::Inbox;
use super::link::{HEAD, Link, unreachable};
use crate::seal::{Purpose, Windows};
use crate::transport::{Delivery, Subscription, Unreachable};
use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// How many senders are remembered for each subscription. What one has sent that is forgotten could come again; and so
/// could what was sent before the subscription was made. So a topic is for what does no harm then.
const SENDERS: usize = 4_096;

/// The sending side of a connection.
#[derive(Debug)]
pub(super) struct Topics {
    link: Arc<Link>,
    /// Drawn at the start: it counts from 1 on.
    sender: Uuid,
    sealed: AtomicU64,
}

impl Topics {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, sender: Uuid::new_v4(), sealed: AtomicU64::new(0) }
    }

    pub(super) async fn publish(&self, topic: &str, frame: Bytes) -> Result<(), Unreachable> {
        if frame.len() > self.link.max_frame() {
            return Err(Unreachable(format!("{} bytes are too many for a message", frame.len())));
        }
        self.link.connected()?;
        let number = self.sealed.fetch_add(1, Ordering::Relaxed) + 1;
        let mut head = [0; HEAD];
        head[..16].copy_from_slice(self.sender.as_bytes());
        head[16..].copy_from_slice(&number.to_be_bytes());
        let (message, _) = self.link.seal.seal(Purpose::Topic, &[topic.as_bytes()], &head, &frame);
        self.link.client.publish(self.link.topic(topic), message).await.map_err(unreachable)
    }
}

struct Subscribed {
    link: Arc<Link>,
    topic: String,
    messages: Subscriber,
    losses: Losses,
    windows: Windows<[u8; 16]>,
}

pub(super) async fn subscribe(
    link: &Arc<Link>,
    inbox: &Inbox,
    losses: Losses,
    topic: &str,
) -> Result<Subscription, Unreachable> {
    let messages = inbox.subscribe(link.topic(topic)).await?;
    let (link, topic, windows) = (Arc::clone(link), topic.to_owned(), Windows::new(SENDERS));
    let subscribed = Subscribed { link, topic, messages, losses, windows };
    let deliveries =
        stream::unfold(subscribed, |mut subscribed| async { Some((subscribed.next().await?, subscribed)) });
    Ok(deliveries.boxed())
}

impl Subscribed {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let message = tokio::select! {
                // First: whoever looks again then at what the messages are about has seen all that was missed.
                biased;
                () = self.losses.more() => return Some(Delivery::Missed),
                message = self.messages.next() => message?,
            };
            if let Some(frame) = self.open(message) {
                return Some(Delivery::Frame(frame));
            }
        }
    }

    fn open(&mut self, Message { subject, payload, .. }: Message) -> Option<Bytes> {
        let Some(opened) = self.link.seal.open::<HEAD>(Purpose::Topic, &[self.topic.as_bytes()], payload) else {
            self.link.refusals.unverified(&subject);
            return None;
        };
        let (mut sender, mut number) = ([0; 16], [0; 8]);
        sender.copy_from_slice(&opened.head[..16]);
        number.copy_from_slice(&opened.head[16..]);
        let first = self.windows.take(sender, u64::from_be_bytes(number)).first;
        if !first {
            self.link.refusals.repeated(&subject);
        }
        first.then_some(opened.body)
    }
}
