//! Whether more shards would relieve one that is hot.

use super::budget::largest;
use super::hot::{is_busy, ratio, stands_out};
use super::options::CacheOptions;
use super::window::{ShardLoad, WINDOW};
use evenfold_groups::MAX_SHARDS;
use std::time::Duration;

/// The least time between two changes of the number of shards, whoever made the first: what one has brought about is
/// known after ten seconds, and keys that move cost something.
const PAUSE: Duration = Duration::from_mins(1);

/// So many times as many shards are made: half of the keys of each move, and so about half of what the hot one does.
const MORE: u32 = 2;

/// How many times as many shards as there were at the start may be made because one is hot.
const TIMES_AS_MANY: u32 = 4;

/// So many of the largest values have room in the share of a shard that was made because one is hot: nothing that could
/// be put before must be refused for that, nor evict all else.
const LARGEST_IN_A_SHARE: u64 = 4;

/// What is decided about.
pub(super) struct Situation<'a> {
    /// What the shards have done in the time.
    pub(super) shards: &'a [ShardLoad],
    pub(super) time: Duration,
    /// Whether most of a shard's changes are of one key.
    pub(super) one_key: &'a dyn Fn(u32) -> bool,
    /// There are to be no more shards than this.
    pub(super) max_shards: u32,
    /// How long ago their number has changed; none if it never has.
    pub(super) since_change: Option<Duration>,
}

/// More shards, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Relief {
    pub(super) from: u32,
    pub(super) to: u32,
    /// The shard that is hot.
    pub(super) shard: u32,
    /// Its part of all changes, from 0 to 1.
    pub(super) share: f64,
    /// The part of the time in which its actor was at work, from 0 to 1.
    pub(super) busy: f64,
}

/// More shards, if one is hot by changes of many keys, and was so for ten seconds. Reads do not count: they pass no
/// shard, and more shards would not make them faster. There are never fewer shards: one that has nothing to do costs
/// next to nothing.
pub(super) fn relief(of: &Situation<'_>) -> Option<Relief> {
    let from = u32::try_from(of.shards.len()).ok()?;
    let too_early = of.time < WINDOW || of.since_change.is_some_and(|since| since < PAUSE);
    if too_early || from >= of.max_shards {
        return None;
    }
    let changes: Vec<u64> = of.shards.iter().map(|shard| shard.changes).collect();
    let hot = |load: &ShardLoad| stands_out(load.changes, &changes) || is_busy(load);
    let mut hot = (0..).zip(of.shards).filter(|(_, load)| hot(load));
    let (shard, load) = hot.find(|(shard, _)| !(of.one_key)(*shard))?;
    Some(Relief {
        from,
        to: from.saturating_mul(MORE).min(of.max_shards),
        shard,
        share: ratio(load.changes, changes.iter().sum::<u64>().max(1)),
        busy: load.busy.as_secs_f64() / of.time.as_secs_f64(),
    })
}

/// How many shards there may be that nobody has asked for.
pub(super) fn most_shards(options: &CacheOptions) -> u32 {
    let roomy = options.memory_budget_bytes / (LARGEST_IN_A_SHARE * largest(options.max_item_bytes));
    let wanted = options.max_shards.unwrap_or(options.shards.saturating_mul(TIMES_AS_MANY));
    wanted.min(u32::try_from(roomy).unwrap_or(MAX_SHARDS)).min(MAX_SHARDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(counts: &[u64]) -> Vec<ShardLoad> {
        counts.iter().map(|changes| ShardLoad { changes: *changes, ..ShardLoad::default() }).collect()
    }

    fn situation(shards: &[ShardLoad]) -> Situation<'_> {
        Situation { shards, time: WINDOW, one_key: &|_| false, max_shards: 16, since_change: None }
    }

    fn to(of: &Situation<'_>) -> Option<u32> {
        relief(of).map(|relief| relief.to)
    }

    #[test]
    fn a_shard_that_is_hot_by_changes_of_many_keys_gets_twice_as_many_shards() {
        let hot = changes(&[10_000, 70_000, 10_000, 10_000]);
        let expected = Relief { from: 4, to: 8, shard: 1, share: 0.7, busy: 0.0 };
        assert_eq!(relief(&situation(&hot)), Some(expected));
        let even = changes(&[25_000; 4]);
        assert_eq!(relief(&situation(&even)), None);
        let few = changes(&[10, 70, 10, 10]);
        assert_eq!(relief(&situation(&few)), None);
    }

    #[test]
    fn a_shard_that_is_hot_by_one_key_or_by_reads_gets_none() {
        let hot = changes(&[10_000, 70_000, 10_000, 10_000]);
        assert_eq!(to(&Situation { one_key: &|shard| shard == 1, ..situation(&hot) }), None);
        assert_eq!(to(&Situation { one_key: &|shard| shard == 0, ..situation(&hot) }), Some(8));
        let two = changes(&[50_000, 50_000, 0, 0, 0]);
        assert_eq!(to(&Situation { one_key: &|shard| shard == 0, ..situation(&two) }), Some(10), "another is hot, too");
        let read = ShardLoad { reads: 1_000_000, ..ShardLoad::default() };
        let read = [read, ShardLoad::default(), ShardLoad::default(), ShardLoad::default()];
        assert_eq!(to(&situation(&read)), None);
    }

    #[test]
    fn shards_whose_actors_have_no_time_left_get_more_though_they_are_alike() {
        let busy =
            |seconds| ShardLoad { changes: 1_000, busy: Duration::from_secs_f64(seconds), ..ShardLoad::default() };
        assert_eq!(to(&situation(&[busy(5.0)])), None);
        let relief = relief(&situation(&[busy(7.5)])).unwrap();
        assert_eq!(relief, Relief { from: 1, to: 2, shard: 0, share: 1.0, busy: 0.75 });
        assert_eq!(to(&situation(&[busy(9.0), busy(9.0)])), Some(4));
    }

    #[test]
    fn there_are_never_more_shards_than_the_limit() {
        let hot = changes(&[90_000, 0, 0, 0, 0, 0]);
        for (max_shards, expected) in [(0, None), (5, None), (6, None), (7, Some(7)), (12, Some(12)), (100, Some(12))] {
            assert_eq!(to(&Situation { max_shards, ..situation(&hot) }), expected, "{max_shards}");
        }
    }

    #[test]
    fn it_takes_ten_seconds_of_load_and_a_minute_since_the_last_change() {
        let hot = changes(&[90_000, 0, 0, 0]);
        let at = |time, since: Option<u64>| {
            let (time, since_change) = (Duration::from_secs(time), since.map(Duration::from_secs));
            to(&Situation { time, since_change, ..situation(&hot) })
        };
        assert_eq!((at(9, None), at(10, None)), (None, Some(8)));
        assert_eq!((at(10, Some(10)), at(10, Some(59)), at(10, Some(60))), (None, None, Some(8)));
    }

    #[test]
    fn a_cache_makes_no_more_shards_than_leave_room_for_four_of_the_largest_values_in_each() {
        let options = CacheOptions::default().shards(8).max_item_bytes(1024).memory_budget_bytes(1 << 30);
        assert_eq!(most_shards(&options), 32);
        assert_eq!(most_shards(&options.clone().max_shards(Some(9))), 9);
        assert_eq!(most_shards(&options.clone().shards(MAX_SHARDS)), MAX_SHARDS);
        let small =
            options.memory_budget_bytes(crate::MIN_MEMORY_BUDGET).max_item_bytes(10_000).max_shards(Some(MAX_SHARDS));
        let most = most_shards(&small);
        assert!((15..25).contains(&most), "{most}");
        assert!(u64::from(most) * 4 * largest(10_000) <= crate::MIN_MEMORY_BUDGET);
        assert_eq!(most_shards(&small.max_item_bytes(1024 * 1024)), 0);
    }
}
