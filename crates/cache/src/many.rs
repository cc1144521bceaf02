//! Many keys at once.

use super::{Cache, CacheError, CachedValue, Condition, Put, Stored};
use futures_util::stream::{self, StreamExt};
use std::collections::HashMap;

/// So many changes of one call are on their way at a time: a call can't fill a mailbox on its own, unless that is
/// smaller.
const AT_A_TIME: usize = 64;

impl Cache {
    /// Each key's value, as [`get`](Self::get) gives it. They are read one after another, and may be of different
    /// moments.
    #[must_use]
    pub fn get_many(&self, keys: &[&str]) -> Vec<Option<CachedValue>> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// Each as [`put`](Self::put) does it, with its own outcome, in the order of the arguments. Several of one key are
    /// made in that order; different keys go on at the same time, 64 of them.
    ///
    /// # Cancel safety
    ///
    /// As for [`put`](Self::put), for each of them.
    pub async fn put_many(&self, puts: Vec<Put>) -> Vec<Result<Stored, CacheError>> {
        let put = |put: Put| async move { self.put(&put.key, put.value, put.expiry, put.condition).await };
        in_order(puts, |put| &put.key, put).await
    }

    /// Each as [`delete`](Self::delete) does it without a condition, with its own outcome, in the order of the
    /// arguments.
    ///
    /// # Cancel safety
    ///
    /// As for [`delete`](Self::delete), for each of them.
    pub async fn delete_many(&self, keys: Vec<String>) -> Vec<Result<bool, CacheError>> {
        in_order(keys, |key| key, |key: String| async move { self.delete(&key, Condition::Always).await }).await
    }
}

/// Does something with each, one after another where they have the same key, and gives the outcomes in their order.
async fn in_order<T, R, F: Future<Output = R>>(
    items: Vec<T>,
    key: impl Fn(&T) -> &str,
    change: impl Fn(T) -> F,
) -> Vec<R> {
    let mut groups: Vec<Vec<(usize, T)>> = Vec::new();
    let mut group_of: HashMap<String, usize> = HashMap::new();
    for (index, item) in items.into_iter().enumerate() {
        let group = *group_of.entry(key(&item).to_owned()).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push((index, item));
    }
    // Not an async closure: the compiler could not prove that the whole may move between threads.
    let change = &change;
    let one = |group: Vec<(usize, T)>| async move {
        let mut outcomes = Vec::with_capacity(group.len());
        for (index, item) in group {
            outcomes.push((index, change(item).await));
        }
        outcomes
    };
    let done: Vec<Vec<(usize, R)>> = stream::iter(groups).map(one).buffer_unordered(AT_A_TIME).collect().await;
    let mut outcomes: Vec<(usize, R)> = done.into_iter().flatten().collect();
    outcomes.sort_unstable_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
