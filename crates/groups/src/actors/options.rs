//! How an actor group runs.

/// The most shards that a group may have.
pub const MAX_SHARDS: u32 = 1024;

/// The most messages that may wait in a shard's mailbox.
pub const MAX_MAILBOX: usize = 1 << 20;

/// How an actor group runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOptions {
    /// What it is called in logs and reports.
    pub id: String,
    /// How many shards: 1 to [`MAX_SHARDS`]; by default as many as there are processors.
    pub shards: u32,
    /// How many messages may wait in a shard's mailbox, those that its actor has taken out together included: 1 to
    /// [`MAX_MAILBOX`], by default 1,024.
    pub mailbox: usize,
    /// What happens to the messages in a mailbox when its shard panics.
    pub after_panic: AfterPanic,
}

impl GroupOptions {
    /// The same with this [`id`](Self::id).
    #[must_use]
    pub fn id(self, id: String) -> Self {
        Self { id, ..self }
    }

    /// The same with this [`shards`](Self::shards).
    #[must_use]
    pub fn shards(self, shards: u32) -> Self {
        Self { shards, ..self }
    }

    /// The same with this [`mailbox`](Self::mailbox).
    #[must_use]
    pub fn mailbox(self, mailbox: usize) -> Self {
        Self { mailbox, ..self }
    }

    /// The same with this [`after_panic`](Self::after_panic).
    #[must_use]
    pub fn after_panic(self, after_panic: AfterPanic) -> Self {
        Self { after_panic, ..self }
    }
}

impl Default for GroupOptions {
    fn default() -> Self {
        let processors =
            std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(MAX_SHARDS));
        Self {
            id: "actors".to_owned(),
            shards: processors.min(MAX_SHARDS),
            mailbox: 1024,
            after_panic: AfterPanic::default(),
        }
    }
}

/// What happens to the messages that wait for a shard which panics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterPanic {
    /// They are handled once the shard has recovered: only the message at which it panicked is gone.
    #[default]
    Keep,
    /// They are dropped and counted, and whoever asked gets an error.
    Drop,
}

/// A number that a group can't have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupOptionsError {
    /// The number of shards is out of its limits.
    #[error("an actor group can't have {0} shards: give it 1 to {MAX_SHARDS}")]
    Shards(u32),
    /// The size of the mailboxes is out of its limits.
    #[error("the mailbox of a shard can't hold {0} messages: give it 1 to {MAX_MAILBOX}")]
    Mailbox(usize),
}

impl GroupOptions {
    pub(super) fn check(&self) -> Result<(), GroupOptionsError> {
        check_shards(self.shards)?;
        if (1..=MAX_MAILBOX).contains(&self.mailbox) { Ok(()) } else { Err(GroupOptionsError::Mailbox(self.mailbox)) }
    }
}

pub(super) fn check_shards(shards: u32) -> Result<std::num::NonZeroU32, GroupOptionsError> {
    let refused = GroupOptionsError::Shards(shards);
    std::num::NonZeroU32::new(shards).filter(|shards| shards.get() <= MAX_SHARDS).ok_or(refused)
}
