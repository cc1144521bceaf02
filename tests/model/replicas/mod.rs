//! How a shard in memory has replicas: what a cache of several nodes is to promise about answered writes, whatever is
//! killed, stopped or cut off.
//!
//! One shard with one key, and three nodes. Who may own the shard is decided as in [`handover`](super::handover), and
//! is left out: at most one node claims at a time, where no node that is known owns it. What is modelled is what comes
//! with replicas:
//!
//! - A write is answered when all replicas that the owner counts on have it, and the node is certain then that the
//!   others take it for alive. It is shown when it is answered.
//! - A replica is counted on from when the last of what it has to be filled with is sent, until it is known to be dead,
//!   or says that it is no replica of this owner any more. Later would not do: it may be complete without the owner
//!   knowing that, and what is answered without it would be lost where it is taken for the newest copy. It
//!   acknowledges nothing before it is complete, and what it has acknowledged is void when it is filled anew.
//! - A version is an epoch and a count below it. A claim names an epoch above all that anybody has promised, and
//!   whoever answers it promises that epoch, and takes nothing from an owner of an earlier one.
//! - The new owner has the newest of the copies that are complete. It answers no write before whoever gave it another
//!   copy has dropped it or has become a replica: an old copy must not be found again by whoever comes next.
//! - A node that may have been taken for dead drops what it has before it is known again.
//!
//! What must hold: no owner shows anything older than what somebody has seen, no version is given to two writes, and
//! no two nodes answer at a time. Where more is killed than there are replicas, what is lost is a miss, which is newer
//! than what was there. Where not, nothing that was answered is lost.

mod cases;
mod cluster;
mod node;
mod steps;

/// A mistake that the protocol does not make, and the model must not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A write is answered before the replicas have it.
    AnsweredBeforeReplicas,
    /// A node answers that may have been taken for dead.
    UncertainAnswers,
    /// A replica takes what an earlier owner has sent.
    EarlierOwnerTaken,
    /// A replica is filled by an earlier owner.
    EarlierOwnerFills,
    /// A node drops what it has when an earlier owner asks for it.
    EarlierOwnerDrops,
    /// Whoever takes a shard over has the epoch of the owner before.
    EpochKept,
    /// A takeover takes any copy that is complete.
    AnyCopyTaken,
    /// Writes are answered while another node has an old copy.
    OldCopiesLeft,
    /// A node that may have been taken for dead keeps what it has.
    KeptAfterLapse,
    /// A replica is counted on from when its answer that it is complete has come.
    CountedTooLate,
    /// A replica that is being filled acknowledges writes.
    IncompleteAcknowledges,
    /// What a replica has acknowledged counts also when it is filled anew.
    AcknowledgedBefore,
}
