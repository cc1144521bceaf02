//! What leaves a shard for another node.

use super::wire::MovedActor;
use evenfold_cluster::sharding::{Giving, Ownership, Part, Released};
use tokio::sync::oneshot;

/// How many bytes are handed over at once, about: so many shards are taken over at a time that all their parts fit into
/// one frame, unless a single actor has more.
const PART: usize = 12_000;

type Answer = oneshot::Sender<Released<Vec<MovedActor>>>;

/// The actors that have saved their states for another node, and the questions that wait until all have.
#[derive(Default)]
pub(super) struct Leaving {
    begun: bool,
    packed: Vec<MovedActor>,
    giving: Giving<MovedActor>,
    asked: Vec<(Part, Answer)>,
}

impl Leaving {
    /// Whether the actors of the shard are to leave.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// All actors are to leave.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Another node asks for a part. Answers at once if it gets none; else all actors are to leave.
    pub(super) fn ask(&mut self, ownership: &Ownership, shard: u32, part: Part, answer: Answer) {
        if let Some(none) = ownership.released(shard, part.holding) {
            // Whoever does not wait any more asks again, and is answered the same.
            let _nobody = answer.send(none);
            return;
        }
        self.begin();
        // It is asked again and again.
        self.asked.retain(|(_, answer)| !answer.is_closed());
        self.asked.push((part, answer));
    }

    pub(super) fn push(&mut self, moved: MovedActor) {
        self.packed.push(moved);
    }

    /// All have saved their states: answers who has asked. Gives how many actors have left with that.
    pub(super) fn answer(&mut self, ownership: &Ownership, shard: u32) -> usize {
        let Self { packed, giving, asked, .. } = self;
        let mut left = 0;
        for (part, answer) in asked.drain(..) {
            let released = giving.release(ownership, shard, part, |back| {
                let actors = packed.len();
                packed.extend(back);
                let next = next_part(packed);
                left += actors.saturating_sub(packed.len());
                next
            });
            let _nobody = answer.send(released);
        }
        left
    }

    /// The shard is to be this node's again: what has not left.
    pub(super) fn end(&mut self) -> Vec<MovedActor> {
        self.begun = false;
        // Their claims are over.
        self.asked.clear();
        let mut moved = self.giving.take_back();
        moved.append(&mut self.packed);
        moved
    }
}

fn next_part(packed: &mut Vec<MovedActor>) -> Vec<MovedActor> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    while bytes < PART
        && let Some(moved) = packed.pop()
    {
        // One that is large travels alone.
        if !part.is_empty() && bytes + moved.bytes() > PART {
            packed.push(moved);
            break;
        }
        bytes += moved.bytes();
        part.push(moved);
    }
    part
}
