//! What the shards have done in the last ten seconds.

use super::keys::majority;
use super::load::Load;
use evenfold_groups::{GroupMetrics, KeyHash};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// What the figures of load are of.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// The counts since the start at one moment, by shard, and some keys since the moment before.
#[derive(Debug, Clone)]
pub(super) struct Tick {
    pub(super) at: Instant,
    pub(super) shards: Vec<ShardLoad>,
    pub(super) read_keys: Vec<KeyHash>,
    pub(super) changed_keys: Vec<KeyHash>,
}

/// What one shard has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ShardLoad {
    pub(super) reads: u64,
    pub(super) changes: u64,
    /// How long its actor has handled messages.
    pub(super) busy: Duration,
}

/// The ticks of the last ten seconds, and of the number of shards that there is now.
#[derive(Debug, Default)]
pub(super) struct Window {
    ticks: VecDeque<Tick>,
    /// When the number of shards was another for the last time.
    changed: Option<Instant>,
}

/// What the shards have done in so much time: ten seconds, or less since the number of shards changed.
#[derive(Debug)]
pub(super) struct Recent<'a> {
    pub(super) time: Duration,
    pub(super) shards: Vec<ShardLoad>,
    /// How long ago their number has changed; none if it never has.
    pub(super) since_change: Option<Duration>,
    ticks: &'a VecDeque<Tick>,
}

impl ShardLoad {
    pub(super) fn both(&self) -> u64 {
        self.reads + self.changes
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            changes: self.changes.saturating_sub(before.changes),
            busy: self.busy.saturating_sub(before.busy),
        }
    }
}

impl Tick {
    pub(super) fn now(load: &Load, group: &GroupMetrics) -> Self {
        let (reads, changes) = (load.reads.counts(group.shards.len()), load.changes.counts(group.shards.len()));
        let each = group.shards.iter().zip(reads.into_iter().zip(changes));
        Self {
            at: Instant::now(),
            shards: each.map(|(shard, (reads, changes))| ShardLoad { reads, changes, busy: shard.busy }).collect(),
            read_keys: load.reads.take_keys(),
            changed_keys: load.changes.take_keys(),
        }
    }
}

impl Window {
    /// Adds the counts of now, and forgets those that are not needed any more. After the number of shards has changed,
    /// nothing from before it is compared to anything.
    pub(super) fn add(&mut self, tick: Tick) -> Recent<'_> {
        if self.ticks.back().is_some_and(|last| last.shards.len() != tick.shards.len()) {
            self.ticks.clear();
            self.changed = Some(tick.at);
        }
        while self.ticks.get(1).is_some_and(|second| tick.at.duration_since(second.at) >= WINDOW) {
            self.ticks.pop_front();
        }
        let first = self.ticks.front().unwrap_or(&tick);
        let time = tick.at.duration_since(first.at);
        let shards = tick.shards.iter().zip(&first.shards).map(|(now, before)| now.since(before)).collect();
        let since_change = self.changed.map(|changed| tick.at.duration_since(changed));
        self.ticks.push_back(tick);
        Recent { time, shards, since_change, ticks: &self.ticks }
    }
}

impl Recent<'_> {
    /// The key that more than half of a shard's reads were about, with its share of them, as far as samples show it.
    pub(super) fn most_read(&self, shard: u32) -> Option<(KeyHash, f64)> {
        self.most(shard, |tick| &tick.read_keys)
    }

    /// The same of its changes.
    pub(super) fn most_changed(&self, shard: u32) -> Option<(KeyHash, f64)> {
        self.most(shard, |tick| &tick.changed_keys)
    }

    fn most(&self, shard: u32, of: fn(&Tick) -> &[KeyHash]) -> Option<(KeyHash, f64)> {
        let shards = NonZeroU32::new(u32::try_from(self.shards.len()).ok()?)?;
        // The keys of the first tick are from before it.
        let keys = self.ticks.iter().skip(1).flat_map(of).copied();
        majority(&keys.filter(|key| key.shard(shards) == shard).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(start: Instant, second: u64, reads: &[u64], keys: &[&str]) -> Tick {
        let load = |reads: &u64| ShardLoad { reads: *reads, changes: 1, busy: Duration::from_secs(second) };
        let changed_keys: Vec<KeyHash> = keys.iter().copied().map(KeyHash::from).collect();
        let at = start + Duration::from_secs(second);
        Tick { at, shards: reads.iter().map(load).collect(), read_keys: Vec::new(), changed_keys }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_done_more_than_ten_seconds_ago_does_not_count() {
        let (start, mut window) = (Instant::now(), Window::default());
        assert_eq!(window.add(tick(start, 0, &[1_000], &["before"])).time, Duration::ZERO);
        for second in 1..=25 {
            let recent = window.add(tick(start, second, &[1_000 + 10 * second], &["a"]));
            let seconds = second.min(10);
            let expected = ShardLoad { reads: 10 * seconds, changes: 0, busy: Duration::from_secs(seconds) };
            assert_eq!((recent.time, &*recent.shards), (Duration::from_secs(seconds), &[expected][..]), "{second}");
            assert_eq!(recent.most_changed(0), Some((KeyHash::from("a"), 1.0)));
            assert_eq!((recent.most_read(0), recent.since_change), (None, None));
        }
        assert_eq!(window.ticks.len(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_number_of_shards_begins_anew() {
        let (start, mut window) = (Instant::now(), Window::default());
        window.add(tick(start, 0, &[0, 0], &[]));
        assert_eq!(window.add(tick(start, 1, &[500, 100], &["a"])).shards[0].reads, 500);
        let recent = window.add(tick(start, 2, &[900, 100, 0], &["a"]));
        assert_eq!((recent.time, &*recent.shards), (Duration::ZERO, &[ShardLoad::default(); 3][..]));
        assert_eq!(recent.since_change, Some(Duration::ZERO));
        assert_eq!(recent.most_changed(KeyHash::from("a").shard(NonZeroU32::new(3).unwrap())), None);
        let recent = window.add(tick(start, 3, &[900, 200, 50], &[]));
        assert_eq!((recent.shards[2].reads, recent.since_change), (50, Some(Duration::from_secs(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_key_of_a_shard_is_one_of_its_own() {
        let (start, mut window) = (Instant::now(), Window::default());
        let shards = NonZeroU32::new(2).unwrap();
        let of = |shard| (0..1_000).map(|n| format!("k{n}")).find(|key| KeyHash::from(key).shard(shards) == shard);
        let (one, other) = (of(0).unwrap(), of(1).unwrap());
        window.add(tick(start, 0, &[0, 0], &[]));
        let recent = window.add(tick(start, 1, &[9, 9], &[&one, &other, &other, &other, &one]));
        assert_eq!(recent.most_changed(0), Some((KeyHash::from(&one), 1.0)));
        assert_eq!(recent.most_changed(1), Some((KeyHash::from(&other), 1.0)));
    }
}
