//! What a node knows and has of the shard, and how it answers.

use super::Mutant;

pub const NODES: usize = 3;
/// Each is a part of its own when they are handed over.
pub const COUNTERS: usize = 2;

/// How far a node has come. Its record says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    Absent,
    /// It has looked who is there, before it had announced itself: of a mutant only.
    Listed,
    /// It has announced itself, and has not looked who is there.
    Named,
    /// It greets those whom it has found.
    Greeting,
    Live,
    Leaving,
    Gone,
}

impl Phase {
    /// Whether it has a record that says that it is there.
    pub fn is_there(self) -> bool {
        matches!(self, Self::Named | Self::Greeting | Self::Live | Self::Leaving)
    }
}

/// What is answered to a claim, and to the question for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Free,
    Holds,
    NotYet,
    Part { part: u8, counter: u8, value: u8 },
    Done,
}

/// A question, or its answer, on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Asked(Question),
    Answered(Question, Answer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// Which claim of the asker it belongs to.
    pub claim: u8,
    /// None asks for the claim itself.
    pub part: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shard {
    /// It is another node's, or nobody's.
    Nothing,
    /// What each of the others has answered.
    Claiming([Option<Answer>; NODES]),
    /// Who has something to give yet, and which part of the first of them is next. Whether that one was asked, and the
    /// answer may have been lost.
    Taking {
        holders: [bool; NODES],
        next: u8,
        unsure: bool,
    },
    Owned,
    /// It has counters, or had, and counts no more.
    Holding,
}

/// To whom the counters are being given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Giving {
    pub to: u8,
    pub claim: u8,
    /// The part that was asked for last, with the counter that is in it until the next one is asked for.
    pub part: Option<(u8, Option<(u8, u8)>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    pub phase: Phase,
    /// What it knows of the others; of itself nothing.
    pub known: [Option<Phase>; NODES],
    pub to_greet: [bool; NODES],
    pub shard: Shard,
    pub claims: u8,
    pub counters: [u8; COUNTERS],
    pub giving: Option<Giving>,
    pub calls: [Option<Call>; NODES],
}

impl Node {
    pub fn absent() -> Self {
        Self {
            phase: Phase::Absent,
            known: [None; NODES],
            to_greet: [false; NODES],
            shard: Shard::Nothing,
            claims: 0,
            counters: [0; COUNTERS],
            giving: None,
            calls: [None; NODES],
        }
    }

    /// Takes in what another node's record says.
    pub fn learn(&mut self, other: usize, phase: Phase) {
        self.known[other] = phase.is_there().then_some(phase);
    }

    /// The owner by what this node knows: of all that live the one with the highest number.
    pub fn owner(&self, own: usize) -> Option<usize> {
        let lives = |node: &usize| match self.known[*node] {
            _ if *node == own => self.phase == Phase::Live,
            known => known == Some(Phase::Live),
        };
        (0..NODES).rev().find(lives)
    }

    /// What is not its own by its own view is to be given, and a claim to it is dropped.
    pub fn follow(&mut self, own: usize, mutant: Option<Mutant>) {
        if self.owner(own) == Some(own) {
            return;
        }
        match self.shard {
            Shard::Owned => self.shard = Shard::Holding,
            Shard::Taking { unsure, .. } if !unsure || mutant == Some(Mutant::TakingAbandoned) => self.abandon(),
            _ => self.stop_claiming(),
        }
    }

    /// What was claimed, and all have not answered about, is left to others.
    pub fn stop_claiming(&mut self) {
        if matches!(self.shard, Shard::Claiming(_)) {
            self.abandon();
        }
    }

    fn abandon(&mut self) {
        self.shard = if self.has_any() { Shard::Holding } else { Shard::Nothing };
    }

    pub fn has_any(&self) -> bool {
        self.counters != [0; COUNTERS] || self.giving.is_some()
    }

    /// Whether it would claim the shard now.
    pub fn wants(&self, own: usize) -> bool {
        let idle = matches!(self.shard, Shard::Nothing | Shard::Holding);
        idle && self.is_giving_to().is_none() && self.phase == Phase::Live && self.owner(own) == Some(own)
    }

    /// Who has been asking for parts, and is not done.
    pub fn is_giving_to(&self) -> Option<Giving> {
        self.giving.filter(|giving| giving.part.is_some() && self.known[giving.to as usize].is_some())
    }

    pub fn answer(&mut self, own: usize, from: usize, question: Question, mutant: Option<Mutant>) -> Answer {
        match question.part {
            None => self.claimed(own, from, question.claim, mutant),
            Some(part) => self.give(from, question.claim, part, mutant),
        }
    }

    fn claimed(&mut self, own: usize, from: usize, claim: u8, mutant: Option<Mutant>) -> Answer {
        let given = self.is_giving_to().is_some_and(|giving| giving.to as usize != from || giving.claim != claim);
        let mine = self.owner(own) == Some(own);
        match self.shard {
            Shard::Nothing => Answer::Free,
            Shard::Claiming(_) if mutant == Some(Mutant::FreeWhileClaiming) && self.counters == [0; COUNTERS] => {
                Answer::Free
            }
            Shard::Claiming(_) | Shard::Taking { .. } => Answer::NotYet,
            Shard::Owned | Shard::Holding if mine => Answer::NotYet,
            Shard::Owned | Shard::Holding if given && mutant != Some(Mutant::PromisedTwice) => Answer::NotYet,
            Shard::Owned | Shard::Holding => {
                self.shard = Shard::Holding;
                self.put_back();
                self.giving = Some(Giving { to: u8::try_from(from).unwrap(), claim, part: None });
                Answer::Holds
            }
        }
    }

    /// What was to be given is its own again: whoever asked has not taken it, or it would not be possible to claim the
    /// shard.
    pub fn put_back(&mut self) {
        if let Some(Giving { part: Some((_, Some((counter, value)))), .. }) = self.giving.take() {
            self.counters[counter as usize] += value;
        }
    }

    fn give(&mut self, from: usize, claim: u8, part: u8, mutant: Option<Mutant>) -> Answer {
        if self.shard == Shard::Nothing {
            return Answer::Done;
        }
        let promised = self.giving.filter(|giving| giving.to as usize == from && giving.claim == claim);
        let Some(mut giving) = promised.filter(|_| self.shard == Shard::Holding) else { return Answer::NotYet };
        match giving.part {
            Some((last, content)) if last == part => return Self::content(part, content),
            Some((last, _)) if last + 1 != part => return Answer::NotYet,
            None if part != 0 => return Answer::NotYet,
            _ => {}
        }
        let counter = self.counters.iter().position(|value| *value > 0);
        let content = counter.map(|counter| {
            let value = std::mem::take(&mut self.counters[counter]);
            (u8::try_from(counter).unwrap(), value)
        });
        giving.part = Some((part, content.filter(|_| mutant != Some(Mutant::ForgottenWhenSent))));
        self.giving = Some(giving);
        if content.is_none() {
            (self.shard, self.giving) = (Shard::Nothing, None);
        }
        Self::content(part, content)
    }

    fn content(part: u8, content: Option<(u8, u8)>) -> Answer {
        content.map_or(Answer::Done, |(counter, value)| Answer::Part { part, counter, value })
    }
}
