//! What is answered about an entry besides its value, where that is asked for.

use super::error::{ApiError, ErrorCode};
use super::expiry::shown;
use crate::{Cache, Described, Hit};
use evenfold_http::answer::Answer;
use evenfold_http::inflight::OverBudget;
use std::io::Write;
use std::time::SystemTime;

/// The parameter of the query.
pub(super) const INCLUDE_META: &str = "includeMeta";

/// What it is, for the document.
pub(super) const INCLUDED: &str =
    "Whether to answer `expiresAt`, `bytes`, `memoryBytes` and `compressed` as well; false without.";

/// How many bytes they have, with names and quotes, at most.
const ROOM: usize = 136;

/// A value that was found, and what else is to be answered about it.
pub(super) struct FoundEntry {
    pub(super) hit: Hit,
    pub(super) meta: Option<Meta>,
}

/// What is not in every answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    expires_at: Option<SystemTime>,
    memory_bytes: u64,
}

impl FoundEntry {
    pub(super) fn look(cache: &Cache, key: &str, with_meta: bool) -> Option<Self> {
        if !with_meta {
            return Some(Self { hit: cache.find(key)?, meta: None });
        }
        let Described { hit, expires_at, memory_bytes } = cache.describe(key)?;
        Some(Self { hit, meta: Some(Meta { expires_at, memory_bytes }) })
    }

    /// How many bytes the answer has besides what every answer has.
    pub(super) fn room(&self) -> usize {
        if self.meta.is_some() { ROOM } else { 0 }
    }
}

/// Whether a query asks for it. What else it has means nothing here.
pub(super) fn is_included(query: &str) -> Result<bool, ApiError> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut given = pairs.filter(|(name, _)| *name == INCLUDE_META).map(|(_, value)| value);
    let wrong = |message: &'static str| Err(ApiError::new(ErrorCode::InvalidQuery, message));
    match (given.next(), given.next()) {
        (None, _) | (Some("false"), None) => Ok(false),
        (Some("true"), None) => Ok(true),
        (Some(_), None) => wrong("includeMeta is true or false, as in ?includeMeta=true"),
        (Some(_), Some(_)) => wrong("give includeMeta once"),
    }
}

/// Adds it to the fields of a value.
pub(super) fn write(answer: &mut Answer, bytes: usize, compressed: bool, meta: Meta) -> Result<(), OverBudget> {
    if let Some(moment) = meta.expires_at {
        write!(answer, ",\"expiresAt\":\"{}\"", shown(moment)).map_err(|_| OverBudget)?;
    }
    let memory = meta.memory_bytes;
    let rest = write!(answer, ",\"bytes\":{bytes},\"memoryBytes\":{memory},\"compressed\":{compressed}");
    rest.map_err(|_| OverBudget)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_ITEM_BYTES;
    use evenfold_http::inflight::InFlight;

    #[test]
    fn meta_is_asked_for_once_by_true_or_false() {
        for (query, expected) in [
            ("", false),
            ("includeMeta=true", true),
            ("includeMeta=false", false),
            ("a=b&includeMeta=true&c", true),
            ("includeMetadata=1", false),
        ] {
            assert_eq!(is_included(query).ok(), Some(expected), "{query}");
        }
        for wrong in
            ["includeMeta", "includeMeta=", "includeMeta=1", "includeMeta=True", "includeMeta=true&includeMeta=true"]
        {
            assert_eq!(is_included(wrong).map_err(|error| error.code), Err(ErrorCode::InvalidQuery), "{wrong}");
        }
    }

    #[test]
    fn there_is_room_for_the_longest_meta() {
        let mut answer = Answer::new(InFlight::new(1, usize::MAX).enter().unwrap());
        let meta = Meta { expires_at: Some(SystemTime::now()), memory_bytes: u64::from(u32::MAX) };
        write(&mut answer, MAX_ITEM_BYTES, false, meta).unwrap();
        assert!(answer.out().len() <= ROOM, "{}", answer.out().len());
    }
}
