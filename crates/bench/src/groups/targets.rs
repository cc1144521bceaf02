//! Four actors, or however many, that add up what they are sent: by an actor group, and by mailboxes that take one
//! message after the other.

use super::load::Load;
use anyhow::Context;
use evenfold_groups::{ActorGroup, GroupOptions, Missing, Shard, total};
use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::message::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What each mailbox holds, where it has a bound.
const MAILBOX: usize = 1024;

const LONG: Duration = Duration::from_mins(1);

/// Actors that add up.
pub(super) trait Target: Clone + Send + Sync + Sized + 'static {
    async fn start(load: &Load) -> anyhow::Result<Self>;
    fn send(&self, load: &Load, key: &str, number: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// The sum of what all of them have been sent.
    async fn sum(self) -> anyhow::Result<u64>;
}

/// Actors that are asked, each time with a time-out.
pub(super) trait Ask: Target {
    fn ask(&self, load: &Load, key: &str) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Gives the sum.
pub(super) struct Add(u64);

pub(super) struct Adder(u64);

impl Shard for Adder {
    type Message = Add;
    type Reply = u64;

    async fn handle(&mut self, add: Add) -> u64 {
        self.add(add)
    }

    fn handle_now(&mut self, add: Add) -> Result<u64, Add> {
        Ok(self.add(add))
    }

    async fn recover(&mut self) {}
}

impl Adder {
    fn add(&mut self, Add(more): Add) -> u64 {
        self.0 += more;
        self.0
    }
}

#[derive(Clone)]
pub(super) struct Group(ActorGroup<Adder>);

impl Target for Group {
    async fn start(load: &Load) -> anyhow::Result<Self> {
        let options = GroupOptions::default().shards(load.shards.get()).mailbox(MAILBOX);
        Ok(Self(ActorGroup::start(options, |_| Adder(0)).await?))
    }

    async fn send(&self, _: &Load, key: &str, number: u64) -> anyhow::Result<()> {
        Ok(self.0.send(key, Add(number), LONG).await?)
    }

    async fn sum(self) -> anyhow::Result<u64> {
        Ok(self.0.ask_all(|_| Add(0), 0, total, LONG, Missing::Fail).await?.value)
    }
}

impl Ask for Group {
    async fn ask(&self, _: &Load, key: &str) -> anyhow::Result<()> {
        self.0.ask(key, Add(1), LONG).await?;
        Ok(())
    }
}

enum ChannelMessage {
    Add(u64),
    Sum(oneshot::Sender<u64>),
}

/// Tasks that read a channel.
#[derive(Clone)]
pub(super) struct Channels(Arc<[mpsc::Sender<ChannelMessage>]>);

impl Target for Channels {
    async fn start(load: &Load) -> anyhow::Result<Self> {
        let actor = |_| {
            let (sender, mut receiver) = mpsc::channel(MAILBOX);
            tokio::spawn(async move {
                let mut sum = 0;
                while let Some(message) = receiver.recv().await {
                    match message {
                        ChannelMessage::Add(more) => sum += more,
                        ChannelMessage::Sum(reply) => drop(reply.send(sum)),
                    }
                }
            });
            sender
        };
        Ok(Self((0..load.shards.get()).map(actor).collect()))
    }

    async fn send(&self, load: &Load, key: &str, number: u64) -> anyhow::Result<()> {
        self.0[load.shard(key)].send(ChannelMessage::Add(number)).await.ok().context("a reader of a channel ended")
    }

    async fn sum(self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for actor in &*self.0 {
            let (reply, answer) = oneshot::channel();
            actor.send(ChannelMessage::Sum(reply)).await.ok().context("a reader of a channel ended")?;
            sum += answer.await?;
        }
        Ok(sum)
    }
}

impl Actor for Adder {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self(0))
    }
}

impl Message<Add> for Adder {
    type Reply = u64;

    async fn handle(&mut self, add: Add, _: &mut kameo::message::Context<Self, u64>) -> u64 {
        self.add(add)
    }
}

/// kameo's actors and mailboxes.
#[derive(Clone)]
pub(super) struct Kameo(Arc<[ActorRef<Adder>]>);

impl Target for Kameo {
    async fn start(load: &Load) -> anyhow::Result<Self> {
        let actor = |_| Adder::spawn_with_mailbox((), mailbox::bounded(MAILBOX));
        Ok(Self((0..load.shards.get()).map(actor).collect()))
    }

    async fn send(&self, load: &Load, key: &str, number: u64) -> anyhow::Result<()> {
        self.0[load.shard(key)].tell(Add(number)).send().await.ok().context("an actor of kameo's ended")
    }

    async fn sum(self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for actor in &*self.0 {
            sum += actor.ask(Add(0)).await.ok().context("an actor of kameo's ended")?;
        }
        Ok(sum)
    }
}

impl Ask for Kameo {
    async fn ask(&self, load: &Load, key: &str) -> anyhow::Result<()> {
        let asked = self.0[load.shard(key)].ask(Add(1)).reply_timeout(LONG);
        asked.await.map(drop).ok().context("an actor of kameo's gave no answer")
    }
}

/// ractor's actors and mailboxes, which have no bound.
#[derive(Clone)]
pub(super) struct Ractor(Arc<[ractor::ActorRef<RactorMessage>]>);

pub(super) enum RactorMessage {
    Add(u64),
    Sum(ractor::RpcReplyPort<u64>),
}

impl ractor::Actor for Adder {
    type Msg = RactorMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ractor::ActorRef<RactorMessage>, (): ()) -> Result<u64, ractor::ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<RactorMessage>,
        message: RactorMessage,
        sum: &mut u64,
    ) -> Result<(), ractor::ActorProcessingErr> {
        match message {
            RactorMessage::Add(more) => *sum += more,
            RactorMessage::Sum(reply) => reply.send(*sum)?,
        }
        Ok(())
    }
}

impl Target for Ractor {
    async fn start(load: &Load) -> anyhow::Result<Self> {
        let mut actors = Vec::new();
        for _ in 0..load.shards.get() {
            actors.push(ractor::Actor::spawn(None, Adder(0), ()).await?.0);
        }
        Ok(Self(actors.into()))
    }

    async fn send(&self, load: &Load, key: &str, number: u64) -> anyhow::Result<()> {
        self.0[load.shard(key)].cast(RactorMessage::Add(number)).ok().context("an actor of ractor's ended")
    }

    async fn sum(self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for actor in &*self.0 {
            sum += actor
                .call(RactorMessage::Sum, Some(LONG))
                .await?
                .success_or(anyhow::anyhow!("ractor gave no answer"))?;
            actor.stop(None);
        }
        Ok(sum)
    }
}
