//! A log as PostgreSQL keeps it whose events have the number of their transaction: evenfold's own, or one that others
//! write and that has a column for it.

use super::{Event, Script, Write};
use crate::cases::{Case, Cases};
use evenfold::log::{Fence, Snapshot};
use evenfold::number::Position;

/// PostgreSQL gives this one out first.
const FIRST_XID: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Waiting,
    /// It has positions, and no xid.
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
    /// What it has drawn for events that are not inserted, in ascending order.
    drawn: Vec<i64>,
    appended: Vec<Event>,
    /// The xids of its savepoints, as far as they are not rolled back.
    savepoints: Vec<u64>,
    /// Whether it has rolled a savepoint back, which it does once.
    rolled_back: bool,
}

/// What writers do, and do not always.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    pub may_abort: bool,
    /// Whether positions are drawn before the transaction begins.
    pub draws_earlier: bool,
    pub savepoints: bool,
    /// Only of a mutant: what is known of an event is the savepoint's xid.
    pub known_by_savepoint: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transactions {
    next_xid: u64,
    /// The highest xid that has ended.
    last_ended: u64,
    last_position: i64,
    writers: Vec<Writer>,
    committed: Vec<Event>,
}

impl Transactions {
    pub fn new(scripts: &[Script]) -> Self {
        let writer = |&script: &Script| Writer {
            script,
            stage: Stage::Waiting,
            drawn: Vec::new(),
            appended: Vec::new(),
            savepoints: Vec::new(),
            rolled_back: false,
        };
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
    pub fn possible(&self, number: usize, habits: Habits, each: &mut dyn FnMut(Write)) {
        let writer = &self.writers[number];
        match writer.stage {
            Stage::Waiting => {
                // Of writers who do the same it makes no difference who is first.
                let twin = self.writers[..number].iter().rfind(|other| other.script == writer.script);
                if twin.is_none_or(|twin| twin.stage != Stage::Waiting) {
                    each(Write::Begin);
                    if habits.draws_earlier && !writer.script.is_empty() {
                        each(Write::Draw);
                    }
                }
            }
            Stage::Drawn => each(Write::Begin),
            Stage::Open { .. } => {
                if self.has_lost_a_race(writer) {
                    each(Write::Retry);
                } else if writer.appended.len() < writer.script.len() {
                    appends(writer, habits, each);
                } else {
                    each(Write::Commit);
                }
                if !writer.savepoints.is_empty() && !writer.rolled_back {
                    each(Write::RollBack);
                }
                if habits.may_abort {
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
        match (write, self.writers[number].stage) {
            (Write::Draw, Stage::Waiting) => self.draw(number),
            (Write::Begin, Stage::Waiting | Stage::Drawn) => {
                if self.writers[number].drawn.iter().any(|&drawn| drawn < self.top()) {
                    cases.note(Case::DrawnEarlier);
                }
                self.writers[number].stage = Stage::Open { xid: self.new_xid() };
            }
            (Write::Append | Write::AppendAtLast, Stage::Open { xid }) => {
                self.append(number, xid, write == Write::AppendAtLast);
            }
            (Write::AppendInSavepoint | Write::AppendAsSavepoint, Stage::Open { xid }) => {
                let savepoint = self.new_xid();
                self.writers[number].savepoints.push(savepoint);
                self.append(number, if write == Write::AppendAsSavepoint { savepoint } else { xid }, false);
            }
            (Write::RollBack, Stage::Open { .. }) => {
                cases.note(Case::RolledBack);
                self.roll_back(number);
            }
            (Write::Retry, Stage::Open { .. }) => {
                cases.note(Case::Retry);
                let ended = std::mem::take(&mut self.writers[number].savepoints);
                self.last_ended = ended.into_iter().fold(self.last_ended, u64::max);
                self.writers[number].appended.clear();
            }
            (Write::Commit | Write::Abort, Stage::Open { xid }) => self.end(number, xid, write == Write::Commit, cases),
            (write, stage) => panic!("{write:?} of a writer that is {stage:?}"),
        }
    }

    fn new_xid(&mut self) -> u64 {
        self.next_xid += 1;
        self.next_xid - 1
    }

    /// Takes positions for all of its events.
    fn draw(&mut self, number: usize) {
        let writer = &mut self.writers[number];
        let count = i64::try_from(writer.script.len()).unwrap();
        writer.drawn = (self.last_position + 1..=self.last_position + count).collect();
        writer.stage = Stage::Drawn;
        self.last_position += count;
    }

    /// Inserts the next event: at the first or the last of the positions that it has drawn, or at a new one.
    fn append(&mut self, number: usize, xid: u64, at_last: bool) {
        let writer = &self.writers[number];
        let aggregate = writer.script[writer.appended.len()];
        let own = writer.appended.iter().filter(|event| event.aggregate == aggregate).count();
        let version = self.head(aggregate) + u8::try_from(own).unwrap() + 1;
        let drawn = &mut self.writers[number].drawn;
        let position = if drawn.is_empty() {
            self.last_position += 1;
            self.last_position
        } else {
            drawn.remove(if at_last { drawn.len() - 1 } else { 0 })
        };
        self.writers[number].appended.push(Event { position, xid, aggregate, version });
    }

    /// Rolls back the savepoint of the last event. Its xid has ended, and its position may be used again.
    fn roll_back(&mut self, number: usize) {
        let writer = &mut self.writers[number];
        writer.rolled_back = true;
        self.last_ended = writer.savepoints.pop().unwrap().max(self.last_ended);
        let position = writer.appended.pop().unwrap().position;
        writer.drawn.push(position);
        writer.drawn.sort_unstable();
    }

    fn end(&mut self, number: usize, xid: u64, commits: bool, cases: &Cases) {
        let writer = &mut self.writers[number];
        let savepoints = std::mem::take(&mut writer.savepoints);
        self.last_ended = savepoints.into_iter().fold(self.last_ended.max(xid), u64::max);
        let events = std::mem::take(&mut writer.appended);
        (writer.stage, writer.drawn, writer.rolled_back) = (Stage::Ended, Vec::new(), false);
        if commits {
            self.committed.extend(&events);
            self.committed.sort_unstable();
        } else if !events.is_empty() {
            cases.note(Case::Abort);
        }
    }

    /// Everybody's transaction is aborted.
    pub fn lose_sessions(&mut self, cases: &Cases) {
        for number in 0..self.writers.len() {
            match self.writers[number].stage {
                Stage::Open { xid } => self.end(number, xid, false, cases),
                Stage::Drawn => (self.writers[number].stage, self.writers[number].drawn) = (Stage::Ended, Vec::new()),
                Stage::Waiting | Stage::Ended => {}
            }
        }
    }

    /// The highest visible position.
    pub fn top(&self) -> i64 {
        self.committed.last().map_or(0, |event| event.position)
    }

    /// A fence of a log that others write, with the snapshot of this moment.
    pub fn fence_by_column(&self, floor: i64) -> Fence {
        Fence::of_snapshot(Position::new(floor), self.snapshot())
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

/// How the next event may be inserted. Positions that were drawn earlier are used in any order.
fn appends(writer: &Writer, habits: Habits, each: &mut dyn FnMut(Write)) {
    // Only the last event's savepoint is rolled back: none comes after it without one.
    if writer.savepoints.is_empty() {
        each(Write::Append);
        if writer.drawn.len() > 1 {
            each(Write::AppendAtLast);
        }
    }
    if habits.savepoints {
        each(if habits.known_by_savepoint { Write::AppendAsSavepoint } else { Write::AppendInSavepoint });
    }
}
