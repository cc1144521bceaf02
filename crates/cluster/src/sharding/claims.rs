//! What the other nodes have answered about the shards that this one claims.

use super::handover::Claimed;
use crate::{Known, NodeId};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The claims of one node.
#[derive(Debug, Default)]
pub(super) struct Claims {
    shards: BTreeMap<u32, ShardClaim>,
    /// How many there have been: an answer counts for the claim for which it was asked.
    begun: u64,
    /// How many there had been when a node was asked about all of them that it has answered.
    answered: BTreeMap<NodeId, u64>,
}

/// The claim of a shard.
#[derive(Debug)]
pub(super) struct ShardClaim {
    number: u64,
    pub(super) since: Instant,
    /// Those that neither own nor claim the shard, and the numbers of what they have of it.
    answers: BTreeMap<NodeId, Option<u64>>,
}

/// What one node is asked at once: the shards, and the numbers of their claims.
#[derive(Debug, Clone)]
pub(super) struct ClaimQuestion {
    shards: Vec<(u32, u64)>,
    begun: u64,
}

impl ClaimQuestion {
    pub(super) fn shards(&self) -> Vec<u32> {
        self.shards.iter().map(|(shard, _)| *shard).collect()
    }
}

impl Claims {
    pub(super) fn begin(&mut self, shard: u32) {
        self.begun += 1;
        let claim = ShardClaim { number: self.begun, since: Instant::now(), answers: BTreeMap::new() };
        self.shards.insert(shard, claim);
    }

    /// Drops one; whether it was there.
    pub(super) fn drop(&mut self, shard: u32) -> bool {
        self.shards.remove(&shard).is_some()
    }

    pub(super) fn drop_all(&mut self) {
        self.shards.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// What is to be asked of a node; none if that is nothing.
    pub(super) fn to_ask(&self, node: &NodeId) -> Option<ClaimQuestion> {
        if self.answered.get(node) == Some(&self.begun) {
            return None;
        }
        let unanswered = self.shards.iter().filter(|(_, claim)| !claim.answers.contains_key(node));
        let shards: Vec<_> = unanswered.map(|(shard, claim)| (*shard, claim.number)).collect();
        (!shards.is_empty()).then_some(ClaimQuestion { shards, begun: self.begun })
    }

    /// Notes what a node has answered; whether that was all that was to be known, and whether it was anything.
    pub(super) fn note(&mut self, node: &NodeId, asked: &ClaimQuestion, answers: &[Claimed]) -> (bool, bool) {
        let (mut all, mut any) = (answers.len() == asked.shards.len(), false);
        for ((shard, number), answer) in asked.shards.iter().zip(answers) {
            let holding = match answer {
                Claimed::Free => None,
                Claimed::Holds(number) => Some(*number),
                Claimed::NotYet => {
                    all = false;
                    continue;
                }
            };
            any = true;
            if let Some(claim) = self.shards.get_mut(shard).filter(|claim| claim.number == *number) {
                claim.answers.insert(node.clone(), holding);
            }
        }
        if all {
            self.answered.insert(node.clone(), asked.begun);
        }
        (all, any)
    }

    /// Others than these are asked no more.
    pub(super) fn retain(&mut self, known: &Known) {
        self.answered.retain(|node, _| known.contains(node));
    }

    /// The shards about which all of these nodes have answered, and those that are complete without: as `also` decides.
    pub(super) fn complete(&self, known: &Known, also: impl Fn(&ShardClaim) -> bool) -> Vec<u32> {
        let nodes = known.nodes().count();
        // The first condition is for speed alone: 1,024 claims and 64 nodes, after every answer.
        let answered = |claim: &ShardClaim| {
            claim.answers.len() >= nodes && known.nodes().all(|(node, _)| claim.answers.contains_key(node))
        };
        let complete = self.shards.iter().filter(|(_, claim)| answered(claim) || also(claim));
        complete.map(|(shard, _)| *shard).collect()
    }

    /// Ends a claim that is complete: who has something of the shard, and under which number.
    pub(super) fn end(&mut self, shard: u32) -> Vec<(NodeId, u64)> {
        let answers = self.shards.remove(&shard).map(|claim| claim.answers).unwrap_or_default();
        answers.into_iter().filter_map(|(node, holding)| Some((node, holding?))).collect()
    }

    /// Of these nodes those that have not answered about a shard.
    pub(super) fn unanswered(&self, shard: u32, known: &Known) -> Vec<NodeId> {
        let Some(claim) = self.shards.get(&shard) else { return Vec::new() };
        known.nodes().map(|(node, _)| node).filter(|node| !claim.answers.contains_key(node)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_for_the_claim_for_which_it_was_asked() {
        let (mut claims, node) = (Claims::default(), NodeId::new("a").unwrap());
        claims.begin(3);
        let before = claims.to_ask(&node).unwrap();
        // The view has changed twice before the answer is here; the node may have claimed the shard itself in between.
        assert!(claims.drop(3));
        claims.begin(3);
        assert_eq!(claims.note(&node, &before, &[Claimed::Free]), (true, true));
        let asked = claims.to_ask(&node).expect("it is asked again");
        assert_eq!(asked.shards(), [3]);
        claims.note(&node, &asked, &[Claimed::NotYet]);
        assert!(claims.to_ask(&node).is_some(), "it is asked until it answers");
        claims.note(&node, &asked, &[Claimed::Holds(7)]);
        assert!(claims.to_ask(&node).is_none());
        assert_eq!(claims.end(3), [(node, 7)]);
    }

    #[test]
    fn an_answer_that_is_too_short_or_too_long_makes_no_claim_complete() {
        let (mut claims, node) = (Claims::default(), NodeId::new("a").unwrap());
        claims.begin(1);
        claims.begin(2);
        let asked = claims.to_ask(&node).unwrap();
        for answers in [&[][..], &[Claimed::Free], &[Claimed::Free; 3]] {
            assert!(!claims.note(&node, &asked, answers).0);
        }
    }
}
