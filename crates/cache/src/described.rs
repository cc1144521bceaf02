//! What there is to know about an entry besides its value.

use super::entry::CacheEntry;
use super::key::CacheKey;
use super::{Cache, Hit};
use std::time::SystemTime;

/// A value that was found, and what there is to know about its entry.
#[derive(Debug, Clone)]
pub struct Described {
    /// The value, its version, and how many bytes it has.
    pub hit: Hit,
    /// When it is not there any more, by the machine's clock; none if that is not limited. It is the same at every
    /// read, unless that clock is set: by a tenth of a second or more, and it follows within a second.
    pub expires_at: Option<SystemTime>,
    /// How many bytes of the memory budget it takes up, with its key and what is kept about it.
    pub memory_bytes: u64,
}

impl Cache {
    /// As [`find`](Self::find), with what there is to know about the entry besides.
    #[must_use]
    pub fn describe(&self, key: &str) -> Option<Described> {
        let (view, own) = (&self.inner.shared.view, CacheKey::new(key).ok()?);
        loop {
            let hit = self.find(key)?;
            // Two looks, so that other reads are not slower for this one. No two entries have a version in common: one
            // that has it is the one that was found, and one that has not has been put since.
            let same = |entry: &CacheEntry| {
                let about = (entry.expires, u64::from(entry.bytes));
                (entry.version == hit.version).then_some(about)
            };
            if let Some((expires, memory_bytes)) = view.peek(&own, same).flatten() {
                let expires_at = hit.expires_in.map(|_| view.clock().shown(expires));
                return Some(Described { hit, expires_at, memory_bytes });
            }
        }
    }
}
