//! Process groups: who is in them, who gets what, and what is refused.

use crate::support::groups::{group, join, plain, queued, soon};
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Accepted, Change, GroupError, JoinOptions, LeaveReason, Limits, Member, Slow};
use std::sync::Arc;

fn names(ids: &[Arc<str>]) -> Vec<&str> {
    ids.iter().map(AsRef::as_ref).collect()
}

#[tokio::test]
async fn a_broadcast_reaches_all_members_of_its_group_and_nobody_else() {
    let groups = ProcessGroups::default();
    let (acme, other) = (groups.tenant("acme").unwrap(), groups.tenant("other").unwrap());
    let same_name = [acme.create("ns", "g").unwrap(), other.create("ns", "g").unwrap()];
    let mut theirs: Vec<_> = [same_name[1].clone(), acme.create("ns", "h").unwrap(), acme.create("ns2", "g").unwrap()]
        .iter()
        .map(|group| plain(group, "m"))
        .collect();
    let (mut one, mut two) = (plain(&same_name[0], "m"), plain(&same_name[0], "n"));
    let outcome = same_name[0].broadcast(7).await.unwrap();
    assert_eq!(outcome, Accepted { accepted: 2, ..Accepted::default() });
    assert_eq!((queued(&mut one), queued(&mut two)), (vec![7], vec![7]));
    assert!(theirs.iter_mut().all(|member| queued(member).is_empty()));
}

#[test]
fn a_tenant_sees_and_deletes_its_own_groups_only() {
    let groups: ProcessGroups<u32> = ProcessGroups::default();
    let (acme, other) = (groups.tenant("acme").unwrap(), groups.tenant("other").unwrap());
    let theirs = other.create("ns", "g").unwrap();
    assert!(acme.groups().is_empty());
    assert_eq!(acme.group("ns", "g").err(), Some(GroupError::Missing("acme/ns/g".into())));
    assert_eq!(acme.delete("ns", "g"), Err(GroupError::Missing("acme/ns/g".into())));
    acme.create("ns", "g").unwrap();
    acme.delete("ns", "g").unwrap();
    assert_eq!(theirs.members().unwrap(), []);
    assert_eq!(groups.tenant("other").unwrap().groups(), [("ns".into(), "g".into())]);
    let elsewhere: ProcessGroups<u32> = ProcessGroups::default();
    assert!(elsewhere.tenant("other").unwrap().groups().is_empty(), "two values share nothing");
}

#[test]
fn a_group_is_created_once_and_opened_by_anybody_of_its_tenant() {
    let (groups, group) = group();
    let acme = groups.tenant("acme").unwrap();
    assert_eq!(acme.create("ns", "g").err(), Some(GroupError::Exists("acme/ns/g".into())));
    let _member = plain(&group, "m");
    assert_eq!(names(&acme.open("ns", "g").unwrap().members().unwrap()), ["m"]);
    assert_eq!(names(&acme.group("ns", "g").unwrap().members().unwrap()), ["m"]);
    assert_eq!(acme.open("ns", "new").unwrap().path(), "acme/ns/new");
}

#[test]
fn joining_twice_and_leaving_as_a_stranger_are_refused() {
    let (_groups, group) = group();
    let first = plain(&group, "m");
    let again = group.join("m", JoinOptions::default());
    assert_eq!(again.err(), Some(GroupError::AlreadyJoined("m".into())));
    assert_eq!(group.leave("stranger"), Err(GroupError::NotAMember("stranger".into())));
    drop(first);
    assert_eq!(group.leave("m"), Err(GroupError::NotAMember("m".into())));
    let _again = plain(&group, "m");
    assert_eq!(names(&group.members().unwrap()), ["m"]);
}

#[tokio::test]
async fn a_membership_that_has_ended_does_not_end_that_of_a_successor_of_its_name() {
    let (_groups, group) = group();
    let first = plain(&group, "m");
    group.leave("m").unwrap();
    let mut second = plain(&group, "m");
    drop(first);
    assert_eq!(group.broadcast(1).await.unwrap().accepted, 1);
    assert_eq!(queued(&mut second), [1]);
}

#[test]
fn names_queues_and_numbers_beyond_the_limits_are_refused_with_a_sentence() {
    let groups: ProcessGroups<u32> = ProcessGroups::new(Limits::default().tenants(2).groups(2).members(2));
    let acme = groups.tenant("acme").unwrap();
    let group = acme.create("ns", "g").unwrap();
    let refused = |result: Result<Member<u32>, GroupError>| result.err().unwrap().to_string();
    assert!(matches!(groups.tenant("a/b"), Err(GroupError::Name(_))));
    assert!(matches!(acme.create("", "g"), Err(GroupError::Name(_))));
    assert!(matches!(acme.delete("ns", "\0"), Err(GroupError::Name(_))));
    assert!(refused(group.join("a\nb", JoinOptions::default())).contains("can't be the name of a member"));
    let empty = JoinOptions::default().queue(0);
    assert!(refused(group.join("m", empty)).contains("give the member one of 1 to 1000000"));
    let _members = [plain(&group, "m"), plain(&group, "n")];
    assert_eq!(group.join("o", JoinOptions::default()).err(), Some(GroupError::TooManyMembers(2)));
    acme.create("ns", "h").unwrap();
    assert_eq!(acme.create("ns", "i").err(), Some(GroupError::TooManyGroups(2)));
    assert_eq!(acme.open("ns", "i").err(), Some(GroupError::TooManyGroups(2)));
    let other = groups.tenant("other").unwrap();
    assert_eq!(groups.tenant("third").err(), Some(GroupError::TooManyTenants(2)));
    drop(other);
    assert!(groups.tenant("third").is_ok(), "of a tenant without groups and handles nothing is kept");
    assert_eq!(acme.groups().len(), 2);
}

#[tokio::test]
async fn a_deleted_group_notifies_its_members_after_what_they_had_and_refuses_broadcasts_for_ever() {
    let (groups, group) = group();
    let acme = groups.tenant("acme").unwrap();
    let (mut idle, mut busy) = (plain(&group, "idle"), plain(&group, "busy"));
    let waiting = tokio::spawn(async move { (idle.recv().await, idle.recv().await) });
    group.broadcast(1).await.unwrap();
    acme.delete("ns", "g").unwrap();
    assert_eq!(soon(waiting).await.unwrap(), (Ok(1), Err(LeaveReason::Deleted)));
    assert_eq!((busy.recv().await, busy.recv().await), (Ok(1), Err(LeaveReason::Deleted)));
    let recreated = acme.create("ns", "g").unwrap();
    let mut new = plain(&recreated, "new");
    let refused = group.broadcast(2).await.unwrap_err();
    assert_eq!(refused.to_string().split(':').next(), Some("the group acme/ns/g was deleted"));
    assert!(matches!(group.join("x", JoinOptions::default()), Err(GroupError::Deleted(_))));
    assert!(group.members().is_err() && group.stats().is_err() && group.is_empty());
    assert!(queued(&mut new).is_empty(), "the new group is another");
}

#[tokio::test]
async fn members_are_notified_when_nobody_has_a_handle_of_their_group_any_more() {
    let (groups, group) = group();
    let mut member = plain(&group, "m");
    drop(groups);
    group.broadcast(1).await.unwrap();
    drop(group);
    assert_eq!((member.recv().await, member.recv().await), (Ok(1), Err(LeaveReason::Deleted)));
}

#[tokio::test]
async fn a_member_that_is_removed_gets_what_it_had_and_is_notified() {
    let (_groups, group) = group();
    let mut member = plain(&group, "m");
    group.broadcast(1).await.unwrap();
    group.leave("m").unwrap();
    assert_eq!(group.broadcast(2).await.unwrap().accepted, 0);
    assert_eq!((member.recv().await, member.recv().await), (Ok(1), Err(LeaveReason::Removed)));
}

#[tokio::test]
async fn a_task_that_ends_is_aborted_or_panics_has_left_and_who_watches_learns_how() {
    let (_groups, group) = group();
    let mut watch = group.watch();
    assert_eq!(soon(watch.next()).await, Some(Change::Members(vec![])));
    let (ends, aborted, panics) = (plain(&group, "ends"), plain(&group, "aborted"), plain(&group, "panics"));
    for id in ["ends", "aborted", "panics"] {
        assert_eq!(soon(watch.next()).await, Some(Change::Joined(id.into())));
    }
    let run = |mut member: Member<u32>| {
        tokio::spawn(async move {
            match member.recv().await.unwrap() {
                1 => std::future::pending().await,
                2 => panic!("on purpose"),
                _ => {}
            }
        })
    };
    let tasks = [run(ends), run(aborted), run(panics)];
    tasks[1].abort();
    assert_eq!(soon(watch.next()).await, Some(Change::Left("aborted".into(), LeaveReason::Stopped)));
    assert_eq!(names(&group.members().unwrap()), ["ends", "panics"]);
    group.broadcast(2).await.unwrap();
    let mut left = [soon(watch.next()).await.unwrap(), soon(watch.next()).await.unwrap()];
    left.sort_by_key(|change| format!("{change:?}"));
    assert_eq!(left, ["ends", "panics"].map(|id| Change::Left(id.into(), LeaveReason::Panicked)));
    assert!(group.is_empty());
    let again = run(plain(&group, "ends"));
    group.broadcast(3).await.unwrap();
    soon(again).await.unwrap();
    assert_eq!(soon(watch.next()).await, Some(Change::Joined("ends".into())));
    assert_eq!(soon(watch.next()).await, Some(Change::Left("ends".into(), LeaveReason::Stopped)));
}

#[tokio::test]
async fn who_watches_sees_removals_evictions_and_the_end() {
    let (groups, group) = group();
    let (_one, _two) = (plain(&group, "m"), join(&group, "n", 1, Slow::Evict));
    let mut watch = group.watch();
    assert_eq!(soon(watch.next()).await, Some(Change::Members(vec!["m".into(), "n".into()])));
    group.leave("m").unwrap();
    group.broadcast(1).await.unwrap();
    group.broadcast(2).await.unwrap();
    groups.tenant("acme").unwrap().delete("ns", "g").unwrap();
    assert_eq!(soon(watch.next()).await, Some(Change::Left("m".into(), LeaveReason::Removed)));
    assert_eq!(soon(watch.next()).await, Some(Change::Left("n".into(), LeaveReason::Evicted)));
    assert_eq!((soon(watch.next()).await, soon(watch.next()).await), (None, None));
    assert_eq!(soon(group.watch().next()).await, None);
}

#[tokio::test]
async fn who_falls_behind_with_watching_gets_all_members_and_then_the_changes_since() {
    let (_groups, group) = group();
    let mut watch = group.watch();
    assert_eq!(soon(watch.next()).await, Some(Change::Members(vec![])));
    let _stays = plain(&group, "stays");
    for n in 0..1_000 {
        drop(plain(&group, &format!("{n}")));
    }
    let _last = plain(&group, "last");
    assert_eq!(soon(watch.next()).await, Some(Change::Members(vec!["last".into(), "stays".into()])));
    group.leave("last").unwrap();
    assert_eq!(soon(watch.next()).await, Some(Change::Left("last".into(), LeaveReason::Removed)));
}
