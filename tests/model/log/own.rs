//! evenfold's own log as PostgreSQL keeps it: transactions, positions, snapshots.

use super::{Event, Script, Write};
use crate::cases::{Case, Cases};
use evenfold::log::{Fence, Snapshot};
use evenfold::number::Position;

/// PostgreSQL gives this one out first.
const FIRST_XID: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Waiting,
    /// Only of a mutant: it has a position, and no xid.
    Drawn,
    Open {
        xid: u64,
    },
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Writer {
    script: Script,
    stage: Stage,
    drawn: Option<i64>,
    appended: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnLog {
    next_xid: u64,
    /// The highest xid that has ended.
    last_ended: u64,
    last_position: i64,
    writers: Vec<Writer>,
    committed: Vec<Event>,
}

impl OwnLog {
    pub fn new(scripts: &[Script]) -> Self {
        let writer = |&script: &Script| Writer { script, stage: Stage::Waiting, drawn: None, appended: Vec::new() };
        Self {
            next_xid: FIRST_XID,
            last_ended: FIRST_XID - 1,
            last_position: 0,
            writers: scripts.iter().map(writer).collect(),
            committed: Vec::new(),
        }
    }

    /// Every event that is in the log to stay, in the order of the positions.
    pub fn committed(&self) -> &[Event] {
        &self.committed
    }

    /// How many there are.
    pub fn writers(&self) -> usize {
        self.writers.len()
    }

    pub fn all_have_ended(&self) -> bool {
        self.writers.iter().all(|writer| writer.stage == Stage::Ended)
    }

    /// What the writer can do next.
    pub fn possible(&self, number: usize, may_abort: bool, draws_first: bool, each: &mut dyn FnMut(Write)) {
        let writer = &self.writers[number];
        match writer.stage {
            Stage::Waiting => {
                // Of writers who do the same it makes no difference who is first.
                let twin = self.writers[..number].iter().rfind(|other| other.script == writer.script);
                if twin.is_none_or(|twin| twin.stage != Stage::Waiting) {
                    each(if draws_first && !writer.script.is_empty() { Write::Draw } else { Write::Begin });
                }
            }
            Stage::Drawn => each(Write::Begin),
            Stage::Open { .. } => {
                if self.has_lost_a_race(writer) {
                    each(Write::Retry);
                } else if writer.appended.len() < writer.script.len() {
                    each(Write::Append);
                } else {
                    each(Write::Commit);
                }
                if may_abort {
                    each(Write::Abort);
                }
            }
            Stage::Ended => {}
        }
    }

    /// F2, the unique version: of two who appended the same version the one who commits first has it. (In PostgreSQL
    /// the one who *inserted* first, whom the other waits for; that order and the order of the positions have nothing
    /// to do with each other, so neither of the two can be known from here.)
    fn has_lost_a_race(&self, writer: &Writer) -> bool {
        let taken = |event: &Event| self.head(event.aggregate) >= event.version;
        writer.appended.iter().any(taken)
    }

    fn head(&self, aggregate: usize) -> u8 {
        self.committed.iter().filter(|event| event.aggregate == aggregate).map(|event| event.version).max().unwrap_or(0)
    }

    pub fn write(&mut self, number: usize, write: Write, cases: &Cases) {
        let writer = &self.writers[number];
        match (write, writer.stage) {
            (Write::Draw, Stage::Waiting) => {
                self.last_position += 1;
                (self.writers[number].stage, self.writers[number].drawn) = (Stage::Drawn, Some(self.last_position));
            }
            (Write::Begin, Stage::Waiting | Stage::Drawn) => {
                self.writers[number].stage = Stage::Open { xid: self.next_xid };
                self.next_xid += 1;
            }
            (Write::Append, Stage::Open { xid }) => {
                let aggregate = writer.script[writer.appended.len()];
                let own = writer.appended.iter().filter(|event| event.aggregate == aggregate).count();
                let version = self.head(aggregate) + u8::try_from(own).unwrap() + 1;
                let position = self.writers[number].drawn.take().unwrap_or_else(|| {
                    self.last_position += 1;
                    self.last_position
                });
                self.writers[number].appended.push(Event { position, xid, aggregate, version });
            }
            (Write::Retry, Stage::Open { .. }) => {
                cases.note(Case::Retry);
                self.writers[number].appended.clear();
            }
            (Write::Commit | Write::Abort, Stage::Open { xid }) => {
                let events = std::mem::take(&mut self.writers[number].appended);
                self.writers[number].stage = Stage::Ended;
                self.last_ended = self.last_ended.max(xid);
                if write == Write::Commit {
                    self.committed.extend(&events);
                    self.committed.sort_unstable();
                } else if !events.is_empty() {
                    cases.note(Case::Abort);
                }
            }
            (write, stage) => panic!("{write:?} of a writer that is {stage:?}"),
        }
    }

    /// The sequence's last value, as `pg_sequence_last_value` gives it.
    pub fn floor(&self) -> i64 {
        self.last_position
    }

    /// What `age` counts to.
    pub fn next_xid(&self) -> u64 {
        self.next_xid
    }

    /// `pg_current_snapshot()`: xmax is one above the last that has *ended*, whoever runs above it is in no list.
    pub fn snapshot(&self) -> Snapshot {
        let xmax = self.last_ended + 1;
        let running = self.writers.iter().filter_map(|writer| match writer.stage {
            Stage::Open { xid } if xid < xmax => Some(xid),
            _ => None,
        });
        let mut listed: Vec<u64> = running.collect();
        listed.sort_unstable();
        let xmin = listed.first().copied().unwrap_or(xmax);
        let list = listed.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        format!("{xmin}:{xmax}:{list}").parse().unwrap()
    }

    /// A fence that is taken while nothing else happens.
    pub fn fence(&self) -> Fence {
        self.fence_with(self.floor())
    }

    /// The same with a floor that was read before.
    pub fn fence_with(&self, floor: i64) -> Fence {
        Fence::of_transactions(Position::new(floor), self.snapshot(), self.next_xid())
    }
}
