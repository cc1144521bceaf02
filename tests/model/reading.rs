//! The part of a worker's step that only reads: fences, and windows.

use super::cases::{Case, Cases};
use super::log::keys::{self, Chunk};
use super::log::{Event, Log};
use super::mutant::{Mutant, decide};
use super::step::Step;
use super::worker::{Batch, Holding, Part, Phase, Rules, Worker};
use evenfold::checkpoint::{Checkpoint, Next};
use evenfold::class::Class;
use evenfold::log::{Fence, Shown, Snapshot, Window};
use evenfold::number::Position;

/// The fence up to which everything has been applied; that at the beginning of the window, if one is open.
pub fn seen_by(checkpoint: &Checkpoint) -> Fence {
    let mut opened = checkpoint.clone();
    opened.open(Fence::before_all());
    opened.window().map(|window| window.seen.clone()).unwrap()
}

/// What a fence of evenfold's own log names.
pub fn parts(fence: &Fence) -> (Snapshot, u64) {
    match &fence.shown {
        Shown::Transactions { snapshot, next_xid } => (snapshot.clone(), *next_xid),
        Shown::Positions { .. } | Shown::Snapshot(_) => panic!("{fence} is of another log"),
    }
}

/// The same on a server that has no list of transactions in progress.
fn in_recovery(mut fence: Fence) -> Fence {
    if let Shown::Transactions { snapshot, .. } | Shown::Snapshot(snapshot) = &mut fence.shown {
        *snapshot = format!("{0}:{0}:", snapshot.xmax()).parse().unwrap();
    }
    fence
}

pub fn closed_at(fence: Fence) -> Checkpoint {
    let mut checkpoint = Checkpoint::start();
    checkpoint.open(fence);
    checkpoint.close();
    checkpoint
}

pub fn note_events(events: &[Event], seen: &Fence, checkpoint: &Checkpoint, cases: &Cases) {
    for late in events.iter().filter(|event| event.position <= seen.floor.get()) {
        let is_listed = match &seen.shown {
            Shown::Transactions { snapshot, .. } | Shown::Snapshot(snapshot) => late.xid < snapshot.xmax(),
            Shown::Positions { .. } => true,
        };
        cases.note(if is_listed { Case::Late } else { Case::Unlisted });
    }
    if checkpoint.has_open_window() {
        cases.note(Case::OpenWindow);
    }
}

fn is_unchanged(checkpoint: &Checkpoint, fence: &Fence, rules: &Rules<'_>) -> bool {
    let same_floor = checkpoint.floor() == fence.floor;
    checkpoint.is_unchanged_at(fence) || (same_floor && rules.has(Mutant::UnchangedWhenNotFinal))
}

/// The positions of the next span, where workers apply spans and there is one.
fn span(checkpoint: &Checkpoint, rules: &Rules<'_>) -> Option<(Position, Position)> {
    let bounded = match checkpoint.bounded() {
        None if rules.has(Mutant::SpanBeforeLateRows) => {
            let mut opened = checkpoint.clone();
            opened.advance_to(checkpoint.floor());
            opened.bounded()
        }
        bounded => bounded,
    };
    let (after, floor) = bounded.filter(|_| rules.spans)?;
    let most = i64::try_from(rules.batch).unwrap();
    Some((after, floor.min(Position::new(after.get() + most))))
}

impl Worker {
    /// Does what the rows need next, up to where somebody else could notice or get in between.
    pub fn go_on(&mut self, mut holding: Holding, log: &Log, rules: &Rules<'_>) {
        loop {
            let (rows, checkpoint) = match decide(self.class, &holding.rows, &mut self.remembered, rules) {
                Next::Fence => {
                    self.phase = Phase::Holding(holding);
                    return;
                }
                Next::Merge(checkpoint) => {
                    self.phase = Phase::Merging(holding, checkpoint);
                    return;
                }
                Next::Finish(rows) => {
                    let checkpoint = holding.rows[rows[0]].checkpoint.clone();
                    (rows, checkpoint)
                }
                Next::CatchUp(rows, upto) => {
                    rules.cases.note(Case::CatchUp);
                    let mut checkpoint = holding.rows[rows[0]].checkpoint.clone();
                    checkpoint.open(upto);
                    (rows, checkpoint)
                }
            };
            match self.read(holding, rows, checkpoint, log, rules) {
                Some(rest) => holding = rest,
                None => return,
            }
        }
    }

    /// Reads the next events of the open window. Gives the rows back where there are none.
    fn read(
        &mut self,
        mut holding: Holding,
        rows: Vec<usize>,
        mut checkpoint: Checkpoint,
        log: &Log,
        rules: &Rules<'_>,
    ) -> Option<Holding> {
        let classes: Vec<Class> = rows.iter().map(|&index| holding.rows[index].class).collect();
        assert!(classes.iter().all(|class| class.modulus() == classes[0].modulus()), "one filter for all: {classes:?}");
        let seen = seen_by(&checkpoint);
        if let Some((after, to)) = span(&checkpoint, rules) {
            rules.cases.note(Case::Span);
            let window = checkpoint.window().unwrap();
            let (mut events, _) = log.read(window, &classes, usize::MAX, false);
            events.retain(|event| event.position > after.get() && event.position <= to.get());
            checkpoint.advance_to(to);
            if rules.has(Mutant::SpanClosesWindow) && span(&checkpoint, rules).is_none() {
                checkpoint.close();
            }
            // Written also without an event: how far it goes was not known before.
            self.phase = Phase::Batch(Batch { holding, rows, checkpoint, events, seen });
            return None;
        }
        let window = checkpoint.window().unwrap();
        let Chunk { events, upto, complete } = self.chunk(log, window, &classes, rules);
        if let Some(upto) = upto {
            checkpoint.advance_to(upto);
        }
        if complete {
            checkpoint.close();
        }
        if events.is_empty() {
            for &index in &rows {
                holding.rows[index].checkpoint = checkpoint.clone();
            }
            return Some(holding);
        }
        self.phase = Phase::Batch(Batch { holding, rows, checkpoint, events, seen });
        None
    }

    fn chunk(&self, log: &Log, window: Window<'_>, classes: &[Class], rules: &Rules<'_>) -> Chunk {
        if let Log::Column(log) = log {
            let begin = self.remembered.as_ref().filter(|_| rules.has(Mutant::KeysOfAnotherWindow));
            let begin = begin.unwrap_or(window.seen);
            return keys::chunk(log, (window, begin), (classes, rules.batch), rules.mutant, rules.cases);
        }
        let (events, complete) = log.read(window, classes, rules.batch, !rules.has(Mutant::NoLateRows));
        let upto = events.last().map(|last| Position::new(last.position));
        Chunk { events, upto, complete }
    }

    /// What it can read to find something new.
    pub fn reads(&self, log: &Log, rules: &Rules<'_>, each: &mut dyn FnMut(Step)) {
        match (&self.phase, log) {
            (Phase::Holding(holding), Log::Sequence(_)) => self.glances(holding, log, rules, each),
            (_, Log::Column(log)) => self.polls(log, rules, each),
            (Phase::Fencing(_, Part::Of(glance)), _) => glance.leads_to(log, rules, each),
            _ if self.may_fence(log, rules) => each(Step::Fence),
            _ => {}
        }
    }

    /// Whether a fence could show the worker anything new, now or once a writer has gone on.
    fn may_fence(&self, log: &Log, rules: &Rules<'_>) -> bool {
        match &self.phase {
            Phase::Holding(holding) => !log.all_have_ended() || holding.would_move(log.own().fence(), rules),
            // A fence that changes nothing leaves the worker as if it had not begun to take it: this need not be a
            // step.
            Phase::Fencing(holding, Part::Floor(floor)) => {
                let log = log.own();
                holding.would_move(log.fence(), rules) || holding.would_move(log.fence_with(*floor), rules)
            }
            Phase::Fencing(..) => true,
            _ => false,
        }
    }

    /// Takes a fence, one statement at a time.
    pub fn fence(&mut self, log: &Log, rules: &Rules<'_>) {
        let own = match log {
            Log::Own(own) => own,
            Log::Sequence(_) => return self.list(log, rules),
            Log::Column(_) => return self.fence_by_column(log, rules),
        };
        let (holding, part) = match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Holding(holding) => (holding, None),
            Phase::Fencing(holding, part) => (holding, Some(part)),
            phase => panic!("a fence while {phase:?}"),
        };
        let fence = match part {
            None if rules.has(Mutant::SnapshotBeforeFloor) => {
                self.phase = Phase::Fencing(holding, Part::Snapshot(own.snapshot(), own.next_xid()));
                return;
            }
            None => {
                let ahead = i64::from(rules.has(Mutant::FloorAhead));
                self.phase = Phase::Fencing(holding, Part::Floor(own.floor() + ahead));
                return;
            }
            Some(Part::Floor(floor)) if rules.apart => {
                self.phase = Phase::Fencing(holding, Part::FloorAndSnapshot(floor, own.snapshot()));
                return;
            }
            Some(Part::Floor(floor)) => own.fence_with(floor),
            Some(Part::FloorAndSnapshot(floor, snapshot)) => {
                Fence::of_transactions(Position::new(floor), snapshot, own.next_xid())
            }
            Some(Part::Snapshot(snapshot, next_xid)) => {
                Fence::of_transactions(Position::new(own.floor()), snapshot, next_xid)
            }
            Some(Part::Of(glance)) => panic!("{glance:?} of evenfold's own log"),
        };
        self.open(holding, fence, log, rules);
    }

    pub fn open(&mut self, mut holding: Holding, mut fence: Fence, log: &Log, rules: &Rules<'_>) {
        if rules.has(Mutant::FenceInRecovery) {
            fence = in_recovery(fence);
        }
        if rules.has(Mutant::NoNextXid) {
            let snapshot = parts(&fence).0;
            fence = Fence::of_transactions(fence.floor, snapshot.clone(), snapshot.xmax());
        }
        if rules.has(Mutant::FenceBeforeRow) {
            fence = self.remembered.take().unwrap_or(fence);
        }
        let mut checkpoint = holding.rows[0].checkpoint.clone();
        let rest = if is_unchanged(&checkpoint, &fence, rules) {
            rules.cases.note(Case::Unchanged);
            if rules.has(Mutant::UnchangedMovesOn) {
                holding.rows[0].checkpoint = closed_at(fence);
            }
            Some(holding)
        } else if rules.gathers {
            self.phase = Phase::Gathering(holding, fence);
            return;
        } else {
            checkpoint.open(fence);
            self.read(holding, vec![0], checkpoint, log, rules)
        };
        if let Some(rest) = rest {
            self.go_on(rest, log, rules);
        }
    }

    /// Opens the window up to a fence that others have a part in, or its own.
    pub fn open_gathered(&mut self, together: Option<&Fence>, log: &Log, rules: &Rules<'_>) {
        let Phase::Gathering(holding, own) = std::mem::replace(&mut self.phase, Phase::Off) else {
            panic!("nobody to open a window with");
        };
        let mut checkpoint = holding.rows[0].checkpoint.clone();
        checkpoint.open(together.cloned().unwrap_or(own));
        if let Some(rest) = self.read(holding, vec![0], checkpoint, log, rules) {
            self.go_on(rest, log, rules);
        }
    }
}

impl Holding {
    /// Whether the fence would show it anything new.
    pub fn would_move(&self, fence: Fence, rules: &Rules<'_>) -> bool {
        let row = &self.rows[0].checkpoint;
        !is_unchanged(row, &fence, rules) && *row != closed_at(fence)
    }
}
