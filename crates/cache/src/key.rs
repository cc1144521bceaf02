//! Keys: most are short enough to need no allocation of their own, neither in the map nor in the order of eviction.

use super::CacheError;
use super::options::MAX_KEY_BYTES;
use evenfold_groups::KeyHash;
use papaya::Equivalent;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// With its length and the tag 24 bytes.
const SHORT: usize = 22;

/// The key of an entry.
#[derive(Debug, Clone)]
pub(super) enum CacheKey {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Arc<[u8]>),
}

/// A key that is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a>(pub(super) &'a str);

impl CacheKey {
    /// # Errors
    ///
    /// A key that is empty or too long, or has a control character: such a key breaks logs, URLs and headers.
    pub(super) fn new(key: &str) -> Result<Self, CacheError> {
        if key.is_empty() {
            return Err(CacheError::KeyEmpty);
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(CacheError::KeyTooLong { bytes: key.len() });
        }
        if let Some(character) = key.chars().find(|character| character.is_control()) {
            return Err(CacheError::KeyNotAllowed { character });
        }
        Ok(match u8::try_from(key.len()) {
            Ok(len) if key.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..key.len()].copy_from_slice(key.as_bytes());
                Self::Short { len, bytes }
            }
            _ => Self::Long(key.as_bytes().into()),
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }

    /// How many bytes of its own it has on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(bytes) => bytes.len(),
        }
    }

    pub(super) fn hash(&self) -> KeyHash {
        KeyHash::of(self.bytes())
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for CacheKey {}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.bytes());
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_bytes());
    }
}

impl Equivalent<CacheKey> for Wanted<'_> {
    fn equivalent(&self, key: &CacheKey) -> bool {
        self.0.as_bytes() == key.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::BuildHasher;

    #[test]
    fn keys_have_1_to_512_bytes_and_no_control_characters() {
        assert_eq!(CacheKey::new(""), Err(CacheError::KeyEmpty));
        assert_eq!(CacheKey::new(&"é".repeat(257)), Err(CacheError::KeyTooLong { bytes: 514 }));
        for character in ['\0', '\n', '\u{7f}', '\u{9f}'] {
            assert_eq!(CacheKey::new(&format!("a{character}\n")), Err(CacheError::KeyNotAllowed { character }));
        }
        for fine in ["a", " ", "/", "é", &"é".repeat(256), &"k".repeat(SHORT), &"k".repeat(SHORT + 1)] {
            assert_eq!(CacheKey::new(fine).map(|key| key.bytes().to_vec()), Ok(fine.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_key_takes_no_more_room_than_a_string() {
        assert_eq!(size_of::<CacheKey>(), 24);
    }

    proptest! {
        #[test]
        fn a_key_is_found_by_its_text_and_by_no_other(one in "[a-c]{1,40}", other in "[a-c]{1,40}") {
            let key = CacheKey::new(&one).unwrap();
            let hasher = std::hash::RandomState::new();
            prop_assert_eq!(hasher.hash_one(Wanted(&one)), hasher.hash_one(&key));
            prop_assert_eq!(Wanted(&other).equivalent(&key), one == other);
            prop_assert_eq!(CacheKey::new(&other).unwrap() == key, one == other);
        }
    }
}
