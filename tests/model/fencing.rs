//! How a worker takes a fence of a log that others write, one statement at a time: `Foreign::fence`.

use super::cases::Case;
use super::log::Log;
use super::looking::{Glance, Scan, by_sequence, fence};
use super::mutant::Mutant;
use super::reading::seen_by;
use super::step::Step;
use super::worker::{Holding, Part, Phase, Rules, Worker};
use evenfold::log::Fence;
use evenfold::log::foreign::{Holder, keep_holders};
use evenfold::number::Position;
use std::collections::BTreeSet;

impl Glance {
    /// What a worker can do that has read this.
    pub fn leads_to(&self, log: &Log, rules: &Rules<'_>, each: &mut dyn FnMut(Step)) {
        let by = by_sequence(rules);
        match self {
            Self::Holders(_) | Self::Looked(..) => each(Step::Holders),
            Self::Top(top) => {
                if by.settles {
                    each(Step::Holders);
                }
                if by.lists && top.is_some() {
                    each(Step::Fence);
                }
            }
            Self::Settling(top, left, scan) => {
                let begins = *scan == Scan::default();
                let now = log.sequence().holders(rules.mutant);
                if !begins || left.as_ref().is_none_or(|left| !left.is_subset(&now)) {
                    each(Step::Holders);
                }
                // Others have not ended in time; or, of a mutant, they have.
                if begins && left.as_ref().is_some_and(|left| top.is_some() || left.is_empty()) {
                    each(Step::Fence);
                }
            }
            Self::MissingFirst(_, None) => each(Step::Look),
            Self::SomeGaps(..) | Self::Gaps(..) | Self::MissingFirst(..) => each(Step::Fence),
        }
    }
}

impl Worker {
    /// Waits until those who may still write something below the highest visible position have ended.
    pub fn settle(
        &mut self,
        holding: Holding,
        (top, mut left, mut scan): (Option<Position>, Option<BTreeSet<Holder>>, Scan),
        log: &Log,
        rules: &Rules<'_>,
    ) {
        if scan.go_on(log.sequence(), rules.mutant) {
            scan.note(log.sequence(), rules);
            match &mut left {
                Some(left) => keep_holders(left, &scan.holders),
                None => left = Some(scan.holders),
            }
            scan = Scan::default();
        }
        match top {
            Some(top) if rules.has(Mutant::SettledAtOnce) || left.as_ref().is_some_and(BTreeSet::is_empty) => {
                rules.cases.note(Case::Settled);
                self.fenced(holding, &Fence::of_positions(top, Vec::new()), log, rules);
            }
            _ => self.phase = Phase::Fencing(holding, Part::Of(Glance::Settling(top, left, scan))),
        }
    }

    fn fenced(&mut self, holding: Holding, fence: &Fence, log: &Log, rules: &Rules<'_>) {
        let fence = self.abandon(fence, rules);
        self.open(holding, fence, log, rules);
    }

    /// The next statement of a fence that lists what is missing.
    pub fn list(&mut self, log: &Log, rules: &Rules<'_>) {
        let (holding, glance) = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Holding(holding) => (holding, None),
            Phase::Fencing(holding, Part::Of(glance)) => (holding, Some(glance)),
            phase => panic!("a fence while {phase:?}"),
        };
        let (seen, sequence) = (seen_by(&holding.rows[0].checkpoint), log.sequence());
        let top = || sequence.top(seen.floor, None);
        let fence = match glance {
            // Of a mutant.
            Some(Glance::Settling(None, ..)) => Fence::of_positions(top(), Vec::new()),
            Some(Glance::Gaps(upto, gaps)) => {
                let upto = if rules.has(Mutant::TopAfterGaps) { top() } else { upto };
                rules.cases.note(Case::Listed);
                fence(&seen, upto, (gaps, &sequence.found(seen.missing())), rules).0
            }
            Some(Glance::MissingFirst(found, Some(top))) => {
                fence(&seen, top, (sequence.gaps(seen.floor, top), &found), rules).0
            }
            glance => {
                let next = next(glance, &seen, log, rules);
                self.phase = Phase::Fencing(holding, Part::Of(next));
                return;
            }
        };
        self.fenced(holding, &fence, log, rules);
    }
}

/// What the next statement of a fence shows.
fn next(glance: Option<Glance>, seen: &Fence, log: &Log, rules: &Rules<'_>) -> Glance {
    let sequence = log.sequence();
    let (gaps, top) = (|from, to| sequence.gaps(from, to), sequence.top(seen.floor, None));
    match glance {
        None if rules.has(Mutant::HoldersBeforeTop) => Glance::Top(None),
        None if rules.has(Mutant::TopAfterGaps) => Glance::Gaps(Position::START, gaps(seen.floor, top)),
        None => Glance::Top(Some(top)),
        Some(Glance::Settling(Some(top), ..)) => {
            rules.cases.note(Case::NotSettled);
            Glance::Gaps(top, gaps(seen.floor, top))
        }
        Some(Glance::Top(Some(top))) => match rules.mutant {
            Some(Mutant::FoundBeforeGaps) => Glance::MissingFirst(sequence.found(seen.missing()), Some(top)),
            Some(Mutant::GapsInTwo) => {
                let between = sequence.top(seen.floor, Some(1)).min(top);
                Glance::SomeGaps(top, between, gaps(seen.floor, between))
            }
            _ => Glance::Gaps(top, gaps(seen.floor, top)),
        },
        Some(Glance::SomeGaps(top, between, mut some)) => {
            some.extend(gaps(between, top));
            Glance::Gaps(top, some)
        }
        Some(glance) => panic!("a fence after {glance:?}"),
    }
}
