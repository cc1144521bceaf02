//! What the steps of nodes lead to. None where one is not possible.

use super::Mutant;
use super::cluster::{Action, Cluster, State};
use super::node::{Answer, Copy, NODES, Node, Owner, Pending, Role};

impl Cluster {
    pub fn step(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Write(own) => self.write(state, own),
            Action::Deliver(own, other) => self.deliver(state, own, other),
            Action::Acknowledge(own, other) => self.acknowledge(state, own, other),
            Action::Answer(own) => self.answer(state, own),
            Action::Fill(own, other) => self.fill(state, own, other),
            Action::Filled(own, other) => self.filled(state, own, other),
            Action::Finish(own, other) => finish(state, own, other),
            Action::Remove(own, other) => remove(state, own, other),
            Action::DropOld(own, other) => self.drop_old(state, own, other),
            Action::AnswerClaim(own, other) => answer_claim(state, own, other),
            Action::Own(own) => self.own(state, own),
            Action::Claim(own) => {
                claim(&mut state.nodes[own]);
                Some(())
            }
            Action::Kill(own) | Action::Cut(own) => {
                state.faults -= 1;
                fail(&mut state.nodes[own], action);
                Some(())
            }
            Action::Lapse(own) | Action::Expel(own) => {
                fail(&mut state.nodes[own], action);
                Some(())
            }
            Action::Return(own) => {
                self.come_back(state, own);
                Some(())
            }
        }
    }

    fn write(&self, state: &mut State, own: usize) -> Option<()> {
        let node = &mut state.nodes[own];
        let certain = node.certain || self.mutant == Some(Mutant::UncertainAnswers);
        let Role::Owner(owner) = &mut node.role else { return None };
        if state.writes == 0 || owner.pending.is_some() || !certain {
            return None;
        }
        state.writes -= 1;
        let before = if owner.copy.version.0 == owner.epoch { owner.copy.version.1 } else { 0 };
        let (version, write) = ((owner.epoch, before + 1), Some(self.writes - state.writes));
        state.given.push(version);
        owner.pending = Some(Pending { copy: Copy { version, write }, acknowledged: [false; NODES] });
        Some(())
    }

    /// It may have been sent before the one of the two was cut off.
    fn deliver(&self, state: &mut State, own: usize, other: usize) -> Option<()> {
        let owner = state.nodes[own].owner()?;
        let node = &mut state.nodes[other];
        let earlier = self.mutant == Some(Mutant::EarlierOwnerTaken);
        let sent = owner.pending?.copy;
        match &mut node.role {
            Role::Replica { epoch, copy }
                if node.up && (*epoch == owner.epoch && node.promised <= owner.epoch || earlier) =>
            {
                *copy = sent;
                Some(())
            }
            _ => None,
        }
    }

    /// Only one that is complete has what comes before.
    fn acknowledge(&self, state: &mut State, own: usize, other: usize) -> Option<()> {
        let incomplete = self.mutant == Some(Mutant::IncompleteAcknowledges);
        let (node, owner) = (state.nodes[other], state.nodes[own].owner()?);
        let filling = node.is_filled_by(&owner);
        let Role::Owner(owner) = &mut state.nodes[own].role else { return None };
        let pending = owner.pending.as_mut()?;
        let has = node.complete() == Some(pending.copy) || incomplete && filling && node.up;
        if !has || pending.acknowledged[other] {
            return None;
        }
        pending.acknowledged[other] = true;
        Some(())
    }

    fn answer(&self, state: &mut State, own: usize) -> Option<()> {
        let certain = state.nodes[own].certain || self.mutant == Some(Mutant::UncertainAnswers);
        let mut owner = state.nodes[own].owner()?;
        let pending = owner.pending?;
        let early = self.mutant == Some(Mutant::AnsweredBeforeReplicas);
        let all = (0..NODES).all(|other| !owner.replicas[other] || pending.acknowledged[other]);
        let old = owner.old.contains(&true) && self.mutant != Some(Mutant::OldCopiesLeft);
        if !certain || old || !all && !early {
            return None;
        }
        state.succeeded |= owner.copy.write.is_some() && owner.copy.version.0 < owner.epoch;
        (owner.copy, owner.pending) = (pending.copy, None);
        state.nodes[own].role = Role::Owner(owner);
        state.answered = true;
        Some(())
    }

    fn fill(&self, state: &mut State, own: usize, other: usize) -> Option<()> {
        let mut owner = state.nodes[own].owner()?;
        let filled = |node: usize| state.nodes[node].is_filled_by(&owner);
        let has = (0..NODES).filter(|node| owner.replicas[*node] || filled(*node)).count();
        let (asks, node) = (state.nodes[own].is_well(), &mut state.nodes[other]);
        if !asks || !node.is_well() || owner.replicas[other] || has >= self.replicas {
            return None;
        }
        if matches!(node.role, Role::Claiming { .. } | Role::Owner(_)) || node.promised > owner.epoch {
            return None;
        }
        (node.role, node.promised) = (Role::Filling { epoch: owner.epoch }, owner.epoch);
        // It has nothing of before any more.
        owner.old[other] = false;
        owner.replicas[other] = false;
        // That it was filled may not have come to the owner, which begins again: what it had is gone with that.
        if let Some(pending) = &mut owner.pending {
            pending.acknowledged[other] &= self.mutant == Some(Mutant::AcknowledgedBefore);
        }
        state.nodes[own].role = Role::Owner(owner);
        Some(())
    }

    /// The last of what the owner had has arrived. What it sends afterwards comes after that.
    fn filled(&self, state: &mut State, own: usize, other: usize) -> Option<()> {
        let owner = state.nodes[own].owner()?;
        let (uncounted, node) = (self.mutant == Some(Mutant::CountedTooLate), &mut state.nodes[other]);
        let earlier = self.mutant == Some(Mutant::EarlierOwnerFills);
        match node.role {
            Role::Filling { epoch }
                if epoch == owner.epoch
                    && (node.promised <= epoch || earlier)
                    && node.up
                    && (owner.replicas[other] || uncounted) =>
            {
                node.role = Role::Replica { epoch, copy: owner.copy };
                Some(())
            }
            _ => None,
        }
    }

    fn own(&self, state: &mut State, own: usize) -> Option<()> {
        let Role::Claiming { epoch, own: has, answers } = state.nodes[own].role else { return None };
        if (0..NODES).any(|other| other != own && !state.nodes[other].expelled && answers[other] == Answer::NotYet) {
            return None;
        }
        let copies = || answers.iter().map(|answer| answer.copy()).chain([has]).flatten();
        let any = self.mutant == Some(Mutant::AnyCopyTaken);
        let best = if any { copies().min() } else { copies().max() };
        let epoch = match best {
            Some(best) if self.mutant == Some(Mutant::EpochKept) => best.version.0,
            _ => epoch,
        };
        let copy = best.unwrap_or(Copy { version: (epoch, 0), write: None });
        let old = answers.map(|answer| answer.copy().is_some());
        let owner = Owner { epoch, copy, pending: None, replicas: [false; NODES], old };
        state.nodes[own].role = Role::Owner(owner);
        Some(())
    }

    /// One that is dead has dropped it before it is known again. One that has promised a later epoch does not do what
    /// an earlier owner says.
    fn drop_old(&self, state: &mut State, own: usize, other: usize) -> Option<()> {
        let mut owner = state.nodes[own].owner()?;
        let node = &mut state.nodes[other];
        let later = node.promised > owner.epoch && self.mutant != Some(Mutant::EarlierOwnerDrops);
        if !owner.old[other] || !node.expelled && (!node.is_well() || later) {
            return None;
        }
        if !node.expelled && !node.is_replica_of(&owner) {
            node.role = Role::Nothing;
        }
        owner.old[other] = false;
        state.nodes[own].role = Role::Owner(owner);
        Some(())
    }

    /// It begins anew, and learns the latest epoch from all that are there.
    fn come_back(&self, state: &mut State, own: usize) {
        let promised = state.nodes.iter().filter(|node| node.is_well()).map(|node| node.promised).max();
        let node = state.nodes[own];
        state.returned[own] |= node.expelled;
        let role = if self.mutant == Some(Mutant::KeptAfterLapse) { node.role } else { Role::Nothing };
        let promised = promised.unwrap_or_default().max(node.promised);
        state.nodes[own] = Node { promised, role, ..Node::new() };
    }
}

/// The owner sends the last of what it has, and counts on the replica from then on: that may be complete already.
fn finish(state: &mut State, own: usize, other: usize) -> Option<()> {
    let mut owner = state.nodes[own].owner()?;
    let node = &state.nodes[other];
    let of_it = node.is_filled_by(&owner) || node.is_replica_of(&owner);
    if !state.nodes[own].is_well() || owner.replicas[other] || !of_it {
        return None;
    }
    owner.replicas[other] = true;
    state.nodes[own].role = Role::Owner(owner);
    Some(())
}

fn remove(state: &mut State, own: usize, other: usize) -> Option<()> {
    let mut owner = state.nodes[own].owner()?;
    let node = &state.nodes[other];
    let gone = node.expelled || node.is_well() && !node.is_replica_of(&owner) && !node.is_filled_by(&owner);
    if !state.nodes[own].is_well() || !owner.replicas[other] || !gone {
        return None;
    }
    owner.replicas[other] = false;
    state.nodes[own].role = Role::Owner(owner);
    Some(())
}

fn fail(node: &mut Node, action: Action) {
    match action {
        Action::Kill(_) => (node.up, node.role) = (false, Role::Nothing),
        Action::Cut(_) => node.cut = true,
        Action::Lapse(_) => node.certain = false,
        Action::Expel(_) => node.expelled = true,
        _ => unreachable!("{action:?} is no failure"),
    }
}

fn claim(node: &mut Node) {
    let own = node.complete();
    node.promised += 1;
    node.role = Role::Claiming { epoch: node.promised, own, answers: [Answer::NotYet; NODES] };
}

/// One that has promised a later epoch has the claim begin anew above that.
fn answer_claim(state: &mut State, own: usize, other: usize) -> Option<()> {
    let node = state.nodes[other];
    let claiming = &mut state.nodes[own];
    let Role::Claiming { epoch, answers, .. } = &mut claiming.role else { return None };
    if !node.is_well()
        || answers[other] != Answer::NotYet
        || matches!(node.role, Role::Owner(_) | Role::Claiming { .. })
    {
        return None;
    }
    if node.promised >= *epoch {
        (*epoch, *answers) = (node.promised + 1, [Answer::NotYet; NODES]);
        claiming.promised = *epoch;
        return Some(());
    }
    answers[other] = Answer::Promised(node.complete());
    let promised = *epoch;
    state.nodes[other].promised = promised;
    Some(())
}
