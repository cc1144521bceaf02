//! Finds the shard of a message, and brings it there.

use super::cell::{Cell, Handled};
use super::copies::{Copies, Writing};
use super::error::AskError;
use super::mailbox::{Address, Envelope, Refused};
use super::member::ShardMember;
use super::meters::{Meters, Routing, is_sampled};
use super::options::GroupOptions;
use super::owner::{self, Supervisor};
use super::shard::Shard;
use crate::KeyHash;
use kameo::actor::{ActorRef, Spawn};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, RwLockReadGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;

type Make<S> = Box<dyn Fn(u32) -> S + Send + Sync>;

pub(super) struct Router<S: Shard> {
    pub(super) options: GroupOptions,
    make: Make<S>,
    supervisor: ActorRef<Supervisor>,
    /// Whoever sends holds it for reading until the message is in its mailbox: under the write lock nobody is on the
    /// way to a shard that is no longer the right one.
    members: Copies<Vec<Arc<ShardMember<S>>>>,
    /// One change of the members at a time, and none while somebody gathers.
    pub(super) change: tokio::sync::RwLock<()>,
    pub(super) routing: Routing,
    /// What the shards have done that are no more.
    pub(super) gone: Meters,
}

impl<S: Shard> Router<S> {
    pub(super) async fn start(options: GroupOptions, make: Make<S>) -> Self {
        let supervisor = Supervisor::spawn(());
        let router = Self {
            make,
            supervisor,
            members: Copies::new(),
            change: tokio::sync::RwLock::default(),
            routing: Routing::default(),
            gone: Meters::default(),
            options,
        };
        let mut members = Vec::new();
        for shard in 0..router.options.shards {
            members.push(router.spawn(router.cell(shard)).await);
        }
        router.write().set(&members);
        router
    }

    /// A shard that nobody has used yet.
    pub(super) fn cell(&self, shard: u32) -> Arc<Cell<S>> {
        Arc::new(Cell::new(&self.options, shard, (self.make)(shard)))
    }

    pub(super) async fn spawn(&self, cell: Arc<Cell<S>>) -> Arc<ShardMember<S>> {
        let actor = owner::spawn(&self.supervisor, &cell).await;
        Arc::new(ShardMember { cell, actor })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<ShardMember<S>>>> {
        self.members.read()
    }

    pub(super) fn write(&self) -> Writing<'_, Vec<Arc<ShardMember<S>>>> {
        self.members.write()
    }

    pub(super) fn shards(&self) -> u32 {
        u32::try_from(self.read().len()).unwrap_or(u32::MAX)
    }

    pub(super) fn shard_of(&self, key: KeyHash) -> Option<u32> {
        place(&self.read(), Address::Key(key)).map(|member| member.cell.shard)
    }

    /// Puts a message into its mailbox, if that has room.
    pub(super) fn offer(&self, mut envelope: Envelope<S>) -> Result<(), Refused<S>> {
        let began = is_sampled().then(std::time::Instant::now);
        let members = self.read();
        let Some(member) = place(&members, envelope.address) else { return Err(Refused::Closed(envelope)) };
        envelope.accepted = began.map(|_| std::time::Instant::now());
        if member.cell.mailbox.push(envelope)? {
            member.wake();
        }
        if let Some(began) = began {
            self.routing.routing.add_sample(began, std::time::Instant::now());
        }
        Ok(())
    }

    /// Puts a message into its mailbox, and waits for room until then.
    pub(super) async fn offer_until(&self, mut envelope: Envelope<S>, deadline: Instant) -> Result<(), Refused<S>> {
        let began = std::time::Instant::now();
        let outcome = loop {
            let Some(cell) = place(&self.read(), envelope.address).map(|member| Arc::clone(&member.cell)) else {
                break Err(Refused::Closed(envelope));
            };
            let waiting = cell.mailbox.waiting();
            let mut room = pin!(waiting.room());
            // Room that comes from now on wakes it, so the mailbox is tried once more first.
            room.as_mut().enable();
            match self.offer(envelope) {
                Err(Refused::Full(refused)) => envelope = refused,
                other => break other,
            }
            // The mailbox that was full may be another one: where messages go has changed just now.
            if !self.is_at(envelope.address, &cell) {
                continue;
            }
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                break Err(Refused::Full(envelope));
            }
        };
        self.routing.waiting.add(began.elapsed());
        outcome
    }

    fn is_at(&self, address: Address, cell: &Arc<Cell<S>>) -> bool {
        place(&self.read(), address).is_some_and(|member| Arc::ptr_eq(&member.cell, cell))
    }

    /// Has a message handled in the task of whoever asks, if its shard rests and can handle it at once; else it is
    /// given back.
    pub(super) async fn ask_now(&self, address: Address, message: S::Message) -> Result<Handled<S>, S::Message> {
        // A task that asks again and again would never wait for anything.
        tokio::task::coop::consume_budget().await;
        let began = is_sampled().then(std::time::Instant::now);
        let Some(member) = place(&self.read(), address).cloned() else { return Err(message) };
        if let Some(began) = began {
            self.routing.routing.add_sample(began, std::time::Instant::now());
        }
        // No list is locked any more: what is handled may ask the group.
        let (handled, wake) = member.cell.handle_now(message);
        if wake {
            member.wake();
        }
        handled
    }

    pub(super) async fn ask(
        &self,
        address: Address,
        message: S::Message,
        deadline: Instant,
    ) -> Result<S::Reply, AskError> {
        let (reply, answer) = oneshot::channel();
        match self.offer(Envelope { message, reply: Some(reply), address, accepted: None }) {
            Err(Refused::Full(envelope)) => {
                self.offer_until(envelope, deadline).await.map_err(|refused| unasked(&refused))?;
            }
            other => other.map_err(|refused| unasked(&refused))?,
        }
        self.answer(answer, deadline).await
    }

    pub(super) async fn answer(
        &self,
        answer: oneshot::Receiver<S::Reply>,
        deadline: Instant,
    ) -> Result<S::Reply, AskError> {
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) if self.read().is_empty() => Err(AskError::Stopped),
            Ok(Err(_)) => Err(AskError::Panicked),
            Err(_) => Err(AskError::TimedOut),
        }
    }
}

impl<S: Shard> Drop for Router<S> {
    fn drop(&mut self) {
        for member in self.read().iter() {
            member.close();
        }
    }
}

/// The shard to which a message goes; none if there is no such shard, or no shard at all any more.
pub(super) fn place<S: Shard>(members: &[Arc<ShardMember<S>>], address: Address) -> Option<&Arc<ShardMember<S>>> {
    let shards = NonZeroU32::new(u32::try_from(members.len()).ok()?)?;
    match address {
        Address::Key(key) => members.get(key.shard(shards) as usize),
        Address::Shard(shard) => members.get(shard as usize),
    }
}

/// Why a question was not put into a mailbox.
pub(super) fn unasked<S: Shard>(refused: &Refused<S>) -> AskError {
    match refused {
        Refused::Full(_) => AskError::Full,
        Refused::Closed(_) => AskError::Stopped,
    }
}
