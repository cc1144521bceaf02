//! Finds the shards that have far more to do than the others, and whether one key is why.

use super::load::SAMPLE;
use super::stats::{Hot, HotKey};
use super::window::{Recent, ShardLoad, WINDOW};
use evenfold_groups::KeyHash;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// A shard is hot with more than so many times the mean.
const TIMES_THE_MEAN: f64 = 2.0;

/// Of two shards none can have that: there it is one that has more than this share.
const OF_TWO: f64 = 0.75;

/// Of fewer reads and changes little can be known: with 64 samples, a shard's count is right to about an eighth. A
/// shard that has fewer is not hot, and where the mean is less, nothing is known about the balance.
pub(super) const FLOOR: u64 = 64 * SAMPLE;

/// What was hot so recently is not logged again.
const QUIET: Duration = Duration::from_mins(1);

/// What is known about the load of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Lately {
    /// Reads and changes per second, of each shard; empty as long as that is not known.
    pub(super) per_second: Vec<f64>,
    pub(super) imbalance: Option<f64>,
    pub(super) hot: Vec<Hot>,
}

impl Lately {
    pub(super) fn of(recent: &Recent<'_>) -> Self {
        if recent.time.is_zero() {
            return Self::default();
        }
        let done: Vec<u64> = recent.shards.iter().map(ShardLoad::both).collect();
        let seconds = recent.time.as_secs_f64();
        Self {
            per_second: done.iter().map(|done| ratio(*done, 1) / seconds).collect(),
            imbalance: imbalance(&done),
            hot: (0..).zip(&recent.shards).filter_map(|(shard, load)| hot(recent, shard, load, &done)).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
pub(super) fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}

fn imbalance(done: &[u64]) -> Option<f64> {
    let (sum, shards) = (done.iter().sum::<u64>(), done.len() as u64);
    let most = *done.iter().max()?;
    (sum >= FLOOR * shards).then(|| ratio(most * shards, sum))
}

/// Whether one that has done so much stands out among all.
pub(super) fn stands_out(one: u64, all: &[u64]) -> bool {
    let (sum, shards) = (all.iter().sum::<u64>(), all.len() as u64);
    shards > 1 && one >= FLOOR && ratio(one, sum) > f64::min(TIMES_THE_MEAN / ratio(shards, 1), OF_TWO)
}

/// Whether its actor had work for more than half of the ten seconds: then it is what changes wait for, also where all
/// shards are alike, or there is one only.
pub(super) fn is_busy(load: &ShardLoad) -> bool {
    load.busy > WINDOW / 2
}

fn hot(recent: &Recent<'_>, shard: u32, load: &ShardLoad, done: &[u64]) -> Option<Hot> {
    let (own, sum) = (load.both(), done.iter().sum());
    let hot = stands_out(own, done) || is_busy(load);
    hot.then(|| Hot { shard, share: ratio(own, sum), key: one_key(recent, shard, load) })
}

/// The key that has more than half of a shard's reads and changes. Such a key has more than half of the reads or of the
/// changes, too. These are sampled apart, since of very many some samples are lost.
fn one_key(recent: &Recent<'_>, shard: u32, load: &ShardLoad) -> Option<HotKey> {
    let (read, changed) = (recent.most_read(shard), recent.most_changed(shard));
    let of = |most: Option<(KeyHash, f64)>, key: KeyHash, done: u64| {
        most.filter(|(most, _)| *most == key).map_or(0.0, |(_, share)| share * ratio(done, 1))
    };
    let done = |key| of(read, key, load.reads) + of(changed, key, load.changes);
    let keys = [read, changed].into_iter().flatten().map(|(key, _)| key);
    let (key, done) = keys.map(|key| (key, done(key))).max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (2.0 * done > ratio(load.both(), 1))
        .then(|| HotKey { hash: key.value(), per_second: done / recent.time.as_secs_f64() })
}

/// What was hot, and when that was seen last: each is logged once, though it is at the limit and hot every other
/// second.
#[derive(Debug, Default)]
pub(super) struct Logged {
    seen: HashMap<(u32, Option<u64>), Instant>,
}

impl Logged {
    /// Those that are hot for the first time in a minute.
    pub(super) fn new_among(&mut self, hot: &[Hot]) -> Vec<Hot> {
        let now = Instant::now();
        self.seen.retain(|_, seen| now.duration_since(*seen) < QUIET);
        let key = |hot: &Hot| (hot.shard, hot.key.map(|key| key.hash));
        hot.iter().filter(|hot| self.seen.insert(key(hot), now).is_none()).copied().collect()
    }
}

#[cfg(test)]
mod tests;
