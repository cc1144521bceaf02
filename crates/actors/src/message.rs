//! Messages, and who handles them.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What actors are asked, and what they answer. Both travel between nodes.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// What is answered.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// What it is called between nodes and in figures: by default the type's name without its path. Two messages of one
    /// actor need two names, and the nodes of a cluster the same ones: a type that is renamed, or is generic, has its
    /// name written down here.
    #[must_use]
    fn name() -> &'static str {
        let path = std::any::type_name::<Self>();
        path.rsplit("::").next().unwrap_or(path)
    }
}

/// An actor that can handle a message of this type.
pub trait Handle<M: Message>: Sized + Send + 'static {
    /// Handles a message. The next one for this actor waits until this has ended; those for others do not.
    ///
    /// # Cancel safety
    ///
    /// It is not dropped, also when nobody waits for the reply any more, unless the process ends.
    fn handle(&mut self, message: M) -> impl Future<Output = M::Reply> + Send;
}
