//! Groups whose members all get every broadcast, and what becomes of those that are slow, stop or panic.
//! `cargo run --release --example process_groups_pubsub`

use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Change, Group, GroupError, JoinOptions, LeaveReason, Member, Slow, Watch};
use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

type BoxError = Box<dyn Error + Send + Sync>;

/// An order that was shipped: by whom, and which of his.
type Order = (usize, u64);

const FAULTY: Order = (usize::MAX, 0);

fn check(what: &str, is_so: bool) -> Result<(), BoxError> {
    if is_so { Ok(()) } else { Err(format!("this does not hold: {what}").into()) }
}

/// Prints a paragraph next to its heading, within 80 columns.
fn show(heading: &str, text: &str) {
    let mut line = format!("{heading:<10}");
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > 80 {
            println!("{line}");
            line = " ".repeat(10);
        }
        line.push(' ');
        line.push_str(word);
    }
    println!("{line}");
}

fn queued(member: &mut Member<Order>) -> Vec<u64> {
    std::iter::from_fn(|| member.try_recv().ok().flatten()).map(|(_, number)| number).collect()
}

/// The plain story: three join, all receive, one leaves and receives no more, and the group is deleted.
fn members_come_and_go(groups: &ProcessGroups<Order>) -> Result<(), BoxError> {
    let acme = groups.tenant("acme")?;
    let group = acme.create("orders", "placed")?;
    let join = |id: &str| group.join(id, JoinOptions::default());
    let (mut mails, mut stock, mut audit) = (join("mails")?, join("stock")?, join("audit")?);
    group.offer((0, 1))?;
    let received = [queued(&mut mails), queued(&mut stock), queued(&mut audit)];
    check("all three receive order 1", received == [[1], [1], [1]])?;
    show("join", "mails, stock and audit have joined: each has received order 1");
    drop(audit);
    let outcome = group.offer((0, 2))?;
    check("the two that are left receive order 2", (queued(&mut mails), queued(&mut stock)) == (vec![2], vec![2]))?;
    show("leave", &format!("audit has left: {} members have received order 2", outcome.accepted));
    acme.delete("orders", "placed")?;
    check("the members learn of the end", mails.try_recv() == Err(LeaveReason::Deleted))?;
    check("nobody can be sent anything", group.offer((0, 3)).is_err())?;
    show("delete", "the group is deleted: its members have been notified, and order 3 is refused");
    Ok(())
}

fn tenants(groups: &ProcessGroups<Order>) -> Result<Group<Order>, BoxError> {
    let (acme, globex) = (groups.tenant("acme")?, groups.tenant("globex")?);
    let (ours, theirs) = (acme.create("orders", "shipped")?, globex.create("orders", "shipped")?);
    let mut printer = ours.join("printer", JoinOptions::default())?;
    let mut stranger = theirs.join("printer", JoinOptions::default())?;
    let outcome = ours.offer((0, 4711))?;
    show(
        "tenants",
        &format!("{} and {}: one broadcast, {} member has it", ours.path(), theirs.path(), outcome.accepted),
    );
    check("the tenant's member has it", queued(&mut printer) == [4711])?;
    check("the other tenant's has not", queued(&mut stranger).is_empty())?;
    check("a tenant sees its own groups", acme.groups().len() == 1 && acme.delete("orders", "other").is_err())?;
    if let Err(refused) = ours.join("printer", JoinOptions::default()) {
        show("refused", &format!("{refused}"));
        check("who has joined can't join again", matches!(refused, GroupError::AlreadyJoined(_)))?;
    }
    Ok(ours)
}

async fn slow_members(group: &Group<Order>) -> Result<(), BoxError> {
    show("slow", "5 broadcasts, queues of 2, and nobody reads:");
    let wait = Slow::Wait(Duration::from_millis(5));
    let policies = [("drops its oldest", Slow::DropOldest), ("is evicted", Slow::Evict), ("is waited for", wait)];
    let join = |(id, slow)| group.join(id, JoinOptions::default().queue(2).slow(slow));
    let mut members = policies.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
    for number in 1..=5 {
        group.broadcast((0, number)).await?;
    }
    for (member, expected) in members.iter_mut().zip([[4, 5], [1, 2], [1, 2]]) {
        let kept = queued(member);
        let stats = member.stats();
        let end = member.try_recv().err().map(|left| format!(", {left}")).unwrap_or_default();
        println!("  {:<17} has {kept:?}; dropped {}, refused {}{end}", member.id(), stats.dropped, stats.refused);
        check("what a slow member has", kept == expected)?;
    }
    Ok(())
}

/// Counts orders; panics at a faulty one.
struct Clerk {
    received: mpsc::UnboundedSender<Result<Order, LeaveReason>>,
}

impl Actor for Clerk {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(clerk: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(clerk)
    }
}

impl Message<Order> for Clerk {
    type Reply = ();

    async fn handle(&mut self, order: Order, _: &mut Context<Self, ()>) {
        assert!(order != FAULTY, "a faulty order");
        let _ = self.received.send(Ok(order));
    }
}

impl Message<LeaveReason> for Clerk {
    type Reply = ();

    async fn handle(&mut self, left: LeaveReason, _: &mut Context<Self, ()>) {
        let _ = self.received.send(Err(left));
    }
}

async fn next(watch: &mut Watch<Order>) -> String {
    match tokio::time::timeout(Duration::from_secs(10), watch.next()).await {
        Ok(Some(Change::Members(ids))) => format!("{} members", ids.len()),
        Ok(Some(Change::Joined(id))) => format!("{id} joined"),
        Ok(Some(Change::Left(id, why))) => format!("{id} left ({why})"),
        Ok(None) => "the group has ended".to_owned(),
        Err(_) => "nothing".to_owned(),
    }
}

/// A member that panics, and one that is notified that the group ends.
async fn actors(groups: &ProcessGroups<Order>, group: &Group<Order>) -> Result<(), BoxError> {
    let mut watch = group.watch();
    let mut seen = vec![next(&mut watch).await];
    let (received, mut inbox) = mpsc::unbounded_channel();
    let clerk = Clerk::spawn(Clerk { received });
    group.join_actor("clerk", &clerk, JoinOptions::default())?;
    seen.push(next(&mut watch).await);
    group.broadcast((0, 1)).await?;
    check("the actor receives it", inbox.recv().await == Some(Ok((0, 1))))?;
    group.broadcast(FAULTY).await?;
    seen.push(next(&mut watch).await);
    check("the watcher sees it", seen == ["0 members", "clerk joined", "clerk left (it has panicked)"])?;
    check("nobody is there", group.broadcast((0, 2)).await?.accepted == 0)?;

    let (received, mut inbox) = mpsc::unbounded_channel();
    let successor = Clerk::spawn(Clerk { received });
    group.join_actor("clerk", &successor, JoinOptions::default())?;
    seen.push(next(&mut watch).await);
    groups.tenant("acme")?.delete("orders", "shipped")?;
    seen.push(next(&mut watch).await);
    show("watched", &seen.join(", "));
    let last = inbox.recv().await;
    check("members are notified of the end", last == Some(Err(LeaveReason::Deleted)))?;
    if let Err(refused) = group.broadcast((0, 3)).await {
        show("deleted", &format!("{refused}"));
    }
    Ok(())
}

/// Four senders to four members, who check that the orders of each sender come in his order, and all of them.
async fn many(groups: &ProcessGroups<Order>) -> Result<(), BoxError> {
    const SENDERS: usize = 4;
    const ORDERS: u64 = 50_000;
    let group = groups.tenant("acme")?.create("orders", "many")?;
    let options = JoinOptions::default().slow(Slow::Wait(Duration::from_mins(1)));
    let (mut members, mut senders) = (JoinSet::new(), JoinSet::new());
    for n in 0..4 {
        let mut member = group.join(&format!("member {n}"), options)?;
        members.spawn(async move {
            let mut last = [0; SENDERS];
            while let Ok((sender, number)) = member.recv().await {
                if number != last[sender] + 1 {
                    return false;
                }
                last[sender] = number;
            }
            last == [ORDERS; SENDERS]
        });
    }
    let started = Instant::now();
    for sender in 0..SENDERS {
        let group = group.clone();
        senders.spawn(async move {
            for number in 1..=ORDERS {
                group.broadcast((sender, number)).await?;
            }
            Ok::<(), GroupError>(())
        });
    }
    for sent in senders.join_all().await {
        sent?;
    }
    groups.tenant("acme")?.delete("orders", "many")?;
    let complete = members.join_all().await.into_iter().filter(|complete| *complete).count();
    show("in order", &format!("4 senders, {complete} members, 800,000 deliveries in {:.2?}", started.elapsed()));
    check("every member has everything, in each sender's order", complete == 4)?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    if std::env::args().any(|argument| ["-h", "--help"].contains(&argument.as_str())) {
        println!("Shows process groups: members, broadcasts, tenants, slow members, panics. It has no settings.");
        return Ok(());
    }
    // The one panic below is on purpose, and needs no backtrace.
    std::panic::set_hook(Box::new(|panic| show("panic", panic.payload_as_str().unwrap_or_default())));
    let groups = ProcessGroups::default();
    members_come_and_go(&groups)?;
    let group = tenants(&groups)?;
    slow_members(&group).await?;
    actors(&groups, &group).await?;
    many(&groups).await?;
    println!("All of it was as it must be.");
    Ok(())
}
