//! Process groups: a slow member is treated as it wishes, and delays no other.

use crate::support::groups::{group, join, plain, queued, soon};
use crate::support::{SOON, wait_until};
use evenfold_groups::process::{Accepted, LeaveReason, Slow};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_slow_member_loses_its_oldest_is_evicted_or_refuses_and_the_others_lose_nothing() {
    let (_groups, group) = group();
    let mut fast = plain(&group, "fast");
    let mut drops = join(&group, "drops", 2, Slow::DropOldest);
    let mut evicted = join(&group, "evicted", 2, Slow::Evict);
    let mut waits = join(&group, "waits", 2, Slow::Wait(Duration::from_millis(5)));
    let mut outcomes = Vec::new();
    for n in 1..=4 {
        outcomes.push(soon(group.broadcast(n)).await.unwrap());
    }
    let all = Accepted { accepted: 4, ..Accepted::default() };
    let third = Accepted { accepted: 2, dropped: 1, refused: 1, evicted: 1 };
    assert_eq!(outcomes, [all, all, third, Accepted { evicted: 0, ..third }]);
    let stats = group.stats().unwrap();
    assert_eq!((stats.broadcasts, stats.accepted, stats.dropped, stats.refused, stats.evicted), (4, 12, 2, 2, 1));
    let members: Vec<_> = stats.members.iter().map(|m| (&*m.id, m.queued, m.dropped, m.refused)).collect();
    assert_eq!(members, [("drops", 2, 2, 0), ("fast", 4, 0, 0), ("waits", 2, 0, 2)]);
    assert_eq!((queued(&mut fast), queued(&mut drops), drops.dropped()), (vec![1, 2, 3, 4], vec![3, 4], 2));
    assert_eq!((queued(&mut evicted), evicted.try_recv()), (vec![1, 2], Err(LeaveReason::Evicted)));
    assert_eq!((queued(&mut waits), waits.try_recv()), (vec![1, 2], Ok(None)));
}

#[tokio::test]
async fn whoever_is_waited_for_delays_no_other_member_and_its_room_ends_the_wait() {
    let (_groups, group) = group();
    // In the order of their names the slow one comes first.
    let mut slow = join(&group, "a slow one", 1, Slow::Wait(Duration::MAX));
    let mut fast = plain(&group, "fast");
    group.broadcast(1).await.unwrap();
    let sender = tokio::spawn(async move { group.broadcast(2).await.unwrap() });
    assert_eq!((soon(fast.recv()).await, soon(fast.recv()).await), (Ok(1), Ok(2)));
    assert!(!sender.is_finished());
    assert_eq!(soon(slow.recv()).await, Ok(1));
    assert_eq!(soon(sender).await.unwrap(), Accepted { accepted: 2, ..Accepted::default() });
    assert_eq!(soon(slow.recv()).await, Ok(2));
}

#[tokio::test]
async fn several_are_waited_for_at_the_same_time_and_each_for_its_own() {
    let (_groups, group) = group();
    let wait = Duration::from_millis(100);
    let _slow: Vec<_> = (0..20).map(|n| join(&group, &format!("{n}"), 1, Slow::Wait(wait))).collect();
    let mut patient = join(&group, "patient", 1, Slow::Wait(Duration::MAX));
    group.broadcast(1).await.unwrap();
    let started = Instant::now();
    let (outcome, ()) = soon(async {
        tokio::join!(group.broadcast(2), async {
            let refused = async || group.stats().unwrap().refused == 20;
            wait_until("all the others to be refused before this one makes room", SOON, refused).await;
            assert_eq!(patient.recv().await, Ok(1));
        })
    })
    .await;
    assert_eq!(outcome.unwrap(), Accepted { accepted: 1, refused: 20, ..Accepted::default() });
    let elapsed = started.elapsed();
    assert!(
        elapsed >= wait && elapsed < wait * 10,
        "one after the other they would take 20 times as long: {elapsed:?}"
    );
}

#[tokio::test]
async fn an_offer_waits_for_nobody() {
    let (_groups, group) = group();
    let mut slow = join(&group, "slow", 1, Slow::Wait(Duration::MAX));
    assert_eq!(group.offer(1).unwrap(), Accepted { accepted: 1, ..Accepted::default() });
    assert_eq!(group.offer(2).unwrap(), Accepted { refused: 1, ..Accepted::default() });
    assert_eq!((queued(&mut slow), slow.stats().refused, group.stats().unwrap().refused), (vec![1], 1, 1));
}

#[tokio::test]
async fn a_broadcast_that_is_dropped_has_reached_those_who_had_room() {
    let (_groups, group) = group();
    let mut slow = join(&group, "a slow one", 1, Slow::Wait(Duration::MAX));
    let mut fast = plain(&group, "fast");
    group.broadcast(1).await.unwrap();
    {
        let mut dropped = std::pin::pin!(group.broadcast(2));
        assert!(futures_util::poll!(&mut dropped).is_pending());
    }
    assert_eq!((queued(&mut fast), queued(&mut slow)), (vec![1, 2], vec![1]));
    assert_eq!(soon(group.broadcast(3)).await.unwrap().accepted, 2, "the room it has waited for is not lost");
    assert_eq!(queued(&mut slow), [3]);
}

#[tokio::test]
async fn nobody_waits_for_the_room_of_a_member_that_leaves_or_of_a_group_that_ends() {
    let (groups, group) = group();
    let (one, _two) =
        (join(&group, "m", 1, Slow::Wait(Duration::MAX)), join(&group, "n", 1, Slow::Wait(Duration::MAX)));
    group.broadcast(1).await.unwrap();
    let mut sender = std::pin::pin!(group.broadcast(2));
    assert!(futures_util::poll!(&mut sender).is_pending());
    drop(one);
    assert!(futures_util::poll!(&mut sender).is_pending());
    groups.tenant("acme").unwrap().delete("ns", "g").unwrap();
    assert_eq!(soon(sender).await, Ok(Accepted::default()));
}

#[tokio::test]
async fn a_member_that_always_finds_a_message_lets_others_run() {
    let (_groups, group) = group();
    let mut member = plain(&group, "m");
    let mut others_ran = tokio::spawn(async {});
    group.offer(1).unwrap();
    let received = async {
        let mut received = 0;
        while received < 100_000 && member.recv().await.is_ok() {
            group.offer(1).unwrap();
            received += 1;
        }
        received
    };
    tokio::select! {
        biased;
        _ = &mut others_ran => {}
        received = received => panic!("{received} messages were received in one go"),
    }
}
