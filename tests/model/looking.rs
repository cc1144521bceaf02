//! How a worker looks for what is new in a log that others write, one statement at a time: `WorkerLog::poll`,
//! `log::look` and `Foreign::holders`.

use super::cases::Case;
use super::log::{BySequence, Event, Log, SequenceLog, Source};
use super::mutant::Mutant;
use super::reading::seen_by;
use super::step::Step;
use super::worker::{Batch, Holding, Part, Phase, Rules, Worker};
use evenfold::checkpoint::Checkpoint;
use evenfold::log::Fence;
use evenfold::log::foreign::{Holder, Holes, fence_after};
use evenfold::number::Position;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// There is no time in the model: whoever waits may go on at any moment.
pub static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What was read, and is not a fence yet.
#[derive(Debug, Clone, PartialEq, Hash)]
pub enum Glance {
    /// For the holes: who has the sequence's lock.
    Holders(Scan),
    /// Only of a mutant: what a look has found, and who has the lock after it.
    Looked(Sighting, Scan),
    /// The highest visible position; of a mutant, not yet.
    Top(Option<Position>),
    /// Who of those that may still write something below it are left, once that was looked at; and who has the lock.
    Settling(Option<Position>, Option<BTreeSet<Holder>>, Scan),
    /// The gaps below it, up to a position in between; only of a mutant.
    SomeGaps(Position, Position, Vec<(i64, i64)>),
    /// The gaps up to it.
    Gaps(Position, Vec<(i64, i64)>),
    /// Only of mutants: what of the missing positions has events.
    MissingFirst(Vec<Position>, Option<Position>),
}

/// Reading `pg_locks`, which is not of one moment: one transaction after the other.
#[derive(Debug, Clone, Default, PartialEq, Hash)]
pub struct Scan {
    next: usize,
    pub holders: BTreeSet<Holder>,
    /// Those by their numbers.
    shown: Vec<usize>,
}

/// What one look has found.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Sighting {
    fence: Fence,
    events: Vec<Event>,
    complete: bool,
}

impl Scan {
    /// Looks at the next transaction that has the lock. Of those before it that have none it makes no difference when
    /// they are looked at: whoever has the lock only later is not waited for by anybody. Whether that was all.
    pub fn go_on(&mut self, log: &SequenceLog, mutant: Option<Mutant>) -> bool {
        let holder = |number: &usize| log.holder(*number, mutant).is_some();
        if let Some(number) = (self.next..log.writers()).find(holder) {
            self.holders.extend(log.holder(number, mutant));
            self.shown.push(number);
            self.next = number + 1;
        }
        !(self.next..log.writers()).any(|number| holder(&number))
    }

    /// Notes what is only seen because it is not of one moment, or because locks are released late.
    pub fn note(&self, log: &SequenceLog, rules: &Rules<'_>) {
        if self.shown.iter().any(|&number| log.holder(number, rules.mutant).is_none()) {
            rules.cases.note(Case::ReleasedMeanwhile);
        }
        if self.shown.iter().any(|&number| log.is_visible_and_locked(number)) {
            rules.cases.note(Case::VisibleAndLocked);
        }
    }
}

pub fn by_sequence(rules: &Rules<'_>) -> BySequence {
    match rules.source {
        Source::Sequence(by) => by,
        Source::Own | Source::Column(_) => BySequence::default(),
    }
}

/// The fence that follows, and whether it names all that is missing.
pub fn fence(
    seen: &Fence,
    top: Position,
    (gaps, found): (Vec<(i64, i64)>, &[Position]),
    rules: &Rules<'_>,
) -> (Fence, bool) {
    let most = by_sequence(rules).most_missing.unwrap_or(usize::MAX);
    let (fence, whole) = fence_after(seen, top, gaps.into_iter(), found, most);
    if !whole {
        rules.cases.note(Case::TooManyMissing);
    }
    (fence, whole)
}

/// The statement of a look, and the fence that it shows; none where that can't name all that is missing.
fn found(holding: &Holding, missing_first: Option<&[Position]>, log: &Log, rules: &Rules<'_>) -> Option<Sighting> {
    let row = &holding.rows[0];
    let (seen, sequence) = (seen_by(&row.checkpoint), log.sequence());
    let top = sequence.top(seen.floor, by_sequence(rules).rows);
    let of_missing = missing_first.map_or_else(|| sequence.found(seen.missing()), <[Position]>::to_vec);
    let is_new = |event: &&Event| {
        let position = Position::new(event.position);
        (position > seen.floor && position <= top) || of_missing.contains(&position)
    };
    let of_class = log.committed().iter().filter(is_new).filter(|event| event.is_of(&[row.class]));
    let events: Vec<Event> = of_class.take(rules.batch).copied().collect();
    let (fence, whole) = fence(&seen, top, (sequence.gaps(seen.floor, top), &of_missing), rules);
    whole.then_some(Sighting { fence, complete: events.len() < rules.batch, events })
}

impl Worker {
    /// What a worker that has one row, and no window open, can do.
    pub fn glances(&self, holding: &Holding, log: &Log, rules: &Rules<'_>, each: &mut dyn FnMut(Step)) {
        let by = by_sequence(rules);
        let seen = seen_by(&holding.rows[0].checkpoint);
        let is_new = |fence: &Fence| *fence != seen || self.holes_after(fence) != self.holes;
        // A mutant may begin a look of two statements while there is nothing to see yet.
        let look = found(holding, None, log, rules);
        if by.looks && (rules.has(Mutant::LookInTwo) || look.as_ref().is_some_and(|found| is_new(&found.fence))) {
            each(Step::Look);
        }
        let (mut after, holders) = (self.holes.clone(), log.sequence().holders(rules.mutant));
        after.saw_holders(&holders, *NOW);
        let wants_holders = self.holes.wants_holders(*NOW + Duration::from_secs(1)) && after != self.holes;
        let always = rules.has(Mutant::HoldersOfBefore) && self.last_holders.as_ref() != Some(&holders);
        let can_look = look.is_some() || !rules.has(Mutant::OnlyLooksPrune);
        if by.looks && can_look && (always || wants_holders) {
            each(Step::Holders);
        }
        let top = log.sequence().top(seen.floor, None);
        let read = (log.sequence().gaps(seen.floor, top), &log.sequence().found(seen.missing())[..]);
        let lists = by.lists && is_new(&fence(&seen, top, read, rules).0);
        if lists || (by.settles && top != seen.floor) {
            each(Step::Fence);
        }
    }

    /// Whether it looks at the event's position again, which it had found to be nobody's.
    pub fn watches(&self, event: &Event) -> bool {
        let again = self.holes.clone().to_see_again(*NOW + Duration::from_secs(1));
        again.contains(&Position::new(event.position))
    }

    fn holes_after(&self, fence: &Fence) -> Holes {
        let mut holes = self.holes.clone();
        holes.looked(fence.missing(), *NOW);
        holes
    }

    /// Looks what is new, in one statement.
    pub fn look(&mut self, log: &Log, rules: &Rules<'_>) {
        if let Log::Column(_) = log {
            return self.take_all(log, rules);
        }
        let (holding, missing_first) = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Holding(holding) if rules.has(Mutant::LookInTwo) => {
                let found = log.sequence().found(seen_by(&holding.rows[0].checkpoint).missing());
                self.phase = Phase::Fencing(holding, Part::Of(Glance::MissingFirst(found, None)));
                return;
            }
            Phase::Holding(holding) => (holding, None),
            Phase::Fencing(holding, Part::Of(Glance::MissingFirst(found, _))) => (holding, Some(found)),
            phase => panic!("a look while {phase:?}"),
        };
        let found = found(&holding, missing_first.as_deref(), log, rules).unwrap();
        if rules.has(Mutant::LocksAfterRows) {
            self.holes.looked(found.fence.missing(), *NOW);
            self.phase = Phase::Fencing(holding, Part::Of(Glance::Looked(found, Scan::default())));
            return;
        }
        self.take(holding, found, log, rules);
    }

    /// What may be missing for ever is that no more.
    pub fn abandon(&mut self, fence: &Fence, rules: &Rules<'_>) -> Fence {
        let mut missing = self.holes.looked(fence.missing(), *NOW);
        if rules.has(Mutant::DeadAtOnce) {
            self.holes.saw_holders(&BTreeSet::new(), *NOW);
            missing = self.holes.looked(&missing, *NOW);
        }
        if let Some(holders) = self.last_holders.as_ref().filter(|_| rules.has(Mutant::HoldersOfBefore)) {
            self.holes.saw_holders(holders, *NOW);
        }
        if missing.len() < fence.missing().len() {
            rules.cases.note(Case::Abandoned);
        }
        Fence::of_positions(fence.floor, missing)
    }

    fn take(&mut self, holding: Holding, found: Sighting, log: &Log, rules: &Rules<'_>) {
        let Sighting { fence, events, complete } = found;
        let seen = seen_by(&holding.rows[0].checkpoint);
        let mut checkpoint = holding.rows[0].checkpoint.clone();
        checkpoint.open(self.abandon(&fence, rules));
        if let Some(last) = events.last() {
            checkpoint.advance_to(Position::new(last.position));
        }
        if complete {
            checkpoint.close();
        }
        self.found((holding, seen), checkpoint, events, log, rules);
    }

    /// Has read what is to be applied, up to a checkpoint; or nothing.
    pub fn found(
        &mut self,
        (mut holding, seen): (Holding, Fence),
        checkpoint: Checkpoint,
        events: Vec<Event>,
        log: &Log,
        rules: &Rules<'_>,
    ) {
        if events.is_empty() {
            holding.rows[0].checkpoint = checkpoint;
            self.go_on(holding, log, rules);
        } else {
            self.phase = Phase::Batch(Batch { holding, rows: vec![0], checkpoint, events, seen });
        }
    }

    /// Looks at the next transaction that has the sequence's lock: for the holes, or for a fence.
    pub fn see_holders(&mut self, log: &Log, rules: &Rules<'_>) {
        let (holding, glance) = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Holding(holding) => (holding, Glance::Holders(Scan::default())),
            Phase::Fencing(holding, Part::Of(glance)) => (holding, glance),
            phase => panic!("a look at holders while {phase:?}"),
        };
        let sequence = log.sequence();
        match glance {
            Glance::Holders(mut scan) => {
                if scan.go_on(sequence, rules.mutant) {
                    self.scanned(holding, &scan, log, rules);
                } else {
                    self.phase = Phase::Fencing(holding, Part::Of(Glance::Holders(scan)));
                }
            }
            Glance::Looked(found, mut scan) => {
                if !scan.go_on(sequence, rules.mutant) {
                    self.phase = Phase::Fencing(holding, Part::Of(Glance::Looked(found, scan)));
                    return;
                }
                self.holes.saw_holders(&scan.holders, *NOW);
                self.take(holding, found, log, rules);
            }
            Glance::Top(top) => self.settle(holding, (top, None, Scan::default()), log, rules),
            Glance::Settling(top, left, scan) => self.settle(holding, (top, left, scan), log, rules),
            glance => panic!("a look at holders after {glance:?}"),
        }
    }

    fn scanned(&mut self, mut holding: Holding, scan: &Scan, log: &Log, rules: &Rules<'_>) {
        scan.note(log.sequence(), rules);
        if rules.has(Mutant::TimeOut) {
            self.holes.saw_holders(&BTreeSet::new(), *NOW);
        }
        self.holes.saw_holders(&scan.holders, *NOW);
        if rules.has(Mutant::HoldersOfBefore) {
            self.last_holders = Some(scan.holders.clone());
        }
        if rules.has(Mutant::DeadWithoutLook) {
            let checkpoint = &mut holding.rows[0].checkpoint;
            let seen = seen_by(checkpoint);
            let missing = self.holes.looked(seen.missing(), *NOW);
            checkpoint.open(Fence::of_positions(seen.floor, missing));
            checkpoint.close();
        }
        self.phase = Phase::Holding(holding);
    }
}
