//! Process groups: actors as members.

use crate::support::groups::{group, soon};
use evenfold_groups::process::{Change, Group, JoinOptions, LeaveReason, Slow};
use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::message::{Context, Message};
use tokio::sync::{mpsc, oneshot};

/// What an actor was received.
#[derive(Debug, PartialEq, Eq)]
enum Received {
    Message(u32),
    Left(LeaveReason),
}

/// Passes on what it is received; panics at 13, and stops at 0.
struct Listener {
    received: mpsc::UnboundedSender<Received>,
    /// It waits for this before its first message.
    gate: Option<oneshot::Receiver<()>>,
}

impl Actor for Listener {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(listener: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(listener)
    }
}

impl Message<u32> for Listener {
    type Reply = ();

    async fn handle(&mut self, message: u32, ctx: &mut Context<Self, ()>) {
        if let Some(gate) = self.gate.take() {
            gate.await.unwrap();
        }
        assert_ne!(message, 13, "on purpose");
        if message == 0 {
            ctx.stop();
        }
        self.received.send(Received::Message(message)).unwrap();
    }
}

impl Message<LeaveReason> for Listener {
    type Reply = ();

    async fn handle(&mut self, left: LeaveReason, _: &mut Context<Self, ()>) {
        self.received.send(Received::Left(left)).unwrap();
    }
}

type Inbox = mpsc::UnboundedReceiver<Received>;

fn listener(group: &Group<u32>, id: &str) -> (ActorRef<Listener>, Inbox) {
    let (received, inbox) = mpsc::unbounded_channel();
    let actor = Listener::spawn(Listener { received, gate: None });
    group.join_actor(id, &actor, JoinOptions::default()).unwrap();
    (actor, inbox)
}

async fn left(group: &Group<u32>, mut change: impl AsyncFnMut() -> Change) -> (String, LeaveReason) {
    loop {
        if let Change::Left(id, why) = soon(change()).await {
            assert!(!group.members().unwrap().contains(&id), "it is still there");
            return (id.to_string(), why);
        }
    }
}

#[tokio::test]
async fn an_actor_gets_every_broadcast_in_order_and_is_notified_that_its_group_ended() {
    let (groups, group) = group();
    let (_actor, mut inbox) = listener(&group, "a");
    for n in 101..=200 {
        assert_eq!(group.broadcast(n).await.unwrap().accepted, 1);
    }
    groups.tenant("acme").unwrap().delete("ns", "g").unwrap();
    for n in 101..=200 {
        assert_eq!(soon(inbox.recv()).await, Some(Received::Message(n)));
    }
    assert_eq!(soon(inbox.recv()).await, Some(Received::Left(LeaveReason::Deleted)));
}

#[tokio::test]
async fn an_actor_that_panics_stops_or_is_killed_has_left_and_the_others_go_on() {
    let (_groups, group) = group();
    let mut watch = group.watch();
    let mut change = async || watch.next().await.unwrap();
    let (panics, _inbox) = listener(&group, "panics");
    group.broadcast(13).await.unwrap();
    assert_eq!(left(&group, &mut change).await, ("panics".to_owned(), LeaveReason::Panicked));
    let (stops, _inbox) = listener(&group, "stops");
    group.broadcast(0).await.unwrap();
    assert_eq!(left(&group, &mut change).await, ("stops".to_owned(), LeaveReason::Stopped));
    let (killed, _inbox) = listener(&group, "killed");
    let (_stays, mut inbox) = listener(&group, "stays");
    killed.kill();
    assert_eq!(left(&group, &mut change).await, ("killed".to_owned(), LeaveReason::Stopped));
    assert!(!panics.is_alive() && !stops.is_alive());
    assert_eq!(group.broadcast(1).await.unwrap().accepted, 1);
    assert_eq!(soon(inbox.recv()).await, Some(Received::Message(1)));
}

#[tokio::test]
async fn a_group_keeps_no_actor_running() {
    let (_groups, group) = group();
    let mut watch = group.watch();
    let (actor, _inbox) = listener(&group, "a");
    let weak = actor.downgrade();
    drop(actor);
    assert_eq!(left(&group, async || watch.next().await.unwrap()).await, ("a".to_owned(), LeaveReason::Stopped));
    assert!(!weak.is_alive());
}

#[tokio::test]
async fn an_actor_that_never_ran_is_not_kept_as_a_member() {
    let (_groups, group) = group();
    let mut watch = group.watch();
    let prepared = Listener::prepare();
    group.join_actor("a", prepared.actor_ref(), JoinOptions::default()).unwrap();
    drop(prepared);
    group.broadcast(1).await.unwrap();
    assert_eq!(left(&group, async || watch.next().await.unwrap()).await, ("a".to_owned(), LeaveReason::Stopped));
}

#[tokio::test]
async fn an_actor_with_a_full_mailbox_is_slow_and_is_notified_that_it_was_evicted() {
    let (_groups, group) = group();
    let ((received, mut inbox), (open, gate)) = (mpsc::unbounded_channel(), oneshot::channel());
    let actor = Listener::spawn_with_mailbox(Listener { received, gate: Some(gate) }, mailbox::bounded(1));
    group.join_actor("a", &actor, JoinOptions::default().queue(2).slow(Slow::Evict)).unwrap();
    // One is being handled, one is in the mailbox, one is on its way there, two are in the queue.
    let mut sent = 0;
    while group.broadcast(sent + 1).await.unwrap().evicted == 0 {
        sent += 1;
        assert!(sent <= 5, "nothing bounds what waits for it");
        tokio::task::yield_now().await;
    }
    open.send(()).unwrap();
    for n in 1..=sent {
        assert_eq!(soon(inbox.recv()).await, Some(Received::Message(n)));
    }
    assert_eq!(soon(inbox.recv()).await, Some(Received::Left(LeaveReason::Evicted)));
    assert!(actor.is_alive(), "what it does then is its own affair");
}
