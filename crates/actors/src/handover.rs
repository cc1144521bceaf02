//! How the state of an actor comes to another node.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of a state that moves, encoded: as many as certainly fit into one frame between nodes.
pub const MAX_STATE: usize = 256 * 1_024;

/// Why a state can't be loaded or saved.
pub type HandoverError = Box<dyn std::error::Error + Send + Sync>;

/// How the state of an actor comes to another node, and what becomes of it when the actor has been idle:
/// [`Moves`] and [`Stored`] are what there is.
pub trait Handover<A>: Send + 'static {
    /// Whether an idle actor can make room for others: its state is saved where it can be loaded from.
    #[doc(hidden)]
    const PASSIVATES: bool;

    #[doc(hidden)]
    fn load(actor: &mut A, key: &str) -> impl Future<Output = Result<(), HandoverError>> + Send;

    /// What is to move, if anything is.
    #[doc(hidden)]
    fn save(actor: &mut A, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, HandoverError>> + Send;

    /// The actor that has moved.
    #[doc(hidden)]
    fn restore(state: &[u8]) -> Result<A, HandoverError>;
}

/// The state lives in memory, and moves to the node that owns the actor next, as serde encodes it. Idle actors stay in
/// memory: at the bound, new ones are refused. What a node that is killed has is gone.
#[derive(Debug, Clone, Copy)]
pub struct Moves;

impl<A: Serialize + DeserializeOwned + Send + 'static> Handover<A> for Moves {
    const PASSIVATES: bool = false;

    async fn load(_: &mut A, _: &str) -> Result<(), HandoverError> {
        Ok(())
    }

    async fn save(actor: &mut A, _: &str) -> Result<Option<Vec<u8>>, HandoverError> {
        let state = postcard::to_stdvec(actor)?;
        if state.len() > MAX_STATE {
            return Err(format!("it has {} bytes, and {MAX_STATE} is the most that can move", state.len()).into());
        }
        Ok(Some(state))
    }

    fn restore(state: &[u8]) -> Result<A, HandoverError> {
        Ok(postcard::from_bytes(state)?)
    }
}

/// The state lives elsewhere, in a database for one: it is [loaded](Store::load) before the first message, and
/// [saved](Store::save) before the actor is handed over, makes room for others after it has been idle longest, or ends
/// with its node. What was not saved is gone with a node that is killed: save in the handler what must not be.
#[derive(Debug, Clone, Copy)]
pub struct Stored;

/// Where the state of [`Stored`] actors lives.
pub trait Store: Send {
    /// Loads the state of a key into an actor that was just made.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong: the message is not handled then, and the next one tries again.
    fn load(&mut self, key: &str) -> impl Future<Output = Result<(), HandoverError>> + Send;

    /// Saves the state. Another node may load it right after that.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong: the actor stays where it is, and it is tried again when its place is wanted once more.
    fn save(&mut self, key: &str) -> impl Future<Output = Result<(), HandoverError>> + Send;
}

impl<A: Store + 'static> Handover<A> for Stored {
    const PASSIVATES: bool = true;

    fn load(actor: &mut A, key: &str) -> impl Future<Output = Result<(), HandoverError>> + Send {
        Store::load(actor, key)
    }

    async fn save(actor: &mut A, key: &str) -> Result<Option<Vec<u8>>, HandoverError> {
        Store::save(actor, key).await?;
        Ok(None)
    }

    fn restore(_: &[u8]) -> Result<A, HandoverError> {
        Err("the other node runs another version, in which it moves".into())
    }
}
