//! Scatter and gather: a question to all shards, and one answer.

use super::error::{AskError, GatherError};
use super::mailbox::Address;
use super::router::Router;
use super::shard::Shard;
use futures_util::future::join_all;
use std::ops::Add;
use tokio::time::Instant;

/// What to do about shards that do not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Then there is no result.
    Fail,
    /// The result is that of the others, and says who is missing.
    Partial,
}

/// What all shards together have answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered<T> {
    /// The merged answers.
    pub value: T,
    /// How many shards have answered.
    pub answered: u32,
    /// Which have not.
    pub missing: Vec<u32>,
}

pub(super) async fn gather<S: Shard, T>(
    router: &Router<S>,
    message: impl Fn(u32) -> S::Message,
    start: T,
    merge: impl FnMut(T, S::Reply) -> T,
    deadline: Instant,
    policy: Missing,
) -> Result<Gathered<T>, GatherError> {
    // The number of shards stays as it is meanwhile.
    let Ok(_same) = tokio::time::timeout_at(deadline, router.change.read()).await else {
        return nothing(router.shards(), start, policy);
    };
    let shards = router.shards();
    if shards == 0 {
        return Err(GatherError::Stopped);
    }
    let asked = (0..shards).map(|shard| router.ask(Address::Shard(shard), message(shard), deadline));
    let mut missing = Vec::new();
    let mut replies = Vec::new();
    for (shard, answer) in (0..shards).zip(join_all(asked).await) {
        match answer {
            Ok(reply) => replies.push(reply),
            Err(AskError::Stopped) => return Err(GatherError::Stopped),
            Err(_) => missing.push(shard),
        }
    }
    if policy == Missing::Fail && !missing.is_empty() {
        return Err(GatherError::Missing { missing });
    }
    let answered = u32::try_from(replies.len()).unwrap_or(u32::MAX);
    Ok(Gathered { value: replies.into_iter().fold(start, merge), answered, missing })
}

fn nothing<T>(shards: u32, start: T, policy: Missing) -> Result<Gathered<T>, GatherError> {
    let missing = (0..shards).collect();
    match policy {
        Missing::Fail => Err(GatherError::Missing { missing }),
        Missing::Partial => Ok(Gathered { value: start, answered: 0, missing }),
    }
}

/// A merge that adds up.
pub fn total<N: Add<Output = N>>(sum: N, more: N) -> N {
    sum + more
}

/// A merge of lists that keeps the `k` greatest, the greatest first. If each shard answers with its own `k` greatest,
/// these are the greatest of all.
pub fn top<T: Ord>(k: usize) -> impl FnMut(Vec<T>, Vec<T>) -> Vec<T> {
    move |mut best, more| {
        best.extend(more);
        best.sort_unstable_by(|a, b| b.cmp(a));
        best.truncate(k);
        best
    }
}
