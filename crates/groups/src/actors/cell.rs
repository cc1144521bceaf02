//! What of a shard outlives its actor: the mailbox, the meters, and, between two lives, the state.

use super::mailbox::{Envelope, Mailbox};
use super::meters::Meters;
use super::options::{AfterPanic, GroupOptions};
use super::shard::Shard;
use std::collections::VecDeque;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub(super) struct Cell<S: Shard> {
    pub(super) group: String,
    pub(super) shard: u32,
    pub(super) after_panic: AfterPanic,
    pub(super) mailbox: Mailbox<S>,
    pub(super) meters: Meters,
    /// The body is in here while no actor has it: before the first one, between two, and after the last.
    pub(super) slot: Mutex<Slot<S>>,
    /// Cancelled once the last actor has put the body back. The actor's own end would not do: each life has one.
    pub(super) ended: CancellationToken,
}

pub(super) struct Slot<S: Shard> {
    pub(super) body: Option<Body<S>>,
    /// Whether it is to recover first.
    pub(super) broken: bool,
    /// How often it has tried to in vain.
    pub(super) tries: u32,
}

/// What an actor takes over from the one before it.
pub(super) struct Body<S: Shard> {
    pub(super) state: S,
    /// Taken out of the mailbox, and not handled yet.
    pub(super) hand: VecDeque<Envelope<S>>,
}

impl<S: Shard> Cell<S> {
    pub(super) fn new(options: &GroupOptions, shard: u32, state: S) -> Self {
        let body = Some(Body { state, hand: VecDeque::new() });
        Self {
            group: options.id.clone(),
            shard,
            after_panic: options.after_panic,
            mailbox: Mailbox::new(options.mailbox),
            meters: Meters::default(),
            slot: Mutex::new(Slot { body, broken: false, tries: 0 }),
            ended: CancellationToken::new(),
        }
    }
}
