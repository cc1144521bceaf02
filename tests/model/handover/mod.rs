//! How a shard of the counter cluster changes hands: who may count, and where the counters are meanwhile.
//!
//! One shard, a few nodes that join and leave in any order, heartbeats that are seen late, and answers that are lost.
//! The nodes are modelled by hand ([`node`]): the production code is in `crates/cluster`, `greeting` (who knows whom)
//! and `sharding` (claims and parts). There, a question that comes late concerns nothing, as it names what it is about
//! by numbers; here it is dropped. What must hold: whoever counts has everything that was counted, and whatever has
//! happened, it can end well.

mod cases;
mod cluster;
mod node;
mod reach;
mod steps;

/// A mistake that the handover does not make, and the model must not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A node looks who is there, and announces itself afterwards.
    ListedBeforeNamed,
    /// A node that joins does not wait until the others know it.
    NoGreeting,
    /// Only those are asked for a shard whom the view calls members.
    OnlyMembersAsked,
    /// One that is claiming a shard itself has nothing against another claim.
    FreeWhileClaiming,
    /// A claim goes by answers that were given to an earlier one.
    AnswersKept,
    /// A part is forgotten as soon as it is sent.
    ForgottenWhenSent,
    /// A taker whose view has changed leaves what it has not got an answer about.
    TakingAbandoned,
    /// A question is answered also after a later one of the same node.
    Overtaken,
    /// Any claim that gets the counters may have them, also while another one is being given them.
    PromisedTwice,
    /// A node leaves when its shard is to be taken over, instead of when it was.
    GoneTooEarly,
    /// A node that leaves goes on with a claim, and leaves with what it takes over by that.
    ClaimsWhileLeaving,
}
