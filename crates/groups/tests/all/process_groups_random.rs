//! Process groups: whatever many senders and members do at the same time, the order of each sender is kept, nothing
//! comes twice, nothing goes astray, and the figures add up.

use crate::support::groups::soon;
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Accepted, Group, JoinOptions, LeaveReason, Member, MemberStats, Slow};
use fastrand::Rng;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinSet;

const GROUPS: usize = 3;
const SENDERS: usize = 3;
const MESSAGES: u64 = 300;

/// Which group it is for, who has sent it, and which of his it is, from 1 on.
#[derive(Debug, Clone, Copy)]
struct Sent {
    group: usize,
    sender: usize,
    number: u64,
}

/// What a member saw of one sender.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    last: u64,
    count: u64,
}

/// What became of a membership.
struct Ended {
    group: usize,
    slow: Slow,
    /// Whether it was there before the first broadcast and after the last.
    whole: bool,
    seen: HashMap<usize, Seen>,
    stats: MemberStats,
}

impl Ended {
    fn received(&self) -> u64 {
        self.seen.values().map(|seen| seen.count).sum()
    }

    fn check(&self) {
        let MemberStats { queued, accepted, dropped, refused, .. } = self.stats;
        assert_eq!(accepted, self.received() + dropped + queued as u64, "{:?}: {:?}", self.slow, self.stats);
        let gaps: u64 = self.seen.values().map(|seen| seen.last - seen.count).sum();
        if self.whole {
            assert!(gaps <= dropped + refused, "{gaps} gaps: {:?}", self.stats);
        }
        if self.whole && !matches!(self.slow, Slow::Evict) {
            assert_eq!(accepted + refused, SENDERS as u64 * MESSAGES, "{:?}: {:?}", self.slow, self.stats);
        }
    }
}

fn policy(rng: &mut Rng) -> Slow {
    match rng.u8(0..4) {
        0 => Slow::DropOldest,
        1 => Slow::Evict,
        2 => Slow::Wait(Duration::from_micros(rng.u64(0..2_000))),
        _ => Slow::Wait(Duration::MAX),
    }
}

/// Checks the order as messages come, until the membership ends or `limit` have come.
async fn listen(group: usize, mut member: Member<Sent>, slow: Slow, limit: Option<u64>, mut rng: Rng) -> Ended {
    let mut seen: HashMap<usize, Seen> = HashMap::new();
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        match member.recv().await {
            Ok(sent) => {
                assert_eq!(sent.group, group, "it is another group's: {sent:?}");
                let from = seen.entry(sent.sender).or_default();
                assert!(sent.number > from.last, "{sent:?} after {from:?}");
                *from = Seen { last: sent.number, count: from.count + 1 };
            }
            Err(why) => {
                assert!(matches!(why, LeaveReason::Deleted | LeaveReason::Evicted | LeaveReason::Removed), "{why}");
                break;
            }
        }
        left -= 1;
        for _ in 0..rng.u8(0..8) {
            tokio::task::yield_now().await;
        }
    }
    Ended { group, slow, whole: limit.is_none(), seen, stats: member.stats() }
}

async fn send(group: Group<Sent>, index: usize, sender: usize) -> Accepted {
    let mut sum = Accepted::default();
    for number in 1..=MESSAGES {
        let Accepted { accepted, dropped, refused, evicted } =
            group.broadcast(Sent { group: index, sender, number }).await.unwrap();
        sum.accepted += accepted;
        sum.dropped += dropped;
        sum.refused += refused;
        sum.evicted += evicted;
    }
    sum
}

/// Joins and leaves until there are no senders any more, in several ways.
async fn come_and_go(group: Group<Sent>, index: usize, name: String, mut rng: Rng) -> Vec<Ended> {
    let mut ended = Vec::new();
    for _ in 0..20 {
        let slow = policy(&mut rng);
        let member = group.join(&name, JoinOptions::default().queue(rng.usize(1..20)).slow(slow)).unwrap();
        let removed = rng.bool();
        let (own, limit) = (rng.fork(), rng.u64(1..40));
        let listening = listen(index, member, slow, Some(limit), own);
        let removing = async {
            for _ in 0..rng.u8(0..50) {
                tokio::task::yield_now().await;
            }
            if removed {
                // It may have left by itself.
                let _ = group.leave(&name);
            }
        };
        let (one, ()) =
            tokio::join!(async { tokio::time::timeout(Duration::from_millis(20), listening).await.ok() }, removing);
        ended.extend(one);
    }
    ended
}

async fn history(seed: u64) {
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let groups = ProcessGroups::default();
    // Of one name, of two tenants; and of one tenant, of two names.
    let places = [("acme", "g"), ("other", "g"), ("acme", "h")];
    let tenants: Vec<_> = places.iter().map(|(tenant, _)| groups.tenant(tenant).unwrap()).collect();
    let handles: Vec<Group<Sent>> =
        tenants.iter().zip(places).map(|(tenant, (_, name))| tenant.create("ns", name).unwrap()).collect();
    let (mut listeners, mut guests, mut senders) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for (index, group) in handles.iter().enumerate() {
        for n in 0..4 {
            let slow = policy(&mut rng);
            let options = JoinOptions::default().queue(rng.usize(1..50)).slow(slow);
            let member = group.join(&format!("whole {n}"), options).unwrap();
            listeners.spawn(listen(index, member, slow, None, rng.fork()));
        }
        for n in 0..2 {
            guests.spawn(come_and_go(group.clone(), index, format!("guest {n}"), rng.fork()));
        }
    }
    for (index, group) in handles.iter().enumerate() {
        for sender in 0..SENDERS {
            let sending = send(group.clone(), index, sender);
            senders.spawn(async move { (index, sending.await) });
        }
    }
    let mut sums = [Accepted::default(); GROUPS];
    for (index, sum) in soon(senders.join_all()).await {
        sums[index].accepted += sum.accepted;
        sums[index].dropped += sum.dropped;
        sums[index].refused += sum.refused;
        sums[index].evicted += sum.evicted;
    }
    for one in soon(guests.join_all()).await.iter().flatten() {
        one.check();
    }
    for ((group, sum), tenant) in handles.iter().zip(sums).zip(&tenants) {
        let stats = group.stats().unwrap();
        let figures = [stats.accepted, stats.dropped, stats.refused, stats.evicted];
        assert_eq!(figures, [sum.accepted, sum.dropped, sum.refused, sum.evicted].map(|n| n as u64));
        assert_eq!(stats.broadcasts, SENDERS as u64 * MESSAGES);
        let (namespace, name) = tenant.groups().into_iter().find(|(_, name)| group.path().ends_with(&**name)).unwrap();
        tenant.delete(&namespace, &name).unwrap();
    }
    let ended = soon(listeners.join_all()).await;
    assert_eq!(ended.len(), GROUPS * 4);
    for one in ended {
        one.check();
        assert!(one.received() > 0, "nobody in {} has sent it anything", one.group);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_and_figures_hold_among_concurrent_senders_and_members_of_all_kinds() {
    for seed in 0..40 {
        history(seed).await;
    }
}
