//! Records what tasks do to a store, and see of it.

use super::checker::{Call, Did, Entry};
use evenfold_cache::{Cache, CacheError, CachedValue, Condition, Value};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What is tested: a cache, or one that is broken on purpose.
pub trait Store: Clone + Send + Sync + 'static {
    fn get(&self, key: &str) -> Entry;
    fn put(&self, key: &str, value: i64) -> impl Future<Output = (u64, bool)> + Send;
    fn put_if(
        &self,
        key: &str,
        version: Option<u64>,
        value: i64,
    ) -> impl Future<Output = Result<u64, Option<u64>>> + Send;
    fn incr(&self, key: &str, by: i64) -> impl Future<Output = (u64, i64)> + Send;
    fn delete(&self, key: &str) -> impl Future<Output = bool> + Send;
}

fn entry_of(found: Option<CachedValue>) -> Entry {
    found.map(|found| match found.value {
        Value::Number(number) => (found.version, number.as_i64().unwrap()),
        other => panic!("{other:?}"),
    })
}

impl Store for Cache {
    fn get(&self, key: &str) -> Entry {
        entry_of(Cache::get(self, key))
    }

    async fn put(&self, key: &str, value: i64) -> (u64, bool) {
        let stored = Cache::put(self, key, value.into(), None, Condition::Always).await.unwrap();
        (stored.version, stored.created)
    }

    async fn put_if(&self, key: &str, version: Option<u64>, value: i64) -> Result<u64, Option<u64>> {
        let condition = version.map_or(Condition::IfAbsent, Condition::IfVersion);
        match Cache::put(self, key, value.into(), None, condition).await {
            Ok(stored) => Ok(stored.version),
            Err(CacheError::Conflict { current }) => Err(current),
            Err(other) => panic!("{other}"),
        }
    }

    async fn incr(&self, key: &str, by: i64) -> (u64, i64) {
        let counted = Cache::incr(self, key, by).await.unwrap();
        (counted.version, counted.value)
    }

    async fn delete(&self, key: &str) -> bool {
        Cache::delete(self, key, Condition::Always).await.unwrap()
    }
}

/// A cache whose reads come from a copy, which is up to date at every second one only.
#[derive(Clone)]
pub struct Stale(pub Cache, pub Arc<Mutex<(u64, HashMap<String, Entry>)>>);

/// A cache whose conditions are looked at first and forgotten then.
#[derive(Clone)]
pub struct Unconditional(pub Cache);

impl Store for Stale {
    fn get(&self, key: &str) -> Entry {
        let mut copy = self.1.lock().unwrap();
        copy.0 += 1;
        if copy.0.is_multiple_of(2) || !copy.1.contains_key(key) {
            copy.1.insert(key.to_owned(), Store::get(&self.0, key));
        }
        copy.1[key]
    }

    async fn put(&self, key: &str, value: i64) -> (u64, bool) {
        Store::put(&self.0, key, value).await
    }

    async fn put_if(&self, key: &str, version: Option<u64>, value: i64) -> Result<u64, Option<u64>> {
        self.0.put_if(key, version, value).await
    }

    async fn incr(&self, key: &str, by: i64) -> (u64, i64) {
        Store::incr(&self.0, key, by).await
    }

    async fn delete(&self, key: &str) -> bool {
        Store::delete(&self.0, key).await
    }
}

impl Store for Unconditional {
    fn get(&self, key: &str) -> Entry {
        Store::get(&self.0, key)
    }

    async fn put(&self, key: &str, value: i64) -> (u64, bool) {
        Store::put(&self.0, key, value).await
    }

    async fn put_if(&self, key: &str, version: Option<u64>, value: i64) -> Result<u64, Option<u64>> {
        let current = Store::get(&self.0, key).map(|(version, _)| version);
        if current != version {
            return Err(current);
        }
        tokio::task::yield_now().await;
        Ok(Store::put(&self.0, key, value).await.0)
    }

    async fn incr(&self, key: &str, by: i64) -> (u64, i64) {
        Store::incr(&self.0, key, by).await
    }

    async fn delete(&self, key: &str) -> bool {
        Store::delete(&self.0, key).await
    }
}

/// One call, at random. Half are reads; conditions ask for what was last seen.
async fn call(store: &impl Store, key: &str, random: &mut fastrand::Rng, seen: &mut Option<u64>) -> Did {
    let value = random.i64(..1_000_000);
    match random.u8(..10) {
        0..5 => {
            let found = store.get(key);
            *seen = found.map(|(version, _)| version);
            Did::Get(found)
        }
        5 => {
            let (version, created) = store.put(key, value).await;
            Did::Put { now: (version, value), created }
        }
        6..8 => match store.put_if(key, *seen, value).await {
            Ok(version) => Did::PutIf { version: *seen, now: (version, value) },
            Err(current) => Did::Conflict { version: *seen, current },
        },
        8 => Did::Incr { by: 3, now: store.incr(key, 3).await },
        _ => Did::Delete { was_there: store.delete(key).await },
    }
}

/// Has `tasks` tasks make `calls` calls each about `keys` keys, and gives the history of each key.
pub async fn record(store: &impl Store, seed: u64, tasks: u64, calls: u64, keys: u64) -> Vec<Vec<Call>> {
    let clock = Arc::new(AtomicU64::new(0));
    let workers = (0..tasks).map(|task| {
        let (store, clock) = (store.clone(), Arc::clone(&clock));
        let mut random = fastrand::Rng::with_seed(seed * tasks + task);
        tokio::spawn(async move {
            let mut history = Vec::new();
            let mut versions = vec![None; usize::try_from(keys).unwrap()];
            for _ in 0..calls {
                let key = random.usize(..versions.len());
                let began = clock.fetch_add(1, Ordering::SeqCst);
                let did = call(&store, &format!("{seed} {key}"), &mut random, &mut versions[key]).await;
                let ended = clock.fetch_add(1, Ordering::SeqCst);
                history.push((key, Call { began, ended, did }));
            }
            history
        })
    });
    let mut histories = vec![Vec::new(); usize::try_from(keys).unwrap()];
    for history in join_all(workers).await {
        history.unwrap().into_iter().for_each(|(key, call)| histories[key].push(call));
    }
    histories
}
