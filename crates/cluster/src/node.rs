//! What nodes are called.

use std::fmt;
use std::sync::Arc;

/// The most bytes of a node's name.
pub const MAX_NODE_ID: usize = 64;

/// How much of a bad name is shown: it may be of any length.
const SHOWN: usize = 40;

/// The name of a node: 1 to 64 bytes of `A-Z`, `a-z`, `0-9`, `_` and `-`, so that it can be part of a subject and a key
/// wherever it goes. Clones are cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// A text that can't be the name of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} can't be the name of a node or a cluster: choose one of 1 to {MAX_NODE_ID} letters, digits, _ and -")]
pub struct InvalidNodeId(String);

impl NodeId {
    /// The text as a name.
    ///
    /// # Errors
    ///
    /// [`InvalidNodeId`].
    pub fn new(text: &str) -> Result<Self, InvalidNodeId> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX_NODE_ID).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidNodeId(text.chars().take(SHOWN).collect()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        Self::new(text)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_of_1_to_64_letters_digits_and_dashes() {
        for good in ["a", "node-1", "Node_2", &"x".repeat(64)] {
            assert_eq!(NodeId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a.b", "a b", "*", ">", "ö", "a/b", &"x".repeat(65), &"x".repeat(1_000_000)] {
            let sentence = NodeId::new(bad).unwrap_err().to_string();
            assert!(sentence.contains("choose one of 1 to 64") && sentence.len() < 200, "{sentence}");
        }
    }
}
