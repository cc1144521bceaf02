//! What clients were answered, and whether a log can be like that.

use super::connection::CounterAnswer;
use super::plan::name;
use std::collections::{BTreeMap, HashMap};

/// More are not kept: the first ones show enough.
const MOST_WRONG: usize = 20;

/// An increment that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    pub counter: u32,
    pub amount: i64,
    pub answer: CounterAnswer,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub acknowledged: Vec<Acknowledged>,
    /// Increments of which nobody knows whether they were counted: counter and amount.
    pub maybes: Vec<(u32, i64)>,
    /// Value by counter and version, from reads and increments.
    pub observed: HashMap<(u32, i64), i64>,
    /// Requests that were certainly not counted, and abandoned.
    pub refused: u64,
    pub repeated: u64,
    pub wrong: Vec<String>,
    /// Answers that can't all be of one history of the log.
    pub contradictions: Vec<String>,
}

impl Ledger {
    pub fn answered(&mut self, counter: u32, amount: i64, answer: CounterAnswer) {
        self.acknowledged.push(Acknowledged { counter, amount, answer });
    }

    pub fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.maybes.extend(other.maybes);
        for (at, value) in other.observed {
            if let Some(before) = self.observed.insert(at, value)
                && before != value
            {
                self.contradicts(format!("{} stood at {before} and at {value} by version {}", name(at.0), at.1));
            }
        }
        self.refused += other.refused;
        self.repeated += other.repeated;
        self.wrong.extend(other.wrong);
        self.contradictions.extend(other.contradictions);
    }

    /// The database may have lost any of it since: an increment that was answered is in the log, or is not, and nothing
    /// that was answered needs to be true any more.
    pub fn forget(&mut self) {
        let lost = std::mem::take(&mut self.acknowledged);
        self.maybes.extend(lost.into_iter().map(|one| (one.counter, one.amount)));
        self.observed.clear();
        self.contradictions.clear();
    }

    pub fn contradicts(&mut self, what: String) {
        if self.contradictions.len() < MOST_WRONG {
            self.contradictions.push(what);
        }
    }

    pub fn wrong(&mut self, what: String) {
        if self.wrong.len() < MOST_WRONG {
            self.wrong.push(what);
        }
    }
}

/// An event of a counter.
#[derive(Debug, Clone, Copy)]
pub struct Logged {
    pub version: i64,
    pub amount: i64,
}

/// Whether the log can be like that after what the clients were answered: what is wrong.
pub fn judge(ledger: &Ledger, log: &HashMap<u32, Vec<Logged>>) -> Vec<String> {
    let mut wrong = [ledger.wrong.as_slice(), &ledger.contradictions].concat();
    let mut acknowledged: BTreeMap<u32, Vec<Acknowledged>> = BTreeMap::new();
    for one in &ledger.acknowledged {
        acknowledged.entry(one.counter).or_default().push(*one);
    }
    let mut maybes: HashMap<u32, Vec<i64>> = HashMap::new();
    for (counter, amount) in &ledger.maybes {
        maybes.entry(*counter).or_default().push(*amount);
    }
    let mut values = HashMap::new();
    let counters = acknowledged.keys().chain(log.keys()).copied().collect::<std::collections::BTreeSet<_>>();
    for counter in counters {
        let events = log.get(&counter).map(Vec::as_slice).unwrap_or_default();
        let answers = acknowledged.get(&counter).map(Vec::as_slice).unwrap_or_default();
        one(counter, events, answers, maybes.remove(&counter).unwrap_or_default(), &mut wrong);
        let mut sum = 0;
        for event in events {
            sum += event.amount;
            values.insert((counter, event.version), sum);
        }
    }
    for ((counter, version), value) in &ledger.observed {
        let really = if *version == 0 { Some(&0) } else { values.get(&(*counter, *version)) };
        if really != Some(value) {
            wrong.push(format!("{} was answered as {value} at {version}: the log says {really:?}", name(*counter)));
        }
    }
    wrong
}

/// Each answered increment is one event, and each other event one of those that nobody knows of.
fn one(counter: u32, events: &[Logged], answers: &[Acknowledged], mut maybes: Vec<i64>, wrong: &mut Vec<String>) {
    let name = name(counter);
    let mut by_version: HashMap<i64, i64> = HashMap::new();
    for acknowledged in answers {
        if by_version.insert(acknowledged.answer.version, acknowledged.amount).is_some() {
            wrong.push(format!("{name}: two increments were given version {}", acknowledged.answer.version));
        }
    }
    for (expected, event) in (1..).zip(events) {
        if event.version != expected {
            wrong.push(format!("{name}: version {expected} is missing in the log"));
            return;
        }
        match by_version.remove(&event.version) {
            Some(amount) if amount == event.amount => {}
            Some(amount) => wrong.push(format!("{name}: version {expected} is {}, not {amount}", event.amount)),
            None => match maybes.iter().position(|maybe| *maybe == event.amount) {
                Some(at) => drop(maybes.swap_remove(at)),
                None => {
                    wrong.push(format!("{name}: nobody has sent version {expected}, by {}, or twice", event.amount));
                }
            },
        }
    }
    for (version, amount) in by_version {
        wrong.push(format!("{name}: lost: {amount} was acknowledged as version {version}, and is not in the log"));
    }
}
