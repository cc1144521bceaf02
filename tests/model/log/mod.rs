//! The log as PostgreSQL keeps it: evenfold's own, or one that others write by a sequence.

mod own;
mod sequence;

use super::cases::Cases;
use super::mutant::Mutant;
use evenfold::class::Class;
use evenfold::hash::IdHash;
use evenfold::log::{Fence, Window};
use evenfold::number::Position;
pub use own::OwnLog;
pub use sequence::SequenceLog;
use std::sync::LazyLock;

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
    /// 0 in a log that others write.
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
    /// Takes a position for its next event, and inserts it later. In evenfold's own log, where the transaction owns no
    /// xid yet: only of a mutant.
    Draw,
    /// Takes an xid, long before it takes a position, perhaps; or the sequence's lock.
    Begin,
    /// Inserts an event, at the position that it has drawn, or takes one; for the version after the last one that it
    /// could see before it had the position.
    Append,
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
    Own(OwnLog),
    Sequence(SequenceLog),
}

impl Log {
    pub fn new(source: Source, scripts: &[Script]) -> Self {
        match source {
            Source::Own => Self::Own(OwnLog::new(scripts)),
            Source::Sequence(_) => Self::Sequence(SequenceLog::new(scripts)),
        }
    }

    /// The fence before everything, as its checkpoints have it.
    pub fn before_all(&self) -> Fence {
        match self {
            Self::Own(_) => Fence::before_all(),
            Self::Sequence(_) => Fence::of_positions(Position::START, Vec::new()),
        }
    }

    pub fn own(&self) -> &OwnLog {
        let Self::Own(log) = self else { panic!("a log that others write has no transactions") };
        log
    }

    pub fn sequence(&self) -> &SequenceLog {
        let Self::Sequence(log) = self else { panic!("evenfold's own log has snapshots instead") };
        log
    }

    /// Every event that is in the log to stay, in the order of the positions.
    pub fn committed(&self) -> &[Event] {
        match self {
            Self::Own(log) => log.committed(),
            Self::Sequence(log) => log.committed(),
        }
    }

    /// How many there are.
    pub fn writers(&self) -> usize {
        match self {
            Self::Own(log) => log.writers(),
            Self::Sequence(log) => log.writers(),
        }
    }

    pub fn all_have_ended(&self) -> bool {
        match self {
            Self::Own(log) => log.all_have_ended(),
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
            (log, _) => log.own().possible(number, may_abort, draws_first, each),
        }
    }

    pub fn write(&mut self, number: usize, write: Write, cases: &Cases) {
        match self {
            Self::Own(log) => log.write(number, write, cases),
            Self::Sequence(log) => log.write(number, write, cases),
        }
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
