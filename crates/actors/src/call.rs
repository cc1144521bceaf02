//! A message on its way to its actor, together with whoever waits for the reply.

use super::message::{Handle, Message};
use super::refused::Refused;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

/// A message of one of an actor's types.
pub trait Call<A>: Send {
    /// Which of the actor's messages it is.
    fn number(&self) -> usize;

    /// Has the actor handle it, and sends the reply. Gives the actor back, and the encoded reply if that is wanted.
    fn run(self: Box<Self>, actor: Box<A>, encoded: bool) -> BoxFuture<'static, (Box<A>, Option<Vec<u8>>)>;

    /// Sends a reply that was given before.
    fn replay(self: Box<Self>, reply: &[u8]);

    /// It was certainly not handled.
    fn refuse(self: Box<Self>, why: Refused);

    /// Whether nobody waits for the reply any more.
    fn is_abandoned(&self) -> bool;
}

/// The reply, or why there is none, and the message.
pub(super) type LocalReply<M> = Result<<M as Message>::Reply, (Refused, M)>;

/// A message from this node. One that is refused comes back, to be sent elsewhere.
pub(super) struct Local<M: Message> {
    pub(super) number: usize,
    pub(super) message: M,
    pub(super) reply: oneshot::Sender<LocalReply<M>>,
}

impl<A: Handle<M>, M: Message> Call<A> for Local<M> {
    fn number(&self) -> usize {
        self.number
    }

    fn run(self: Box<Self>, mut actor: Box<A>, encoded: bool) -> BoxFuture<'static, (Box<A>, Option<Vec<u8>>)> {
        Box::pin(async move {
            let reply = actor.handle(self.message).await;
            // One that can't be encoded is not remembered, as it could not be answered by another node either.
            let bytes = if encoded { postcard::to_stdvec(&reply).ok() } else { None };
            let _nobody = self.reply.send(Ok(reply));
            (actor, bytes)
        })
    }

    fn replay(self: Box<Self>, reply: &[u8]) {
        let Self { message, reply: asker, .. } = *self;
        let _nobody = asker.send(postcard::from_bytes(reply).map_err(|_| (Refused::Unreadable, message)));
    }

    fn refuse(self: Box<Self>, why: Refused) {
        let _nobody = self.reply.send(Err((why, self.message)));
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// Where the reply to another node goes, encoded.
pub(crate) type RemoteReply = oneshot::Sender<Result<Vec<u8>, Refused>>;

/// A message from another node.
pub(super) struct Remote<M> {
    number: usize,
    message: M,
    reply: RemoteReply,
}

impl<M: Message> Remote<M> {
    /// None if it can't be read.
    pub(super) fn read(number: usize, message: &[u8], reply: RemoteReply) -> Option<Self> {
        Some(Self { number, message: postcard::from_bytes(message).ok()?, reply })
    }
}

impl<A: Handle<M>, M: Message> Call<A> for Remote<M> {
    fn number(&self) -> usize {
        self.number
    }

    fn run(self: Box<Self>, mut actor: Box<A>, encoded: bool) -> BoxFuture<'static, (Box<A>, Option<Vec<u8>>)> {
        Box::pin(async move {
            let reply = actor.handle(self.message).await;
            let bytes = postcard::to_stdvec(&reply);
            let kept = if encoded { bytes.as_ref().ok().cloned() } else { None };
            let _nobody = self.reply.send(bytes.map_err(|error| Refused::ReplyLost(error.to_string())));
            (actor, kept)
        })
    }

    fn replay(self: Box<Self>, reply: &[u8]) {
        let _nobody = self.reply.send(Ok(reply.to_vec()));
    }

    fn refuse(self: Box<Self>, why: Refused) {
        let _nobody = self.reply.send(Err(why));
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
