//! What can happen next, and what must hold whatever does.

use super::Mutant;
use super::node::{NODES, Node, Role, Version};
use crate::explore::Nodes;
use stateright::{Model, Property};

const NOT_OLDER: &str = "no owner shows anything older than what was seen";
const ONE_OWNER: &str = "at most one node answers";
const ONCE: &str = "no version is given to two writes";
const KEPT: &str = "what was answered is there, if a replica is left";
pub const SUCCEEDED: &str = "a write is answered by one that has taken the shard over with what was there";
pub const MISSED: &str = "what was answered is a miss";
pub const REFILLED: &str = "one that was taken for dead is a replica again";

/// What there is to interleave.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// How many are to have what the owner has.
    pub replicas: usize,
    pub writes: u8,
    /// How often a node is killed, or cut off.
    pub faults: u8,
    /// Whether one may fail also if nobody else has what it has.
    pub any_fault: bool,
    pub wanted: &'static [&'static str],
    pub mutant: Option<Mutant>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { replicas: 1, writes: 2, faults: 2, any_fault: false, wanted: &[], mutant: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub nodes: [Node; NODES],
    pub writes: u8,
    pub faults: u8,
    /// What was given to writes, in their order.
    pub given: Vec<Version>,
    /// The latest that somebody was shown. A miss counts from the epoch in which it was shown.
    pub seen: Version,
    pub answered: bool,
    /// Who has been taken for dead.
    pub returned: [bool; NODES],
    pub older: bool,
    pub succeeded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Write(usize),
    /// What the first has sent arrives at the second.
    Deliver(usize, usize),
    Acknowledge(usize, usize),
    Answer(usize),
    Fill(usize, usize),
    Finish(usize, usize),
    Filled(usize, usize),
    /// The owner does not count on this one any more.
    Remove(usize, usize),
    DropOld(usize, usize),
    Claim(usize),
    AnswerClaim(usize, usize),
    Own(usize),
    Kill(usize),
    Cut(usize),
    Lapse(usize),
    Expel(usize),
    Return(usize),
}

impl Cluster {
    fn trouble(&self, state: &State, own: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[own];
        if node.is_well() && state.faults > 0 && (self.any_fault || state.is_spared(own)) {
            actions.extend([Action::Kill(own), Action::Cut(own)]);
        }
        if node.up && node.cut && node.certain {
            actions.push(Action::Lapse(own));
        }
        if !node.expelled && (!node.up || node.cut && !node.certain) {
            actions.push(Action::Expel(own));
        }
        if node.expelled || node.cut && !node.certain {
            actions.push(Action::Return(own));
        }
    }

    fn claiming(state: &State, own: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[own];
        if !node.is_well() {
            return;
        }
        match node.role {
            Role::Claiming { .. } => {
                actions.extend((0..NODES).filter(|other| *other != own).map(|other| Action::AnswerClaim(own, other)));
                actions.push(Action::Own(own));
            }
            Role::Owner(_) => {}
            _ => {
                let has_it = |node: &Node| matches!(node.role, Role::Owner(_) | Role::Claiming { .. });
                if state.nodes.iter().all(|node| node.expelled || !has_it(node)) {
                    actions.push(Action::Claim(own));
                }
            }
        }
    }
}

impl State {
    /// Whether somebody else is there who has what this node has, as the protocol counts it.
    fn is_spared(&self, own: usize) -> bool {
        let node = &self.nodes[own];
        let others = || (0..NODES).filter(|other| *other != own);
        let Some(owner) = self.nodes.iter().find(|node| node.is_well() && node.owner().is_some()) else {
            // The owner has failed, and nobody has taken the shard over yet.
            return node.complete().is_none() && !matches!(node.role, Role::Claiming { .. });
        };
        let Some(owner) = owner.owner() else { return true };
        let counted = |other: usize| {
            owner.replicas[other] && self.nodes[other].is_well() && self.nodes[other].is_replica_of(&owner)
        };
        node.owner().is_none() || others().any(counted)
    }

    fn answering(&self, mutant: Option<Mutant>) -> impl Iterator<Item = &Node> {
        let uncertain = mutant == Some(Mutant::UncertainAnswers);
        self.nodes.iter().filter(move |node| node.up && (node.certain || uncertain) && node.owner().is_some())
    }

    /// Somebody reads whatever can be read.
    fn read(&mut self, mutant: Option<Mutant>) {
        let shown =
            |node: &Node| node.owner().map(|owner| owner.copy.write.map_or((owner.epoch, 0), |_| owner.copy.version));
        let shown: Vec<Version> = self.answering(mutant).filter_map(shown).collect();
        self.older |= shown.iter().any(|version| *version < self.seen);
        self.seen = shown.into_iter().fold(self.seen, Version::max);
    }
}

impl Nodes for Cluster {
    type Mutant = Mutant;

    fn mutated(&self, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..self.clone() }
    }

    fn is_wanted(property: &str) -> bool {
        [SUCCEEDED, MISSED, REFILLED].contains(&property)
    }

    fn wanted(&self) -> &'static [&'static str] {
        self.wanted
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            nodes: [Node::new(); NODES],
            writes: self.writes,
            faults: self.faults,
            given: Vec::new(),
            seen: (0, 0),
            answered: false,
            returned: [false; NODES],
            older: false,
            succeeded: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for own in 0..NODES {
            self.trouble(state, own, actions);
            Self::claiming(state, own, actions);
            if state.nodes[own].up && state.nodes[own].owner().is_some() {
                actions.extend([Action::Write(own), Action::Answer(own)]);
                for other in (0..NODES).filter(|other| *other != own) {
                    actions.extend([
                        Action::Deliver(own, other),
                        Action::Acknowledge(own, other),
                        Action::Fill(own, other),
                        Action::Finish(own, other),
                        Action::Filled(own, other),
                        Action::Remove(own, other),
                        Action::DropOld(own, other),
                    ]);
                }
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.step(&mut state, action)?;
        state.read(self.mutant);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOT_OLDER, |_, state: &State| !state.older),
            Property::always(ONE_OWNER, |model: &Self, state: &State| state.answering(model.mutant).count() < 2),
            Property::always(ONCE, |_, state: &State| {
                let mut given = state.given.clone();
                given.sort_unstable();
                given.windows(2).all(|two| two[0] != two[1])
            }),
            Property::always(KEPT, |model: &Self, state: &State| model.any_fault || !state.misses()),
            Property::sometimes(SUCCEEDED, |_, state: &State| state.succeeded),
            Property::sometimes(MISSED, |_, state: &State| state.misses()),
            Property::sometimes(REFILLED, |_, state: &State| {
                let replica = |node: usize| matches!(state.nodes[node].role, Role::Replica { .. });
                (0..NODES).any(|node| state.returned[node] && replica(node))
            }),
        ]
    }
}

impl State {
    fn misses(&self) -> bool {
        let owner = self.nodes.iter().find(|node| node.is_well() && node.owner().is_some());
        self.answered && owner.and_then(Node::owner).is_some_and(|owner| owner.copy.write.is_none())
    }
}
