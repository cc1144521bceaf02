//! Finds the shard that has far more to do than the others.

use super::stats::Hot;

/// A shard is hot with more than so many times the mean.
const TIMES_THE_MEAN: f64 = 2.0;

/// Of two shards none can have that: there it is one that has more than this share.
const OF_TWO: f64 = 0.75;

/// Fewer reads and changes in an interval are no load, however they are spread. Reads are counted by 64.
const FLOOR: f64 = 10_000.0;

/// Compares the counts of one interval with those of the last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    before: Vec<u64>,
}

impl Watch {
    /// The hot shard of the interval since the last call, from the counts since the start. After the number of shards
    /// has changed, there is none for one interval.
    pub(super) fn next(&mut self, counts: Vec<u64>) -> Option<Hot> {
        let before = std::mem::replace(&mut self.before, counts);
        if before.len() != self.before.len() {
            return None;
        }
        let done = self.before.iter().zip(&before).map(|(now, before)| now.saturating_sub(*before));
        let done: Vec<u64> = done.collect();
        let sum: u64 = done.iter().sum();
        let (shard, most) = (0..).zip(done).max_by_key(|(_, done)| *done)?;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let (most, sum, shards) = (most as f64, sum as f64, before.len() as f64);
        let limit = f64::min(TIMES_THE_MEAN / shards, OF_TWO);
        (shards > 1.0 && sum >= FLOOR && most > limit * sum).then(|| Hot { shard, share: most / sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_with_more_than_twice_the_mean_of_an_interval_is_hot() {
        let mut watch = Watch::default();
        assert_eq!(watch.next(vec![0, 0, 0, 0]), None);
        assert_eq!(watch.next(vec![1_000, 7_000, 1_000, 1_000]), Some(Hot { shard: 1, share: 0.7 }));
        // What was before the interval does not count.
        assert_eq!(watch.next(vec![5_000, 11_000, 5_000, 5_000]), None);
        assert_eq!(watch.next(vec![10_000, 11_000, 10_000, 5_000]), None, "twice the mean is not more than that");
        assert_eq!(watch.next(vec![10_000, 11_000, 10_000, 14_999]), None, "there is hardly anything to do");
        assert_eq!(watch.next(vec![99_999, 11_000]), None, "the shards are others");
    }

    #[test]
    fn of_two_shards_one_with_more_than_three_quarters_is_hot_and_of_one_none_is() {
        let next = |counts: Vec<u64>| {
            let mut watch = Watch { before: vec![0; counts.len()] };
            watch.next(counts)
        };
        assert_eq!(next(vec![7_500, 2_500]), None);
        assert_eq!(next(vec![2_000, 8_000]), Some(Hot { shard: 1, share: 0.8 }));
        assert_eq!(next(vec![10_000]), None);
    }
}
