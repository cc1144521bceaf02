//! The secret that the nodes of a cluster share.

use std::fmt;
use uuid::Uuid;

/// The fewest bytes of a secret.
pub const MIN_SECRET: usize = 16;

/// The key where nodes have no secret. Everybody knows it: it keeps nobody out, and there is one way for a message to
/// go.
const PUBLIC: &[u8] = b"evenfold without a secret";

/// What the nodes of a cluster know and nobody else: at least 16 bytes ([`MIN_SECRET`]), the same on every node. It is
/// shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(Box<[u8]>);

/// A text that is too short for a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cluster's secret has at least {MIN_SECRET} bytes, and this one has {0}: make one with `openssl rand -hex 32`"
)]
pub struct InvalidSecret(usize);

impl ClusterSecret {
    /// The text as a secret, without the white space around it.
    ///
    /// # Errors
    ///
    /// [`InvalidSecret`].
    pub fn new(text: &str) -> Result<Self, InvalidSecret> {
        let text = text.trim().as_bytes();
        if text.len() < MIN_SECRET { Err(InvalidSecret(text.len())) } else { Ok(Self(text.into())) }
    }

    /// One that nobody can guess, for nodes of one process.
    #[must_use]
    pub fn random() -> Self {
        Self([Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat().into())
    }

    pub(crate) fn public() -> Self {
        Self(PUBLIC.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_16_bytes_and_is_not_shown() {
        assert_eq!(ClusterSecret::new(" 0123456789abcde\n"), Err(InvalidSecret(15)));
        let secret = ClusterSecret::new("0123456789abcdef\n").unwrap();
        assert_eq!(secret, ClusterSecret::new("0123456789abcdef").unwrap(), "a file ends with a line feed");
        assert!(!format!("{secret:?}").contains("0123"));
        assert!(InvalidSecret(3).to_string().contains("openssl rand -hex 32"));
    }
}
