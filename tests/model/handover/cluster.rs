//! What can happen next, and what must hold whatever does.

use super::Mutant;
use super::node::{COUNTERS, Call, NODES, Node, Phase, Question, Shard};
use super::steps::{greet, handle, list};
use crate::explore::Nodes;
use stateright::{Model, Property};

const ONE_HAS_ALL: &str = "whoever counts has everything that was counted";
const MOVED: &str = "counters are counted where they were not before";
const CONTENDED: &str = "two claim the shard at the same time";
const LOST: &str = "a part is given again, as its answer was lost";

/// What there is to interleave.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Who is there at first: one that owns the shard, or nobody.
    pub first: Option<usize>,
    pub join: [bool; NODES],
    pub leave: [bool; NODES],
    /// How often somebody counts.
    pub counts: u8,
    /// How many answers are lost, or questions are handled when nobody waits any more.
    pub mishaps: u8,
    /// Whether a node follows its view some time after that has changed, or when it is asked.
    pub lags: bool,
    pub wanted: &'static [&'static str],
    pub mutant: Option<Mutant>,
}

impl Default for Cluster {
    fn default() -> Self {
        let (join, leave) = ([false; NODES], [false; NODES]);
        Self { first: None, join, leave, counts: 1, mishaps: 0, lags: false, wanted: &[], mutant: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub nodes: [Node; NODES],
    /// What was answered, of each counter.
    pub totals: [u8; COUNTERS],
    left: u8,
    pub mishaps: u8,
    /// Questions of which nobody waits for the answer: who asked whom.
    pub late: Vec<(usize, usize, Question)>,
    moved: bool,
    pub again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Join(usize),
    List(usize),
    Greet(usize, usize),
    Live(usize),
    Leave(usize),
    Go(usize),
    /// One learns what another one's record says.
    See(usize, usize),
    Follow(usize),
    Claim(usize),
    Ask(usize, usize),
    Handle(usize, usize),
    HandleLate(usize),
    Receive(usize, usize),
    /// Nobody waits for the answer any more.
    TimeOut(usize, usize),
    Count(usize, usize),
}

impl Cluster {
    pub const ALL: &'static [&'static str] = &[MOVED, CONTENDED, LOST];
    pub const MOVES: &'static [&'static str] = &[MOVED];
    pub const CONTENDED: &'static [&'static str] = &[MOVED, CONTENDED];

    /// What can happen but that somebody joins, leaves, counts, or does not wait: all that must end by itself.
    pub fn is_progress(action: &Action) -> bool {
        !matches!(action, Action::Join(_) | Action::Leave(_) | Action::Count(..) | Action::TimeOut(..))
    }

    fn joining(&self, state: &State, own: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[own];
        let early = self.mutant == Some(Mutant::ListedBeforeNamed);
        match node.phase {
            Phase::Absent if self.join[own] && early => actions.push(Action::List(own)),
            Phase::Absent if self.join[own] => actions.push(Action::Join(own)),
            Phase::Listed => actions.push(Action::Join(own)),
            Phase::Named => actions.push(Action::List(own)),
            Phase::Greeting if node.to_greet.contains(&true) => {
                actions.extend((0..NODES).filter(|other| node.to_greet[*other]).map(|other| Action::Greet(own, other)));
            }
            Phase::Greeting => actions.push(Action::Live(own)),
            Phase::Live => {
                let stays =
                    |other: usize| other != own && (Phase::Named..Phase::Leaving).contains(&state.nodes[other].phase);
                if self.leave[own] && (0..NODES).any(stays) {
                    actions.push(Action::Leave(own));
                }
            }
            Phase::Leaving => {
                let claims =
                    matches!(node.shard, Shard::Claiming(_)) && self.mutant == Some(Mutant::ClaimsWhileLeaving);
                let nothing = node.shard == Shard::Nothing || claims && !node.has_any();
                if nothing || self.mutant == Some(Mutant::GoneTooEarly) {
                    actions.push(Action::Go(own));
                }
            }
            Phase::Absent | Phase::Gone => {}
        }
    }

    /// What becomes of a question. None if there is none of that kind.
    fn call(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Ask(own, other) => {
                let question = self.question(&state.nodes[own], other)?;
                if let Shard::Taking { unsure, .. } = &mut state.nodes[own].shard {
                    *unsure = true;
                }
                state.nodes[own].calls[other] = Some(Call::Asked(question));
            }
            Action::Handle(own, other) => {
                let Some(Call::Asked(question)) = state.nodes[own].calls[other] else { return None };
                let answer = handle(state, own, other, question, self.mutant);
                state.nodes[own].calls[other] = answer.map(|answer| Call::Answered(question, answer));
            }
            Action::HandleLate(index) => {
                let (own, other, question) = state.late.remove(index);
                handle(state, own, other, question, self.mutant);
            }
            Action::Receive(own, other) => {
                let Some(Call::Answered(question, answer)) = state.nodes[own].calls[other].take() else { return None };
                self.receive(&mut state.nodes[own], other, question, answer, &mut state.again);
            }
            Action::TimeOut(own, other) => Self::time_out(state, own, other),
            _ => unreachable!("{action:?} is about no question"),
        }
        Some(())
    }

    fn asking(&self, state: &State, own: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[own];
        if node.wants(own) {
            actions.push(Action::Claim(own));
        }
        if self.lags {
            let mut then = node.clone();
            then.follow(own, self.mutant);
            actions.extend((then != *node).then_some(Action::Follow(own)));
        }
        for other in (0..NODES).filter(|other| *other != own) {
            match node.calls[other] {
                Some(Call::Asked(_)) => actions.push(Action::Handle(own, other)),
                Some(Call::Answered(..)) => actions.push(Action::Receive(own, other)),
                None if self.question(node, other).is_some() => actions.push(Action::Ask(own, other)),
                None => {}
            }
            if node.calls[other].is_some() && state.mishaps > 0 {
                actions.push(Action::TimeOut(own, other));
            }
        }
    }
}

impl Nodes for Cluster {
    type Mutant = Mutant;

    fn mutated(&self, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..self.clone() }
    }

    fn is_wanted(property: &str) -> bool {
        property != ONE_HAS_ALL
    }

    fn wanted(&self) -> &'static [&'static str] {
        self.wanted
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut nodes: [Node; NODES] = std::array::from_fn(|_| Node::absent());
        let mut totals = [0; COUNTERS];
        if let Some(first) = self.first {
            (nodes[first].phase, nodes[first].shard) = (Phase::Live, Shard::Owned);
            (nodes[first].counters, totals) = ([1; COUNTERS], [1; COUNTERS]);
        }
        let (left, mishaps) = (self.counts, self.mishaps);
        vec![State { nodes, totals, left, mishaps, late: Vec::new(), moved: false, again: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for own in 0..NODES {
            let node = &state.nodes[own];
            self.joining(state, own, actions);
            self.asking(state, own, actions);
            for other in (0..NODES).filter(|other| *other != own && node.phase > Phase::Named) {
                let (known, phase) = (node.known[other], state.nodes[other].phase);
                if known != Some(phase).filter(|phase| phase.is_there()) && node.phase != Phase::Gone {
                    actions.push(Action::See(own, other));
                }
            }
            if node.shard == Shard::Owned && state.left > 0 {
                actions.extend((0..COUNTERS).map(|counter| Action::Count(own, counter)));
            }
        }
        actions.extend((0..state.late.len()).map(Action::HandleLate));
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Join(own) => {
                let listed = state.nodes[own].phase == Phase::Listed;
                state.nodes[own].phase = if listed { Phase::Greeting } else { Phase::Named };
            }
            Action::List(own) => list(&mut state, own, self.mutant),
            Action::Greet(own, other) => greet(&mut state, own, other),
            Action::Live(own) => state.nodes[own].phase = Phase::Live,
            Action::Leave(own) => {
                let node = &mut state.nodes[own];
                node.phase = Phase::Leaving;
                if self.mutant != Some(Mutant::ClaimsWhileLeaving) {
                    node.stop_claiming();
                }
            }
            Action::Go(own) => state.nodes[own].phase = Phase::Gone,
            Action::See(own, other) => {
                let phase = state.nodes[other].phase;
                state.nodes[own].learn(other, phase);
            }
            Action::Follow(own) => state.nodes[own].follow(own, self.mutant),
            Action::Claim(own) => {
                let node = &mut state.nodes[own];
                node.claims += 1;
                node.put_back();
                node.shard = Shard::Claiming([None; NODES]);
            }
            Action::Ask(..)
            | Action::Handle(..)
            | Action::HandleLate(_)
            | Action::Receive(..)
            | Action::TimeOut(..) => {
                self.call(&mut state, action)?;
            }
            Action::Count(own, counter) => {
                state.left -= 1;
                state.totals[counter] += 1;
                state.nodes[own].counters[counter] += 1;
            }
        }
        for own in 0..NODES {
            if !self.lags {
                state.nodes[own].follow(own, self.mutant);
            }
            self.advance(&mut state.nodes[own], own, &mut state.moved);
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_HAS_ALL, |_, state: &State| {
                let mut owners = state.nodes.iter().filter(|node| node.shard == Shard::Owned);
                owners.next().is_none_or(|owner| owner.counters == state.totals) && owners.next().is_none()
            }),
            Property::sometimes(MOVED, |_, state: &State| state.moved),
            Property::sometimes(CONTENDED, |_, state: &State| {
                state.nodes.iter().filter(|node| matches!(node.shard, Shard::Claiming(_))).count() > 1
            }),
            Property::sometimes(LOST, |_, state: &State| state.again),
        ]
    }
}
