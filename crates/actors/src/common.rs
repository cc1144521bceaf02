//! What the shards of one kind have in common, on one node.

use super::actor::Actor;
use super::call::Call;
use super::handover::{Handover, HandoverError};
use super::key::RequestKey;
use super::meters::Meters;
use super::options::ActorsOptions;
use super::refused::Refused;
use evenfold_cluster::sharding::Ownership;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// By shard and key.
pub(super) type Finish<A> = Box<dyn Fn(u32, Arc<str>, Done<A>) -> BoxFuture<'static, ()> + Send + Sync>;

pub(super) struct Common<A: Actor> {
    pub(super) kind: Arc<str>,
    pub(super) make: Box<dyn Fn(&str) -> A + Send + Sync>,
    pub(super) ownership: Arc<Ownership>,
    pub(super) meters: Meters,
    pub(super) options: ActorsOptions,
    pub(super) shards: std::num::NonZeroU32,
    /// How many actors a shard may have.
    pub(super) each: usize,
    /// Has a shard know what became of what an actor of a key was at. Set once the shards are there.
    pub(super) finish: OnceLock<Finish<A>>,
}

/// A message for an actor.
pub(super) struct Addressed<A> {
    pub(super) key: Arc<str>,
    pub(super) once: Option<RequestKey>,
    pub(super) call: Box<dyn Call<A>>,
}

/// What an actor has been at.
pub(super) enum Done<A> {
    /// A message, with the reply to remember.
    Handled(Box<A>, Option<(RequestKey, Vec<u8>)>),
    /// Its state, which could not be loaded.
    NotLoaded,
    Saved(Box<A>, Result<Saved, HandoverError>),
    /// It has panicked, and is no more.
    Panicked,
}

/// What is to move to another node, if anything is.
pub(super) type Saved = Option<Vec<u8>>;

pub(super) type Work<A> = BoxFuture<'static, Done<A>>;

impl<A: Actor> Common<A> {
    /// Has an actor handle a message. One that is none yet is made, and loads its state.
    pub(super) fn handle(self: &Arc<Self>, actor: Option<Box<A>>, addressed: Addressed<A>) -> Work<A> {
        let common = Arc::clone(self);
        let Addressed { key, once, call } = addressed;
        caught(async move {
            let actor = match actor {
                Some(actor) => actor,
                None => match common.made(&key).await {
                    Ok(made) => made,
                    Err(error) => {
                        call.refuse(Refused::NotLoaded(error.to_string()));
                        return Done::NotLoaded;
                    }
                },
            };
            let (number, began) = (call.number(), Instant::now());
            let (actor, reply) = call.run(actor, once.is_some()).await;
            if let Some((_, handling)) = common.meters.handling.get(number) {
                handling.record(began.elapsed());
            }
            Done::Handled(actor, once.zip(reply))
        })
    }

    async fn made(&self, key: &str) -> Result<Box<A>, HandoverError> {
        let mut made = Box::new((self.make)(key));
        A::Handover::load(&mut made, key).await?;
        Ok(made)
    }

    /// Has an actor save its state.
    pub(super) fn save(mut actor: Box<A>, key: Arc<str>) -> Work<A> {
        caught(async move {
            let saved = A::Handover::save(&mut actor, &key).await;
            Done::Saved(actor, saved)
        })
    }

    /// Has a shard know what became of what an actor is at, when that has ended.
    pub(super) fn follow(self: &Arc<Self>, shard: u32, key: Arc<str>, work: Work<A>) {
        let common = Arc::clone(self);
        tokio::spawn(async move {
            let done = work.await;
            if let Some(finish) = common.finish.get() {
                finish(shard, key, done).await;
            }
        });
    }
}

fn caught<A: Actor>(work: impl Future<Output = Done<A>> + Send + 'static) -> Work<A> {
    AssertUnwindSafe(work).catch_unwind().map(|done| done.unwrap_or(Done::Panicked)).boxed()
}
