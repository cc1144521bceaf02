//! A log that others write, as PostgreSQL keeps it: a sequence, the locks of those who draw from it, and rows.

use super::{BySequence, Event, Script, Write};
use crate::cases::{Case, Cases};
use crate::mutant::Mutant;
use evenfold::log::foreign::Holder;
use evenfold::number::Position;
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Waiting,
    /// Only of a mutant: it has a position, and no lock.
    Drawn,
    /// It has the sequence's lock.
    Open,
    Prepared,
    /// It is visible, and has its locks still.
    Visible,
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Transaction {
    script: Script,
    state: State,
    /// With the position that was drawn for it; not inserted yet, or not any more.
    drawn: Option<Event>,
    inserted: Vec<Event>,
    /// Whether it has rolled a savepoint back, which it does once.
    rolled_back: bool,
    prepared: bool,
    renamed: bool,
}

impl Transaction {
    fn has_sequence_lock(&self) -> bool {
        matches!(self.state, State::Open | State::Prepared | State::Visible)
    }

    /// The lock that an insert takes, and that is gone when its savepoint is rolled back.
    fn has_table_lock(&self) -> bool {
        self.has_sequence_lock() && !self.inserted.is_empty()
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.inserted.iter().chain(&self.drawn)
    }

    fn competes_with(&self, other: &Self) -> bool {
        let same = |a: &Event, b: &Event| (a.aggregate, a.version) == (b.aggregate, b.version);
        self.events().any(|own| other.events().any(|event| same(own, event)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SequenceLog {
    last_position: i64,
    transactions: Vec<Transaction>,
    committed: Vec<Event>,
}

impl SequenceLog {
    pub(super) fn new(scripts: &[Script]) -> Self {
        let transaction = |&script: &Script| Transaction {
            script,
            state: State::Waiting,
            drawn: None,
            inserted: Vec::new(),
            rolled_back: false,
            prepared: false,
            renamed: false,
        };
        let transactions = scripts.iter().map(transaction).collect();
        Self { last_position: 0, transactions, committed: Vec::new() }
    }

    pub(super) fn committed(&self) -> &[Event] {
        &self.committed
    }

    pub fn writers(&self) -> usize {
        self.transactions.len()
    }

    pub(super) fn all_have_ended(&self) -> bool {
        self.transactions.iter().all(|transaction| transaction.state == State::Ended)
    }

    pub(super) fn possible(
        &self,
        number: usize,
        by: &BySequence,
        may_abort: bool,
        draws_first: bool,
        each: &mut dyn FnMut(Write),
    ) {
        let own = &self.transactions[number];
        match own.state {
            State::Waiting => {
                // Of writers who do the same it makes no difference who is first.
                let twin = self.transactions[..number].iter().rfind(|other| other.script == own.script);
                if twin.is_none_or(|twin| twin.state != State::Waiting) {
                    each(if draws_first && !own.script.is_empty() { Write::Draw } else { Write::Begin });
                }
            }
            State::Drawn => each(Write::Begin),
            State::Open => {
                if own.events().any(|event| self.head(event.aggregate) >= event.version) {
                    each(Write::Retry);
                } else if own.drawn.is_some() {
                    each(Write::Append);
                } else if own.inserted.len() < own.script.len() {
                    each(Write::Draw);
                } else if !self.waits(number) {
                    each(Write::Commit);
                    if by.prepares && !own.script.is_empty() {
                        each(Write::Prepare);
                    }
                }
                if by.savepoints && !own.rolled_back && own.drawn.is_none() && !own.inserted.is_empty() {
                    each(Write::RollBack);
                }
                if may_abort {
                    each(Write::Abort);
                }
            }
            State::Prepared => {
                each(Write::Commit);
                if may_abort {
                    each(Write::Abort);
                }
                if by.renames && !own.renamed {
                    each(Write::Rename);
                }
            }
            State::Visible => each(Write::Release),
            State::Ended => {}
        }
    }

    /// Whether a prepared transaction has a version of this one's: it has it for good, unless it is rolled back. Of
    /// others who append the same version the one who commits first has it.
    fn waits(&self, number: usize) -> bool {
        let own = &self.transactions[number];
        let prepared = self.transactions.iter().filter(|other| other.state == State::Prepared);
        prepared.into_iter().any(|other| other.competes_with(own))
    }

    fn head(&self, aggregate: usize) -> u8 {
        self.committed.iter().filter(|event| event.aggregate == aggregate).map(|event| event.version).max().unwrap_or(0)
    }

    /// The version is that after the last one which was visible before the position was drawn: assumption A2, without
    /// which positions say nothing about the order of an aggregate's events.
    fn draw(&mut self, number: usize) -> Event {
        let own = &self.transactions[number];
        let aggregate = own.script[own.inserted.len()];
        let earlier = own.inserted.iter().filter(|event| event.aggregate == aggregate).count();
        let version = self.head(aggregate) + u8::try_from(earlier).unwrap() + 1;
        self.last_position += 1;
        Event { position: self.last_position, xid: 0, aggregate, version }
    }

    pub(super) fn write(&mut self, number: usize, write: Write, cases: &Cases) {
        if write == Write::Draw {
            let drawn = self.draw(number);
            let own = &mut self.transactions[number];
            own.drawn = Some(drawn);
            if own.state == State::Waiting {
                own.state = State::Drawn;
            }
            return;
        }
        let own = &mut self.transactions[number];
        match (write, own.state) {
            (Write::Begin, State::Waiting | State::Drawn) => own.state = State::Open,
            (Write::Append, State::Open) => own.inserted.extend(own.drawn.take()),
            (Write::Retry, State::Open) => {
                cases.note(Case::Retry);
                (own.inserted, own.drawn) = (Vec::new(), None);
            }
            (Write::RollBack, State::Open) => {
                cases.note(Case::RolledBack);
                (own.drawn, own.rolled_back) = (own.inserted.pop(), true);
            }
            (Write::Prepare, State::Open) => {
                cases.note(Case::Prepared);
                (own.state, own.prepared) = (State::Prepared, true);
            }
            (Write::Rename, State::Prepared) => {
                cases.note(Case::Renamed);
                own.renamed = true;
            }
            (Write::Commit, State::Open | State::Prepared) => {
                own.state = State::Visible;
                self.committed.extend(&own.inserted);
                self.committed.sort_unstable();
            }
            (Write::Release, State::Visible) => self.end(number),
            (Write::Abort, State::Open | State::Prepared) => {
                // When it releases its locks makes no difference to anybody: nothing of it is ever visible.
                if own.events().next().is_some() {
                    cases.note(Case::Abort);
                }
                self.end(number);
            }
            (write, state) => panic!("{write:?} of a transaction that is {state:?}"),
        }
    }

    /// How it came to its end makes no difference any more.
    fn end(&mut self, number: usize) {
        let own = &mut self.transactions[number];
        (own.state, own.drawn, own.inserted) = (State::Ended, None, Vec::new());
        (own.rolled_back, own.prepared, own.renamed) = (false, false, false);
    }

    /// By which name a transaction holds the sequence's lock at this moment, if it does: its rows of `pg_locks`.
    pub fn holder(&self, number: usize, mutant: Option<Mutant>) -> Option<Holder> {
        let own = &self.transactions[number];
        let holds = match mutant {
            Some(Mutant::TableLock) => own.has_table_lock(),
            Some(Mutant::PreparedLeftOut) => own.has_sequence_lock() && !own.prepared,
            _ => own.has_sequence_lock(),
        };
        // Of the mutant the name is one that shows nothing of where it comes from.
        let renamed_to = if mutant == Some(Mutant::NotInherited) { 9 } else { -1 };
        let name = if own.renamed { format!("{renamed_to}/{number}") } else { format!("{number}/1") };
        holds.then(|| Holder::named(&name))
    }

    /// All of them, as if they were read at one moment.
    pub fn holders(&self, mutant: Option<Mutant>) -> BTreeSet<Holder> {
        (0..self.transactions.len()).filter_map(|number| self.holder(number, mutant)).collect()
    }

    /// Whether it is visible, and has its locks still.
    pub fn is_visible_and_locked(&self, number: usize) -> bool {
        self.transactions[number].state == State::Visible
    }

    /// The highest visible position, of up to so many rows above another one.
    pub fn top(&self, after: Position, rows: Option<usize>) -> Position {
        let above = self.committed.iter().map(|event| event.position).filter(|position| *position > after.get());
        above.take(rows.unwrap_or(usize::MAX)).last().map_or(after, Position::new)
    }

    /// `gaps.sql`: what is not visible between two positions, of which the second is.
    pub fn gaps(&self, after: Position, upto: Position) -> Vec<(i64, i64)> {
        let mut before = after.get();
        let mut gaps = Vec::new();
        for position in self.committed.iter().map(|event| event.position) {
            if position <= before || position > upto.get() {
                continue;
            }
            if position - before > 1 {
                gaps.push((before + 1, position - 1));
            }
            before = position;
        }
        gaps
    }

    /// Which of these positions have an event now.
    pub fn found(&self, positions: &[Position]) -> Vec<Position> {
        let is_visible = |position: &&Position| self.committed.iter().any(|event| event.position == position.get());
        positions.iter().filter(is_visible).copied().collect()
    }
}
