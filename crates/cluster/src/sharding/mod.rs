//! Which node owns which shard, and how shards are handed over: for any package that divides shards among nodes.
//!
//! A [`View`](super::View) says who should own a shard; views differ for some milliseconds, and two nodes may each see
//! themselves. So a node that should own a shard claims it: it asks all nodes that it knows, and owns the shard once
//! each has answered that it neither owns nor claims it, and has handed over what it has of it. At most one node at a
//! time owns a shard, except where one was taken for dead that lives: see [`OwnedShard::may_change`].
//!
//! What a package does:
//!
//! - It makes an [`Ownership`] before the node joins, with which its shards and whatever answers other nodes share what
//!   this node owns. Whoever handles a message of a shard looks at [`Ownership::owns`] in the order of the shard's
//!   messages: what is changed after the shard was handed over would be lost.
//! - It has two questions for other nodes, and answers them: the claim of some shards with
//!   [`Ownership::answer_claim`], and the release of a [`Part`] in the shard itself. One that has anything to hand over
//!   uses [`Giving`]; one with everything in a log uses [`Ownership::released`] and [`Ownership::handed_off`].
//! - It implements [`Handover`], by which this node asks those questions, and gives its own shards what was handed
//!   over; and has an [`Acquiring`] run, from when the node has joined until it ends.
//! - A node that leaves [announces](super::Cluster::announce_leaving) it, [hands its shards
//!   over](Ownership::hand_off), and [leaves](super::Cluster::leave).

mod acquiring;
mod claims;
mod giving;
mod handover;
mod leaving;
mod owned_shard;
mod ownership;
mod readiness;
mod taking;
mod waited_for;

pub use acquiring::Acquiring;
pub use giving::Giving;
pub use handover::{Claimed, Handover, Part, Released};
pub use owned_shard::OwnedShard;
pub use ownership::Ownership;
