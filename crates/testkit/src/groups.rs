//! What the tests of process groups share.

use super::SOON;
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Group, JoinOptions, Member, Slow};
use std::future::Future;

pub fn group() -> (ProcessGroups<u32>, Group<u32>) {
    let groups = ProcessGroups::default();
    let group = groups.tenant("acme").unwrap().create("ns", "g").unwrap();
    (groups, group)
}

pub fn join(group: &Group<u32>, id: &str, queue: usize, slow: Slow) -> Member<u32> {
    group.join(id, JoinOptions::default().queue(queue).slow(slow)).unwrap()
}

pub fn plain(group: &Group<u32>, id: &str) -> Member<u32> {
    group.join(id, JoinOptions::default()).unwrap()
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

/// What is in the queue.
pub fn queued(member: &mut Member<u32>) -> Vec<u32> {
    std::iter::from_fn(|| member.try_recv().ok().flatten()).collect()
}
