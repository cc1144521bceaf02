//! How a worker finds what is new in a log with a column for the transaction: by a fence, which is one statement, or by
//! a look, which takes all that is new in the statement of its fence.

use super::cases::Case;
use super::log::keys::is_new;
use super::log::{ByColumn, Event, Log, Source, Transactions};
use super::mutant::Mutant;
use super::reading::seen_by;
use super::step::Step;
use super::worker::{Holding, Part, Phase, Rules, Worker};
use evenfold::log::Fence;
use evenfold::number::Position;

fn by_column(rules: &Rules<'_>) -> ByColumn {
    match rules.source {
        Source::Column(by) => by,
        Source::Own | Source::Sequence(_) => ByColumn::default(),
    }
}

/// The statement of a fence.
fn statement(log: &Transactions, floor: i64, rules: &Rules<'_>) -> Fence {
    if rules.has(Mutant::LateWereInProgress) { log.fence_with(floor) } else { log.fence_by_column(floor) }
}

impl Worker {
    /// What it can read to find something new.
    pub fn polls(&self, log: &Transactions, rules: &Rules<'_>, each: &mut dyn FnMut(Step)) {
        let by = by_column(rules);
        match &self.phase {
            Phase::Holding(holding) => {
                let fence = statement(log, log.top(), rules);
                if by.looks && seen_by(&holding.rows[0].checkpoint) != fence {
                    each(Step::Look);
                }
                if by.fences && holding.would_move(fence, rules) {
                    each(Step::Fence);
                }
            }
            // Of mutants, between two statements.
            Phase::Fencing(_, Part::Floor(_)) => each(Step::Fence),
            Phase::Fencing(_, Part::Snapshot(..)) => each(Step::Look),
            _ => {}
        }
    }

    /// Where its next window begins, while it waits for others to open theirs.
    pub fn begins_at(&self) -> Option<Fence> {
        match &self.phase {
            Phase::Gathering(holding, _) => Some(seen_by(&holding.rows[0].checkpoint)),
            _ => None,
        }
    }

    pub fn fence_by_column(&mut self, log: &Log, rules: &Rules<'_>) {
        let (holding, floor) = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Holding(holding) if rules.has(Mutant::FloorBeforeSnapshot) => {
                self.phase = Phase::Fencing(holding, Part::Floor(log.column().top()));
                return;
            }
            Phase::Holding(holding) => (holding, log.column().top()),
            Phase::Fencing(holding, Part::Floor(floor)) => (holding, floor),
            phase => panic!("a fence while {phase:?}"),
        };
        self.open(holding, statement(log.column(), floor, rules), log, rules);
    }

    /// Takes all that is new, or opens a window where more is new than fits.
    pub fn take_all(&mut self, log: &Log, rules: &Rules<'_>) {
        let transactions = log.column();
        let mut fence = statement(transactions, transactions.top(), rules);
        let holding = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Holding(holding) if rules.has(Mutant::SnapshotBeforeRows) => {
                self.phase = Phase::Fencing(holding, Part::Snapshot(transactions.snapshot(), 0));
                return;
            }
            Phase::Holding(holding) => holding,
            Phase::Fencing(holding, Part::Snapshot(snapshot, _)) => {
                fence = Fence::of_snapshot(fence.floor, snapshot);
                holding
            }
            phase => panic!("a look while {phase:?}"),
        };
        let row = &holding.rows[0];
        let seen = seen_by(&row.checkpoint);
        let is_new = |event: &&Event| event.is_of(&[row.class]) && is_new(&seen, event, rules.mutant);
        let events: Vec<Event> = log.committed().iter().filter(is_new).copied().collect();
        if events.len() < rules.batch || rules.has(Mutant::LookTakesWhatFits) {
            self.take_what_fits((holding, seen), fence, events, log, rules);
        } else {
            rules.cases.note(Case::TooManyForLook);
            self.open(holding, fence, log, rules);
        }
    }

    fn take_what_fits(
        &mut self,
        (holding, seen): (Holding, Fence),
        fence: Fence,
        mut events: Vec<Event>,
        log: &Log,
        rules: &Rules<'_>,
    ) {
        let mut checkpoint = holding.rows[0].checkpoint.clone();
        checkpoint.open(fence);
        if events.len() < rules.batch {
            rules.cases.note(Case::TakenWhole);
            checkpoint.close();
        } else {
            // Of a mutant.
            events.truncate(rules.batch);
            checkpoint.advance_to(Position::new(events[events.len() - 1].position));
        }
        if !rules.has(Mutant::InOrderOfPositions) {
            events.sort_by_key(|event| event.version);
        }
        self.found((holding, seen), checkpoint, events, log, rules);
    }
}
