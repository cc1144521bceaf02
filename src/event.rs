//! Events: what is appended, and what is read back.

mod json;
mod read;

pub use json::{MAX_JSON_BYTES, MAX_JSON_DEPTH, Unreadable, unreadable};
pub(crate) use read::TOO_LARGE;
pub use read::{Envelope, Event};

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// Longest `aggregate_type` and `event_type`, in bytes.
pub const MAX_TYPE_BYTES: usize = 255;
/// Longest `aggregate_id`, in bytes.
pub const MAX_ID_BYTES: usize = 1024;

/// Which aggregate: its type and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aggregate {
    /// The kind of thing, for example `order`.
    pub aggregate_type: String,
    /// Which one of its kind.
    pub aggregate_id: String,
}

impl std::fmt::Display for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.aggregate_type, self.aggregate_id)
    }
}

/// The version that an aggregate must have before an event is appended to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpectedVersion {
    /// Whatever it has.
    #[default]
    Any,
    /// None: the event is the aggregate's first. The same as `Exactly(0)`.
    None,
    /// Exactly this one.
    Exactly(i64),
}

impl ExpectedVersion {
    pub(crate) fn as_number(self) -> Option<i64> {
        match self {
            Self::Any => None,
            Self::None => Some(0),
            Self::Exactly(version) => Some(version),
        }
    }
}

/// An event that is yet to be appended. The log gives it its version and its position.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub(crate) aggregate: Aggregate,
    pub(crate) event_type: String,
    pub(crate) payload: Box<RawValue>,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) event_id: Uuid,
    pub(crate) expected: ExpectedVersion,
}

/// Why an event can't be appended, whatever the log holds.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// A name is empty, too long, or holds the character NUL, which PostgreSQL's text can't.
    #[error("{field} must be 1 to {limit} bytes long and without the character NUL, and this one {problem}")]
    Name {
        /// Which field.
        field: &'static str,
        /// How many bytes it may have.
        limit: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The payload or the metadata is too large.
    #[error("{field} may have {MAX_JSON_BYTES} bytes, and this one has {bytes}")]
    TooLarge {
        /// Which field.
        field: &'static str,
        /// How many bytes it has.
        bytes: usize,
    },
    /// PostgreSQL would store the JSON text, and could not read it again.
    #[error("{field} {reason}")]
    Unreadable {
        /// Which field.
        field: &'static str,
        /// Why.
        reason: Unreadable,
    },
    /// A negative expected version.
    #[error("the expected version must be 0 or more, and {0} is not")]
    Expected(i64),
    /// The payload can't be written as JSON.
    #[error("the payload can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl NewEvent {
    /// An event with a fresh random id, for whatever version its aggregate has.
    ///
    /// # Errors
    ///
    /// When a name or the payload is out of its limits ([`MAX_TYPE_BYTES`], [`MAX_ID_BYTES`], [`MAX_JSON_BYTES`]).
    pub fn new(
        aggregate_type: impl Into<String>,
        aggregate_id: impl Into<String>,
        event_type: impl Into<String>,
        payload: &impl serde::Serialize,
    ) -> Result<Self, InvalidEvent> {
        Self {
            aggregate: Aggregate { aggregate_type: aggregate_type.into(), aggregate_id: aggregate_id.into() },
            event_type: event_type.into(),
            payload: serde_json::value::to_raw_value(payload)?,
            metadata: None,
            event_id: Uuid::now_v7(),
            expected: ExpectedVersion::Any,
        }
        .checked()
    }

    /// One line of NDJSON: an object with `aggregate_type`, `aggregate_id`, `event_type`, `payload` and, if wanted,
    /// `expected_version` (a number; 0 for an aggregate that must not exist yet), `event_id` (a UUID) and `metadata`.
    ///
    /// # Errors
    ///
    /// When the line is not such an object, or a value is out of its limits.
    pub fn from_json(line: &str) -> Result<Self, InvalidEvent> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Line {
            aggregate_type: String,
            aggregate_id: String,
            event_type: String,
            payload: Box<RawValue>,
            expected_version: Option<i64>,
            event_id: Option<Uuid>,
            metadata: Option<Box<RawValue>>,
        }
        let line: Line = serde_json::from_str(line)?;
        Self {
            aggregate: Aggregate { aggregate_type: line.aggregate_type, aggregate_id: line.aggregate_id },
            event_type: line.event_type,
            payload: line.payload,
            metadata: line.metadata,
            event_id: line.event_id.unwrap_or_else(Uuid::now_v7),
            expected: line.expected_version.map_or(ExpectedVersion::Any, ExpectedVersion::Exactly),
        }
        .checked()
    }

    /// The same event, with an id of the caller's: appending it twice is reported as such, so that a retry is safe.
    #[must_use]
    pub fn with_event_id(mut self, event_id: Uuid) -> Self {
        self.event_id = event_id;
        self
    }

    /// The same event, only if its aggregate has this version just before it.
    ///
    /// # Errors
    ///
    /// When the version is negative.
    pub fn expecting(mut self, expected: ExpectedVersion) -> Result<Self, InvalidEvent> {
        self.expected = expected;
        self.checked()
    }

    /// What the aggregate is expected to be at, just before this event.
    #[must_use]
    pub fn expected(&self) -> ExpectedVersion {
        self.expected
    }

    /// The same event with metadata: who, why, from where.
    ///
    /// # Errors
    ///
    /// When the metadata can't be written as JSON or is above [`MAX_JSON_BYTES`].
    pub fn with_metadata(mut self, metadata: &impl serde::Serialize) -> Result<Self, InvalidEvent> {
        self.metadata = Some(serde_json::value::to_raw_value(metadata)?);
        self.checked()
    }

    /// The id under which the event is appended once at most.
    #[must_use]
    pub fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// The aggregate that the event is about.
    #[must_use]
    pub fn aggregate(&self) -> &Aggregate {
        &self.aggregate
    }

    fn checked(self) -> Result<Self, InvalidEvent> {
        check_name("aggregate_type", &self.aggregate.aggregate_type, MAX_TYPE_BYTES)?;
        check_name("aggregate_id", &self.aggregate.aggregate_id, MAX_ID_BYTES)?;
        check_name("event_type", &self.event_type, MAX_TYPE_BYTES)?;
        check_json("payload", self.payload.get())?;
        if let Some(metadata) = &self.metadata {
            check_json("metadata", metadata.get())?;
        }
        match self.expected {
            ExpectedVersion::Exactly(version) if version < 0 => Err(InvalidEvent::Expected(version)),
            _ => Ok(self),
        }
    }
}

fn check_name(field: &'static str, name: &str, limit: usize) -> Result<(), InvalidEvent> {
    let problem = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > limit {
        format!("has {}", name.len())
    } else if name.contains('\0') {
        "has a NUL".to_owned()
    } else {
        return Ok(());
    };
    Err(InvalidEvent::Name { field, limit, problem })
}

fn check_json(field: &'static str, text: &str) -> Result<(), InvalidEvent> {
    if text.len() > MAX_JSON_BYTES {
        return Err(InvalidEvent::TooLarge { field, bytes: text.len() });
    }
    unreadable(text).map_or(Ok(()), |reason| Err(InvalidEvent::Unreadable { field, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_event_is_refused_in_a_sentence() {
        let cases = [
            (
                r#"{"aggregate_type":"","aggregate_id":"a","event_type":"e","payload":1}"#,
                "aggregate_type must be 1 to 255",
            ),
            (r#"{"aggregate_type":"t","aggregate_id":"a\u0000","event_type":"e","payload":1}"#, "this one has a NUL"),
            (r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e"}"#, "missing field `payload`"),
            (r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":1,"x":2}"#, "unknown field `x`"),
            (
                r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":"\u0000"}"#,
                "payload holds \\u0000",
            ),
            (r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":"\\\u0000"}"#, "payload holds"),
            (
                r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":1,"expected_version":-1}"#,
                "0 or more",
            ),
            ("not json", "expected ident"),
        ];
        for (line, sentence) in cases {
            let error = NewEvent::from_json(line).map(|_| ()).map_err(|e| e.to_string());
            assert!(error.as_ref().is_err_and(|e| e.contains(sentence)), "{line}: {error:?}");
        }
        let long = "x".repeat(MAX_ID_BYTES + 1);
        assert!(NewEvent::new("t", long, "e", &1).is_err());
        assert!(NewEvent::new("t", "x".repeat(MAX_ID_BYTES), "e", &1).is_ok());
        assert!(NewEvent::new("t", "a", "e", &"x".repeat(MAX_JSON_BYTES)).is_err());
    }

    #[test]
    fn an_escaped_backslash_before_u0000_is_text() {
        let line = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":"\\u0000"}"#;
        assert!(NewEvent::from_json(line).is_ok());
    }
}
