//! Keys of actors, and of requests that are to be handled once.

use uuid::Uuid;

/// The most bytes of an actor's key.
pub const MAX_KEY: usize = 256;

/// Whether an actor can have this key.
pub(super) fn is_key(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.len())
}

/// What makes requests one: those about one actor that have the same key are handled once, and have the same reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct RequestKey(u128);

impl RequestKey {
    /// One that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Uuid::new_v4().into()
    }
}

impl From<Uuid> for RequestKey {
    fn from(key: Uuid) -> Self {
        Self(key.as_u128())
    }
}

impl From<u128> for RequestKey {
    fn from(key: u128) -> Self {
        Self(key)
    }
}
