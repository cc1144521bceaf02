//! Events that no projection can be given.

use crate::event::{Event, MAX_JSON_BYTES, NOT_TEXT};
use crate::hash::IdHash;
use crate::log::{Layout, ParsedTexts};

/// Why no projection can be given an event.
pub(super) fn unreadable(layout: &Layout, parsed: ParsedTexts, event: &Event<'_>) -> Option<String> {
    // The column of evenfold's own log can be written by others, and with a wrong hash two workers would share an
    // aggregate. That of another log is computed as it is read.
    if layout.foreign().is_none() {
        let right = IdHash::of(event.aggregate_id);
        if event.hash != right {
            return Some(format!("its hash is {} and that of its aggregate id is {right}", event.hash));
        }
    }
    if event.is_too_large() {
        return Some(format!("its payload or its metadata is larger than {MAX_JSON_BYTES} bytes"));
    }
    layout.foreign()?;
    if event.payload == NOT_TEXT {
        return Some("its payload is not UTF-8".to_owned());
    }
    let metadata = event.envelope.and_then(|envelope| envelope.metadata);
    let texts = [
        ("payload", Some(event.payload).filter(|_| !parsed.payloads)),
        ("metadata", metadata.filter(|_| !parsed.metadata)),
    ];
    texts.into_iter().find_map(|(name, text)| Some(format!("its {name} is not JSON: {}", not_json(text?)?)))
}

/// Why a text is not JSON, as far as a projection may have to rely on it.
fn not_json(text: &str) -> Option<serde_json::Error> {
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    // What is nested deeper than the parser goes may be JSON: then PostgreSQL reads it, or refuses it.
    (!error.to_string().starts_with("recursion limit exceeded")).then_some(error)
}
