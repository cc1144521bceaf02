//! The log as PostgreSQL keeps it: evenfold's own, or one that others write, by a sequence or with a column for the
//! transaction.

pub mod keys;
mod sequence;
mod transactions;

use super::cases::Cases;
use super::mutant::Mutant;
use evenfold::checkpoint::Checkpoint;
use evenfold::class::Class;
use evenfold::hash::IdHash;
use evenfold::log::{Fence, Window};
use evenfold::number::Position;
pub use sequence::SequenceLog;
use std::sync::LazyLock;
use transactions::Habits;
pub use transactions::Transactions;

/// The aggregates, by number. Their hashes leave the remainders 0, 1 and 2 by 12, so that every total up to 4 sees them
/// in different partitions as soon as it can.
static AGGREGATES: LazyLock<[IdHash; 3]> = LazyLock::new(|| {
    [0, 1, 2].map(|residue| {
        let mut hashes = (0..).map(|n: u32| IdHash::of(&format!("aggregate-{n}")));
        hashes.find(|hash| hash.value() % 12 == residue).unwrap()
    })
});

/// Which aggregates a writer appends to, in one transaction. None: a bystander.
pub type Script = &'static [usize];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    pub position: i64,
    /// 0 in a log that others write by a sequence.
    pub xid: u64,
    pub aggregate: usize,
    pub version: u8,
}

impl Event {
    pub fn is_of(&self, classes: &[Class]) -> bool {
        classes.iter().any(|class| class.contains(AGGREGATES[self.aggregate]))
    }
}

/// Which log is folded.
#[derive(Debug, Clone, Copy, Default)]
pub enum Source {
    #[default]
    Own,
    Sequence(BySequence),
    Column(ByColumn),
}

/// What the writers of a log do that has a column for the transaction, and how the log is read.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Debug, Clone, Copy, Default)]
pub struct ByColumn {
    /// Whether positions are drawn by earlier transactions.
    pub draws_earlier: bool,
    /// Whether writers insert in savepoints, and roll one back.
    pub savepoints: bool,
    /// Whether workers take all that is new in one statement.
    pub looks: bool,
    /// Whether workers take fences, and read up to them.
    pub fences: bool,
}

/// What the writers of a log do whose positions a sequence gives, and how the log is read.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Debug, Clone, Copy, Default)]
pub struct BySequence {
    /// Whether writers roll a savepoint back, and insert again with the same number.
    pub savepoints: bool,
    /// Whether they prepare their transactions.
    pub prepares: bool,
    /// Whether a prepared transaction is renamed, as by a restart of the server.
    pub renames: bool,
    /// Whether workers look for what is new in one statement.
    pub looks: bool,
    /// Up to how many rows above the floor a look goes; as far as there are any, if none.
    pub rows: Option<usize>,
    /// The most positions that a fence names as missing; any number, if none.
    pub most_missing: Option<usize>,
    /// Whether workers take fences that list what is missing.
    pub lists: bool,
    /// Whether workers take fences that wait until nothing is missing.
    pub settles: bool,
}

/// A step of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Takes a position for its next event, and inserts it later. In a log whose events have the number of their
    /// transaction: positions for all of its events, before it owns an xid. In evenfold's own, only of a mutant.
    Draw,
    /// Takes an xid, long before it takes a position, perhaps; or the sequence's lock.
    Begin,
    /// Inserts an event, at the position that it has drawn, or takes one; for the version after the last one that it
    /// could see before it had the position.
    Append,
    /// The same at the last of the positions that it has drawn.
    AppendAtLast,
    /// The same in a savepoint, which has an xid of its own.
    AppendInSavepoint,
    /// The same, and the event has the savepoint's xid: only of a mutant.
    AppendAsSavepoint,
    /// Finds another writer's event in the place of its own, and appends again.
    Retry,
    /// Rolls the last insert back, to a savepoint.
    RollBack,
    Prepare,
    /// Is called otherwise after a restart of the server.
    Rename,
    /// Is visible from here on.
    Commit,
    /// Releases its locks, some time after it is visible.
    Release,
    Abort,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Log {
    Own(Transactions),
    Sequence(SequenceLog),
    /// One that others write, with a column for the transaction.
    Column(Transactions),
}

impl Log {
    pub fn new(source: Source, scripts: &[Script]) -> Self {
        match source {
            Source::Own => Self::Own(Transactions::new(scripts)),
            Source::Sequence(_) => Self::Sequence(SequenceLog::new(scripts)),
            Source::Column(_) => Self::Column(Transactions::new(scripts)),
        }
    }

    /// The fence before everything, as its checkpoints have it.
    pub fn before_all(&self) -> Fence {
        match self {
            Self::Own(_) => Fence::before_all(),
            Self::Sequence(_) | Self::Column(_) => Fence::of_positions(Position::START, Vec::new()),
        }
    }

    pub fn own(&self) -> &Transactions {
        let Self::Own(log) = self else { panic!("a log that others write") };
        log
    }

    pub fn sequence(&self) -> &SequenceLog {
        let Self::Sequence(log) = self else { panic!("a log whose events have the number of their transaction") };
        log
    }

    pub fn column(&self) -> &Transactions {
        let Self::Column(log) = self else { panic!("a log without a column for the transaction") };
        log
    }

    /// Every event that is in the log to stay, in the order of the positions.
    pub fn committed(&self) -> &[Event] {
        match self {
            Self::Own(log) | Self::Column(log) => log.committed(),
            Self::Sequence(log) => log.committed(),
        }
    }

    /// How many there are.
    pub fn writers(&self) -> usize {
        match self {
            Self::Own(log) | Self::Column(log) => log.writers(),
            Self::Sequence(log) => log.writers(),
        }
    }

    pub fn all_have_ended(&self) -> bool {
        match self {
            Self::Own(log) | Self::Column(log) => log.all_have_ended(),
            Self::Sequence(log) => log.all_have_ended(),
        }
    }

    /// What the writer can do next.
    pub fn possible(
        &self,
        number: usize,
        (source, may_abort): (Source, bool),
        mutant: Option<Mutant>,
        each: &mut dyn FnMut(Write),
    ) {
        let draws_first = mutant == Some(Mutant::DrawnEarlier);
        match (self, source) {
            (Self::Sequence(log), Source::Sequence(by)) => log.possible(number, &by, may_abort, draws_first, each),
            (Self::Column(log), Source::Column(ByColumn { draws_earlier, savepoints, .. })) => {
                let known_by_savepoint = mutant == Some(Mutant::KnownBySavepoint);
                log.possible(number, Habits { may_abort, draws_earlier, savepoints, known_by_savepoint }, each);
            }
            (log, _) => {
                let habits = Habits { may_abort, draws_earlier: draws_first, ..Habits::default() };
                log.own().possible(number, habits, each);
            }
        }
    }

    pub fn write(&mut self, number: usize, write: Write, cases: &Cases) {
        match self {
            Self::Own(log) | Self::Column(log) => log.write(number, write, cases),
            Self::Sequence(log) => log.write(number, write, cases),
        }
    }

    /// The server has crashed: whoever was in a transaction has none any more.
    pub fn lose_sessions(&mut self, cases: &Cases) {
        match self {
            Self::Own(log) | Self::Column(log) => log.lose_sessions(cases),
            Self::Sequence(_) => panic!("the server is one whose log has the number of the transaction"),
        }
    }

    /// Whether the checkpoint says that the event was applied.
    pub fn is_applied(&self, checkpoint: &Checkpoint, event: &Event, mutant: Option<Mutant>) -> bool {
        let key = match (self, checkpoint.window()) {
            (Self::Column(log), Some(window)) if mutant != Some(Mutant::AppliedByPosition) => {
                keys::key(log, (window.seen, window.upto), event)
            }
            _ => event.position,
        };
        checkpoint.applied(event.xid, Position::new(key))
    }

    /// `log::read`: the statements `late.sql` or `missing.sql`, and `range.sql`, up to `limit` events, and whether that
    /// was all.
    pub fn read(&self, window: Window<'_>, classes: &[Class], limit: usize, late_too: bool) -> (Vec<Event>, bool) {
        let floor = window.seen.floor;
        let wanted = |event: &&Event| {
            let shows = |fence: &Fence| fence.shows(event.xid, Position::new(event.position));
            event.is_of(classes) && !shows(window.seen) && shows(window.upto)
        };
        let mut events = Vec::new();
        if late_too && !window.seen.is_final() && window.after < floor {
            let between = |event: &&Event| event.position > window.after.get() && event.position <= floor.get();
            let late = self.committed().iter().filter(between).filter(wanted);
            events.extend(late.filter(|event| may_be_late(window.seen, event)).take(limit));
            if events.len() == limit {
                return (events, false);
            }
        }
        let after = window.after.max(floor);
        let rest = self.committed().iter().filter(|event| event.position > after.get()).filter(wanted);
        events.extend(rest.take(limit - events.len()));
        let complete = events.len() < limit;
        (events, complete)
    }
}

fn may_be_late(seen: &Fence, event: &Event) -> bool {
    seen.may_be_late(event.xid) || seen.missing().contains(&Position::new(event.position))
}
