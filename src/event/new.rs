//! Events that are yet to be appended.

use super::check::{InvalidEvent, check_json, check_name};
use super::time::Timestamp;
use super::{Aggregate, MAX_ID_BYTES, MAX_TYPE_BYTES, RecordedEvent};
use crate::number::{Position, Version};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::SystemTime;
use uuid::Uuid;

/// The version that an aggregate must have before an event is appended to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpectedVersion {
    /// Whatever it has.
    #[default]
    Any,
    /// None: the event is the aggregate's first. The same as `Exactly(Version::NONE)`.
    None,
    /// Exactly this one.
    Exactly(Version),
}

impl From<Version> for ExpectedVersion {
    fn from(version: Version) -> Self {
        Self::Exactly(version)
    }
}

impl ExpectedVersion {
    pub(crate) fn as_number(self) -> Option<Version> {
        match self {
            Self::Any => None,
            Self::None => Some(Version::NONE),
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
    pub(crate) recorded_at: Option<Timestamp>,
}

impl NewEvent {
    /// An event with a fresh random id, for whatever version its aggregate has.
    ///
    /// ```
    /// # use evenfold::{ExpectedVersion, InvalidEvent, NewEvent, Version};
    /// # fn f(version: Version) -> Result<NewEvent, InvalidEvent> {
    /// NewEvent::new("order", "4711", "order-shipped", &serde_json::json!({ "parcels": 2 }))?
    ///     .expecting(version)
    ///     .with_metadata(&"the warehouse")
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When a name or the payload is out of its limits ([`MAX_TYPE_BYTES`], [`MAX_ID_BYTES`],
    /// [`MAX_JSON_BYTES`](super::MAX_JSON_BYTES)).
    pub fn new(
        aggregate_type: impl Into<String>,
        aggregate_id: impl Into<String>,
        event_type: impl Into<String>,
        payload: &impl serde::Serialize,
    ) -> Result<Self, InvalidEvent> {
        Self::of(Aggregate::new(aggregate_type, aggregate_id), event_type, payload)
    }

    /// The same for an aggregate that is at hand.
    ///
    /// # Errors
    ///
    /// See [`new`](Self::new).
    pub fn of(
        aggregate: Aggregate,
        event_type: impl Into<String>,
        payload: &impl serde::Serialize,
    ) -> Result<Self, InvalidEvent> {
        Self::checked(aggregate, event_type.into(), serde_json::value::to_raw_value(payload)?)
    }

    /// One line of NDJSON: an object with `aggregate_type`, `aggregate_id`, `event_type`, `payload` and, if wanted,
    /// `expected_version` (a number; 0 for an aggregate that must not exist yet), `event_id` (a UUID), `metadata` and
    /// `recorded_at` (RFC 3339, with its offset from UTC).
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
            expected_version: Option<Version>,
            event_id: Option<Uuid>,
            metadata: Option<Box<RawValue>>,
            recorded_at: Option<String>,
        }
        let line: Line = serde_json::from_str(line)?;
        let aggregate = Aggregate::new(line.aggregate_type, line.aggregate_id);
        let mut event = Self::checked(aggregate, line.event_type, line.payload)?;
        if let Some(version) = line.expected_version {
            if version < Version::NONE {
                return Err(InvalidEvent::Expected(version));
            }
            event = event.expecting(version);
        }
        if let Some(metadata) = line.metadata {
            event = event.with_raw_metadata(metadata)?;
        }
        if let Some(time) = line.recorded_at {
            let parsed: jiff::Timestamp = time.parse().map_err(|_| InvalidEvent::RecordedAt(time))?;
            event = event.with_recorded_at(parsed.into())?;
        }
        event.event_id = line.event_id.unwrap_or(event.event_id);
        Ok(event)
    }

    /// The same event, with an id of the caller's: appending it twice is reported as such, so that a retry is safe.
    #[must_use]
    pub fn with_event_id(mut self, event_id: Uuid) -> Self {
        self.event_id = event_id;
        self
    }

    /// The same event, only if its aggregate has this version just before it: a [`Version`], or an [`ExpectedVersion`].
    /// No aggregate has a negative one: that is a conflict, as any other that the aggregate does not have.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<ExpectedVersion>) -> Self {
        self.expected = expected.into();
        self
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
    /// When the metadata can't be written as JSON or is out of the payload's limits.
    pub fn with_metadata(self, metadata: &impl serde::Serialize) -> Result<Self, InvalidEvent> {
        self.with_raw_metadata(serde_json::value::to_raw_value(metadata)?)
    }

    /// The same event, recorded at another time than now: for those that are imported from elsewhere.
    ///
    /// # Errors
    ///
    /// When PostgreSQL does not have such a time: before 4714 BC, or after the year 294276.
    pub fn with_recorded_at(mut self, time: SystemTime) -> Result<Self, InvalidEvent> {
        let Some(recorded_at) = Timestamp::of(time) else {
            return Err(InvalidEvent::RecordedAt(format!("{time:?}")));
        };
        self.recorded_at = Some(recorded_at);
        Ok(self)
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

    /// The event as it would be read back from this place: for tests of code that decides by what it has
    /// [loaded](crate::load). Recorded at the beginning of 2000, unless it says when.
    #[must_use]
    pub fn recorded(self, position: Position, version: Version) -> RecordedEvent {
        RecordedEvent {
            position,
            version,
            aggregate: self.aggregate,
            event_type: self.event_type,
            payload: self.payload.get().to_owned(),
            metadata: self.metadata.map(|metadata| metadata.get().to_owned()),
            event_id: self.event_id,
            recorded_at: self.recorded_at.unwrap_or(Timestamp::YEAR_2000),
        }
    }

    fn checked(aggregate: Aggregate, event_type: String, payload: Box<RawValue>) -> Result<Self, InvalidEvent> {
        check_name("aggregate_type", &aggregate.aggregate_type, MAX_TYPE_BYTES)?;
        check_name("aggregate_id", &aggregate.aggregate_id, MAX_ID_BYTES)?;
        check_name("event_type", &event_type, MAX_TYPE_BYTES)?;
        check_json("payload", payload.get())?;
        let (event_id, expected) = (Uuid::now_v7(), ExpectedVersion::Any);
        Ok(Self { aggregate, event_type, payload, metadata: None, event_id, expected, recorded_at: None })
    }

    fn with_raw_metadata(mut self, metadata: Box<RawValue>) -> Result<Self, InvalidEvent> {
        check_json("metadata", metadata.get())?;
        self.metadata = Some(metadata);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MAX_JSON_BYTES;

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
            (
                r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":1,"recorded_at":"2026-11-28"}"#,
                "offset from UTC",
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
