//! What a shard hands over in parts.

use super::handover::{Part, Released};
use super::ownership::Ownership;

/// What a shard hands over in parts, as a part of the shard's own state. The part that was handed over last is kept
/// here until the next one is asked for, which acknowledges it: the answer may have been lost, and then the same part
/// is given again. So nothing is lost, and nothing is taken twice.
#[derive(Debug)]
pub struct Giving<I> {
    last: Option<Given<I>>,
}

/// A part that another node was given, and may have by now.
#[derive(Debug)]
struct Given<I> {
    part: Part,
    items: Vec<I>,
}

impl<I> Default for Giving<I> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<I: Clone> Giving<I> {
    /// Hands over a part of this shard: the next one, where the last one is acknowledged by that, or the last one
    /// again.
    ///
    /// `next` takes the items of the next part out of the shard, as many as fit into one answer, of which 64 have to
    /// fit into one frame; none if nothing is left. It is given what is to be put back before that: another node has
    /// been given it, and is dead or has begun anew.
    pub fn release(
        &mut self,
        ownership: &Ownership,
        shard: u32,
        part: Part,
        next: impl FnOnce(Vec<I>) -> Vec<I>,
    ) -> Released<Vec<I>> {
        if let Some(answer) = ownership.released(shard, part.holding) {
            return answer;
        }
        let back = match self.last.take() {
            Some(last) if last.part == part => {
                let items = last.items.clone();
                self.last = Some(last);
                return Released::Part(items);
            }
            Some(last) if last.part.taking != part.taking && part.number == 0 => last.items,
            Some(last) if last.part == (Part { number: part.number.wrapping_sub(1), ..part }) => Vec::new(),
            None if part.number == 0 => Vec::new(),
            // A question that was late: nobody waits for its answer.
            last => {
                self.last = last;
                return Released::Refused;
            }
        };
        let items = next(back);
        if items.is_empty() {
            ownership.handed_off(shard, part.holding);
            return Released::Done;
        }
        ownership.progressed();
        self.last = Some(Given { part, items: items.clone() });
        Released::Part(items)
    }
}

impl<I> Giving<I> {
    /// What was handed over last and not acknowledged, to be put back: the shard is to be this node's again.
    #[must_use]
    pub fn take_back(&mut self) -> Vec<I> {
        self.last.take().map(|last| last.items).unwrap_or_default()
    }

    /// What was handed over last and is not acknowledged yet: the shard has it, too.
    #[must_use]
    pub fn items(&self) -> &[I] {
        self.last.as_ref().map_or(&[], |last| &last.items)
    }
}

#[cfg(test)]
mod tests {
    use super::super::handover::Claimed;
    use super::*;

    /// How many items are in a part.
    const SIZE: usize = 4;

    /// A shard with the numbers from 0 on.
    struct Numbers {
        ownership: Ownership,
        kept: Vec<u32>,
        giving: Giving<u32>,
    }

    impl Numbers {
        /// One that makes three parts, of which another node may take the holding of this number over.
        fn lost() -> (Self, u64) {
            let ownership = Ownership::new(1, true);
            ownership.lose(0);
            let Claimed::Holds(holding) = ownership.claimed(0) else { panic!("it has numbers") };
            (Self { ownership, kept: (0..10).collect(), giving: Giving::default() }, holding)
        }

        fn release(&mut self, part: Part) -> Released<Vec<u32>> {
            let kept = &mut self.kept;
            self.giving.release(&self.ownership, 0, part, |back| {
                kept.extend(back);
                kept.drain(..SIZE.min(kept.len())).collect()
            })
        }

        fn given(&mut self, part: Part) -> Vec<u32> {
            match self.release(part) {
                Released::Part(items) => items,
                other => panic!("{other:?}"),
            }
        }

        fn count(&self) -> usize {
            self.kept.len() + self.giving.items().len()
        }
    }

    fn part(holding: u64, taking: u64, number: u64) -> Part {
        Part { holding, taking, number }
    }

    #[test]
    fn a_part_is_given_again_until_the_next_one_is_asked_for_and_the_last_one_leaves_nothing() {
        let (mut shard, holding) = Numbers::lost();
        let mut taken = Vec::new();
        for number in 0..3 {
            let items = shard.given(part(holding, 7, number));
            assert_eq!(shard.given(part(holding, 7, number)), items, "its answer was lost");
            taken.extend(items);
        }
        assert_eq!(taken, (0..10).collect::<Vec<_>>());
        assert_eq!((shard.ownership.holdings(), shard.count()), (1, 2), "it has the last part yet");
        for _ in 0..2 {
            assert_eq!(shard.release(part(holding, 7, 3)), Released::Done);
            assert_eq!((shard.ownership.holdings(), shard.count()), (0, 0));
        }
    }

    #[test]
    fn a_late_question_takes_nothing() {
        let (mut shard, holding) = Numbers::lost();
        shard.given(part(holding, 7, 0));
        let second = shard.given(part(holding, 7, 1));
        for late in [part(holding, 7, 0), part(holding, 7, 3), part(holding, 8, 1), part(holding - 1, 7, 2)] {
            assert_eq!(shard.release(late), Released::Refused, "{late:?}");
        }
        assert_eq!(shard.given(part(holding, 7, 1)), second);
        // It owns the shard again, and loses it again.
        assert!(shard.ownership.claim(0) && shard.ownership.take(0));
        let back = shard.giving.take_back();
        assert_eq!(back, second);
        shard.kept.extend(back);
        shard.ownership.own(0);
        assert_eq!(shard.release(part(holding, 7, 2)), Released::Refused, "its owner gives nothing away");
        shard.ownership.lose(0);
        assert_eq!(shard.release(part(holding, 7, 2)), Released::Refused, "this is another holding");
        assert_eq!(shard.count(), 6);
    }

    #[test]
    fn who_begins_anew_is_given_all_that_was_not_acknowledged() {
        let (mut shard, holding) = Numbers::lost();
        shard.given(part(holding, 7, 0));
        let mut all: Vec<_> = (0..3).flat_map(|number| shard.given(part(holding, 8, number))).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(shard.release(part(holding, 8, 3)), Released::Done);
    }
}
