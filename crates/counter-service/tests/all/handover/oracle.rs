//! What clients were answered, and what can't be.

use evenfold_counter_service::{CounterValue, ServiceError};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Of increments by 1.
#[derive(Debug, Default)]
pub struct Oracle {
    counters: BTreeMap<usize, Counter>,
    pub wrong: Vec<String>,
    pub answered: u64,
    pub refused: u64,
    pub handed_off: u64,
    pub schedules: u64,
    maybes: u64,
}

#[derive(Debug, Default)]
struct Counter {
    answers: BTreeSet<i64>,
    /// What it stood at by any answer.
    floor: i64,
    /// How many increments may have been counted without an answer.
    maybes: i64,
}

impl Oracle {
    /// What any later answer about this counter must not be below.
    pub fn floor(&mut self, counter: usize) -> i64 {
        self.counters.entry(counter).or_default().floor
    }

    pub fn incremented(&mut self, counter: usize, floor: i64, answer: &Result<CounterValue, ServiceError>) {
        let known = self.counters.entry(counter).or_default();
        match answer {
            Ok(CounterValue { value, version }) => {
                self.answered += 1;
                if value != version || *value <= floor || !known.answers.insert(*value) {
                    self.wrong.push(format!("{counter} was counted to {value} by version {version}, after {floor}"));
                }
                known.floor = known.floor.max(*value);
            }
            Err(ServiceError::TimedOut(_)) => {
                known.maybes += 1;
                self.maybes += 1;
            }
            // Its node has begun to leave before it was asked.
            Err(ServiceError::Stopped) => {}
            Err(_) => self.refused += 1,
        }
    }

    pub fn read(&mut self, counter: usize, floor: i64, answer: &Result<CounterValue, ServiceError>) {
        let Ok(CounterValue { value, .. }) = answer else {
            self.refused += u64::from(*answer != Err(ServiceError::Stopped));
            return;
        };
        let known = self.counters.entry(counter).or_default();
        if *value < floor {
            self.wrong.push(format!("{counter} was read at {value} after {floor}"));
        }
        known.floor = known.floor.max(*value);
    }

    /// What a counter stands at when all is over.
    pub fn ends(&mut self, counter: usize, value: i64) {
        let known = self.counters.entry(counter).or_default();
        let answers = i64::try_from(known.answers.len()).unwrap();
        // Each of 1, 2, 3, … was answered, or is one that nobody got an answer for.
        if value < known.floor || value < answers || value > answers + known.maybes {
            let Counter { floor, maybes, .. } = known;
            self.wrong.push(format!(
                "{counter} ends at {value}, after {answers} answers up to {floor}, and {maybes} that are not known"
            ));
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.handed_off += other.handed_off;
        self.maybes += other.maybes;
        self.schedules += 1;
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schedules, answered, refused, maybes, handed_off, .. } = self;
        write!(
            f,
            "{schedules} schedules: {answered} answered, {refused} refused, {maybes} not known; {handed_off} nodes joined or left"
        )
    }
}
