//! A value that was found and is not unpacked yet.

use super::packed::Kept;
use super::{CachedValue, Value};
use std::time::Duration;

/// A value that was found, as it is kept: it shares its bytes with the cache, and is kept as long as this is, also when
/// it has been evicted since. Whoever has to know what it takes up in memory can look before it is
/// [opened](Self::open).
#[derive(Debug, Clone)]
pub struct Hit {
    pub(super) kept: Kept,
    pub(super) version: u64,
    pub(super) expires_in: Option<Duration>,
}

impl Hit {
    /// The version with which it was put.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The value, if it is kept as it came, and opening it takes no memory.
    #[must_use]
    pub fn plain(&self) -> Option<&Value> {
        match &self.kept {
            Kept::Plain(value) => Some(value),
            Kept::Packed(..) => None,
        }
    }

    /// How many bytes the value has, as it is [counted](Value::len), whether it is compressed or not.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.kept.value_bytes()
    }

    /// How many bytes of memory opening it takes at most: none for a value that is not compressed, and for a compressed
    /// one its bytes twice, since it is unpacked and then copied into an allocation of its own.
    #[must_use]
    pub fn opening_bytes(&self) -> usize {
        if self.plain().is_some() { 0 } else { 2 * self.value_bytes() }
    }

    /// The value, unpacked. None if what is kept is not what was compressed, which no code path can bring about.
    #[must_use]
    pub fn open(self) -> Option<CachedValue> {
        let Self { kept, version, expires_in } = self;
        kept.value().map(|value| CachedValue { value, version, expires_in })
    }
}
