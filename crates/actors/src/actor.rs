//! What an actor is.

use super::handover::Handover;
use super::messages::Messages;

/// An actor: the state behind one key. It is made when its key is first asked for something, and handles one message at
/// a time.
///
/// A message at which it panics ends it: whoever asked learns that, and the next message is handled by a new actor.
pub trait Actor: Sized + Send + 'static {
    /// Its messages, as a tuple of 1 to 8 types, for each of which it is [`Handle`](super::Handle): `(Increment,
    /// Read)`.
    type Messages: Messages<Self>;

    /// How its state comes to another node: [`Moves`](super::Moves) or [`Stored`](super::Stored).
    type Handover: Handover<Self>;

    /// Two nodes have had an actor for one key, because each had taken the other for dead: this one is to go on, with
    /// what the other one has done. By default what the other one has done is gone.
    fn merge(&mut self, other: Self) {
        drop(other);
    }
}
