//! Actors as members: a task takes the messages out of the member's queue and sends them to the actor.

use super::error::GroupError;
use super::group::Group;
use super::member::Member;
use super::seat::{JoinOptions, LeaveReason};
use kameo::Actor;
use kameo::actor::{ActorRef, WeakActorRef};
use kameo::error::ActorStopReason;
use kameo::message::Message;
use std::time::Duration;

/// How long an actor that takes no more messages may take to say why it ends. It may be cleaning up; or its task was
/// dropped, and it never will.
const LAST_WORD: Duration = Duration::from_secs(1);

impl<M: Clone + Send + 'static> Group<M> {
    /// Makes an actor a member: it is sent every broadcast, and at last why it is a member no more, unless it has
    /// stopped itself. An actor that stops or panics has left, and membership keeps no actor running.
    ///
    /// The queue of the options is filled while the actor's mailbox is full, so an actor with an unbounded mailbox is
    /// never slow. What waits in the queue when the actor ends is lost with it.
    ///
    /// The task that does this ends with the membership, once the actor has been notified; nothing in it can panic but
    /// what drops a message, and then the actor has left.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn join_actor<A>(&self, id: &str, actor: &ActorRef<A>, options: JoinOptions) -> Result<(), GroupError>
    where
        A: Actor + Message<M> + Message<LeaveReason>,
    {
        let (member, actor) = (self.join(id, options)?, actor.downgrade());
        tokio::spawn(async move {
            let why = forward(member, &actor).await;
            tracing::trace!(actor = %actor.id(), ?why, "left its group");
        });
        Ok(())
    }
}

/// Sends the actor what the member receives, until one of them ends.
async fn forward<M, A>(mut member: Member<M>, actor: &WeakActorRef<A>) -> LeaveReason
where
    M: Clone + Send + 'static,
    A: Actor + Message<M> + Message<LeaveReason>,
{
    let mut stopped = std::pin::pin!(actor.wait_for_shutdown_with_result(|ended| match ended {
        Ok(ActorStopReason::Panicked(_)) | Err(_) => LeaveReason::Panicked,
        Ok(_) => LeaveReason::Stopped,
    }));
    let why = loop {
        let next = tokio::select! {
            why = &mut stopped => break why,
            next = member.recv() => next,
        };
        // Not kept while waiting for the next message: nobody else may want the actor any more.
        let Some(actor) = actor.upgrade() else { break last_word(stopped).await };
        let delivered = match next {
            Ok(message) => actor.tell(message).send().await.is_ok(),
            Err(why) => {
                // One that has stopped meanwhile need not be notified.
                let _ = actor.tell(why).send().await;
                return why;
            }
        };
        if !delivered {
            drop(actor);
            break last_word(stopped).await;
        }
    };
    member.leave_as(why);
    why
}

async fn last_word(stopped: impl Future<Output = LeaveReason>) -> LeaveReason {
    tokio::time::timeout(LAST_WORD, stopped).await.unwrap_or(LeaveReason::Stopped)
}
