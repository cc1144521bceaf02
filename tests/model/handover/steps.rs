//! What the steps of nodes lead to.

use super::Mutant;
use super::cluster::{Cluster, State};
use super::node::{Answer, COUNTERS, Call, NODES, Node, Phase, Question, Shard};

impl Cluster {
    /// What a node has to ask another one now.
    pub fn question(&self, node: &Node, other: usize) -> Option<Question> {
        let claim = node.claims;
        match node.shard {
            Shard::Claiming(answers) => {
                let asked = self.is_asked(node, other);
                (asked && answers[other].is_none()).then_some(Question { claim, part: None })
            }
            Shard::Taking { holders, next, .. } => {
                let first = holders.iter().position(|holds| *holds);
                (first == Some(other)).then_some(Question { claim, part: Some(next) })
            }
            _ => None,
        }
    }

    fn is_asked(&self, node: &Node, other: usize) -> bool {
        match self.mutant {
            Some(Mutant::OnlyMembersAsked) => node.known[other] == Some(Phase::Live),
            _ => node.known[other].is_some(),
        }
    }

    /// Takes in what an answer says.
    pub fn receive(&self, node: &mut Node, other: usize, question: Question, answer: Answer, again: &mut bool) {
        if question.claim != node.claims && self.mutant != Some(Mutant::AnswersKept) {
            return;
        }
        match (&mut node.shard, answer) {
            (Shard::Claiming(answers), Answer::Free | Answer::Holds) => answers[other] = Some(answer),
            (Shard::Taking { next, unsure, .. }, Answer::Part { part, counter, value }) => {
                if part == *next {
                    node.counters[counter as usize] += value;
                    *next = part + 1;
                } else {
                    *again = true;
                }
                *unsure = true;
            }
            (Shard::Taking { holders, next, unsure }, Answer::Done) => {
                holders[other] = false;
                (*next, *unsure) = (0, false);
            }
            // Nothing was given, or will be: the claim goes on, as nobody else can have had one in between.
            (Shard::Taking { holders, .. }, Answer::NotYet) if question.part.is_some() => {
                let mut answers = holders.map(|holds| Some(if holds { Answer::Holds } else { Answer::Free }));
                answers[other] = None;
                node.shard = Shard::Claiming(answers);
            }
            _ => {}
        }
    }

    /// Goes on with a claim that is complete, and with what was taken.
    pub fn advance(&self, node: &mut Node, own: usize, moved: &mut bool) {
        if let Shard::Claiming(answers) = node.shard
            && (0..NODES).all(|other| !self.is_asked(node, other) || answers[other].is_some())
        {
            let holders = answers.map(|answer| answer == Some(Answer::Holds));
            node.shard = Shard::Taking { holders, next: 0, unsure: false };
        }
        if let Shard::Taking { holders, next, unsure } = &mut node.shard
            && let Some(first) = holders.iter().position(|holds| *holds)
            && node.known[first].is_none()
        {
            // It has left, so it has given everything: only the answer about the last part is lost, or late.
            holders[first] = false;
            (*next, *unsure) = (0, false);
        }
        if let Shard::Taking { holders, .. } = node.shard
            && holders == [false; NODES]
        {
            let own = node.owner(own) == Some(own);
            *moved |= own && node.counters != [0; COUNTERS];
            node.shard = if own { Shard::Owned } else { Shard::Holding };
            node.giving = None;
        }
    }

    pub fn time_out(state: &mut State, own: usize, other: usize) {
        state.mishaps -= 1;
        let call = state.nodes[own].calls[other].take();
        if let Some(Call::Asked(question)) = call {
            state.late.push((own, other, question));
        } else if let Some(Call::Answered(_, Answer::Part { .. })) = call {
            state.again = true;
        }
    }
}

pub fn list(state: &mut State, own: usize, mutant: Option<Mutant>) {
    let there: [bool; NODES] = std::array::from_fn(|other| other != own && state.nodes[other].phase.is_there());
    for other in (0..NODES).filter(|other| there[*other]) {
        let phase = state.nodes[other].phase;
        state.nodes[own].learn(other, phase);
    }
    let early = state.nodes[own].phase == Phase::Absent;
    state.nodes[own].phase = if early { Phase::Listed } else { Phase::Greeting };
    state.nodes[own].to_greet = if mutant == Some(Mutant::NoGreeting) { [false; NODES] } else { there };
}

/// Each of the two knows the other one then; nothing else is known of one that has gone.
pub fn greet(state: &mut State, own: usize, other: usize) {
    state.nodes[own].to_greet[other] = false;
    let (phase, theirs) = (state.nodes[own].phase, state.nodes[other].phase);
    state.nodes[own].learn(other, theirs);
    if theirs.is_there() {
        state.nodes[other].learn(own, phase);
    }
}

/// One that is gone answers nothing; then nothing is known of it.
pub fn handle(
    state: &mut State,
    own: usize,
    other: usize,
    question: Question,
    mutant: Option<Mutant>,
) -> Option<Answer> {
    // Questions are numbered, and one that is overtaken by a later one is not looked at.
    if mutant != Some(Mutant::Overtaken) {
        state.late.retain(|late| (late.0, late.1) != (own, other));
    }
    if !state.nodes[other].phase.is_there() {
        state.nodes[own].learn(other, Phase::Gone);
        return None;
    }
    state.nodes[other].follow(other, mutant);
    Some(state.nodes[other].answer(other, own, question, mutant))
}
