//! What an actor of a group does with its messages.

use crate::KeyHash;

/// The state of one shard, which one actor owns: it handles one message at a time.
pub trait Shard: Send + 'static {
    /// What is sent to it.
    type Message: Send + 'static;
    /// What it answers; `()` where nothing is asked.
    type Reply: Send + 'static;

    /// Handles a message. The next one waits until this has ended.
    fn handle(&mut self, message: Self::Message) -> impl Future<Output = Self::Reply> + Send;

    /// Handles a message in the task of whoever [asks](super::ActorGroup::ask), where the actor rests and nothing waits
    /// for it: waking the actor and being woken by it costs several times as much as handling a small message. Gives
    /// the message back where handling it would have to wait for something or take long; so it does by default.
    ///
    /// # Errors
    ///
    /// The message, which is then [handled](Self::handle) by the actor.
    fn handle_now(&mut self, message: Self::Message) -> Result<Self::Reply, Self::Message> {
        Err(message)
    }

    /// Puts the state in order after a message at which it panicked, half-way as it may be. The message is gone,
    /// and the next is handled once this has ended; a panic in here is followed by another try, after a pause.
    ///
    /// There is no default: to go on with the state as it is, to load it again, or to begin anew are all right
    /// somewhere and wrong elsewhere.
    fn recover(&mut self) -> impl Future<Output = ()> + Send;
}

/// The shards of a group that can be [resized](super::ActorGroup::resize): what they know about a key can move.
pub trait Resizable: Shard {
    /// What a shard knows about one key, on its way to another shard.
    type Item: Send + 'static;

    /// Gives away what it knows about the keys that leave it, because the number of shards has changed.
    fn give(&mut self, leaves: &(dyn Fn(KeyHash) -> bool + Send + Sync)) -> Vec<(KeyHash, Self::Item)>;

    /// Takes what other shards have known about keys that are now its own, before any message about them.
    fn take(&mut self, items: Vec<(KeyHash, Self::Item)>);
}
