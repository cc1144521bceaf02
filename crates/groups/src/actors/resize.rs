//! Changing the number of shards while messages come, and ending them.

use super::error::ResizeError;
use super::handover::Handover;
use super::member::ShardMember;
use super::options::check_shards;
use super::router::{Router, place};
use super::shard::{Resizable, Shard};
use std::num::NonZeroU32;
use std::sync::Arc;

pub(super) async fn resize<S: Resizable>(router: &Arc<Router<S>>, shards: u32) -> Result<(), ResizeError> {
    let shards = check_shards(shards)?;
    let router = Arc::clone(router);
    // A task of its own, which goes on when nobody waits for it: what has been given must be taken.
    let changed = tokio::spawn(async move { change(&router, shards).await });
    changed.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "the state of a new shard could not be made");
        Err(ResizeError::Handover(shards.get() - 1))
    })
}

async fn change<S: Resizable>(router: &Router<S>, shards: NonZeroU32) -> Result<(), ResizeError> {
    let _alone = router.change.write().await;
    let before = router.read().clone();
    let (old, new) = (before.len(), shards.get() as usize);
    if old == 0 {
        return Err(ResizeError::Stopped);
    }
    if old == new {
        return Ok(());
    }
    let mut after: Vec<Arc<ShardMember<S>>> = before.iter().take(new).cloned().collect();
    for shard in after.len()..new {
        after.push(router.spawn(router.cell(u32::try_from(shard).unwrap_or(u32::MAX))).await);
    }
    let handover = Arc::new(Handover::new(u32::try_from(old).unwrap_or(u32::MAX), after.clone(), shards));
    switch(router, &before, &after, &handover);
    let failed = handover.done().await;
    // Again: until now those that had to take something stood still, and the others did not.
    for member in &after {
        member.cell.meters.resized();
    }
    for member in before.iter().skip(new) {
        member.cell.ended.cancelled().await;
        router.gone.add(&member.cell.meters);
    }
    tracing::info!(group = router.options.id, from = old, to = new, "the number of shards has changed");
    failed.map_or(Ok(()), |shard| Err(ResizeError::Handover(shard)))
}

/// From here on messages go to the new members. What waited goes to where it belongs now, in its order: before any
/// message that is sent later.
fn switch<S: Resizable>(
    router: &Router<S>,
    before: &[Arc<ShardMember<S>>],
    after: &[Arc<ShardMember<S>>],
    handover: &Arc<Handover<S>>,
) {
    let (old, new) = (before.len(), after.len());
    // Those whose keys leave: all of them for new shards, and those that go otherwise.
    let givers = if new > old { before } else { &before[new..] };
    let takers = if new > old { &after[old..] } else { after };
    let mut members = router.write();
    for taker in takers {
        taker.cell.mailbox.expect(givers.len(), handover.clone());
    }
    let waited: Vec<_> = before.iter().map(|member| member.cell.mailbox.drain()).collect();
    for envelope in waited.into_iter().flatten() {
        // A message to a shard that is no more is dropped: whoever asked gets an error.
        if let Some(member) = place(after, envelope.address) {
            member.cell.mailbox.put_back(envelope);
        }
    }
    // Only now: a shard that has given must not find a message any more about what it gave.
    for giver in givers {
        giver.cell.mailbox.give(handover.clone());
    }
    members.set(&after.to_vec());
    for member in after {
        member.cell.meters.resized();
    }
    drop(members);
    for member in before.iter().skip(new) {
        member.close();
    }
    for member in before.iter().chain(after) {
        member.rouse();
    }
}

/// Ends all shards once they have handled what they have accepted.
pub(super) async fn stop<S: Shard>(router: &Arc<Router<S>>) -> Vec<S> {
    let router = Arc::clone(router);
    let stopped = tokio::spawn(async move {
        let _alone = router.change.write().await;
        let members = router.read().clone();
        router.write().set(&Vec::new());
        let mut states = Vec::new();
        for member in &members {
            member.close();
        }
        for member in members {
            let cell = &member.cell;
            cell.ended.cancelled().await;
            router.gone.add(&cell.meters);
            states.extend(cell.slot.lock().await.body.take().map(|body| body.state));
        }
        states
    });
    // The task runs no code of the user's.
    stopped.await.unwrap_or_default()
}
