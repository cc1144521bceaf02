//! The columns in which an event is sent.

use crate::event::{Envelope, Event, NOT_TEXT, TOO_LARGE};
use crate::hash::IdHash;
use crate::invariant::broken;
use sqlx::postgres::PgRow;
use sqlx::{Column, Row, TypeInfo};

/// Where the payload is in a row, and where the envelope begins.
const PAYLOAD_AT: usize = 6;
const MORE_AT: usize = 7;
const METADATA_AT: usize = MORE_AT + 2;

/// What a value of the type jsonb begins with: PostgreSQL has sent no other version yet.
const JSONB_VERSION: u8 = 1;

/// How a row with the columns of `range.sql` is sent. It is the same for all rows of a statement, and looking it up for
/// each of them would be half of what decoding costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowColumns {
    payload: Sent,
    /// None where no envelope is sent.
    metadata: Option<Sent>,
}

/// How a text is sent that is to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// As the type json.
    Json,
    /// As the type jsonb: the text that it is written as, after a byte.
    Jsonb,
    /// As any other type, of which nobody knows whether it is JSON.
    Unparsed,
}

/// Which texts PostgreSQL has parsed as JSON: whoever can't rely on their writers need not do it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ParsedTexts {
    pub(crate) payloads: bool,
    pub(crate) metadata: bool,
}

impl RowColumns {
    /// Those of this row, and of all others of its statement.
    pub(crate) fn of(row: &PgRow, envelope: bool) -> Self {
        Self { payload: Sent::of(row, PAYLOAD_AT), metadata: envelope.then(|| Sent::of(row, METADATA_AT)) }
    }

    pub(crate) fn parsed(self) -> ParsedTexts {
        let is_parsed = |sent| sent != Sent::Unparsed;
        ParsedTexts { payloads: is_parsed(self.payload), metadata: self.metadata.is_some_and(is_parsed) }
    }

    /// The transaction that wrote the event of a row, where it is sent: after all else.
    pub(super) fn xid(self, row: &PgRow) -> Result<u64, sqlx::Error> {
        let at = if self.metadata.is_some() { METADATA_AT + 1 } else { MORE_AT };
        Ok(row.try_get_unchecked::<i64, _>(at)?.unsigned_abs())
    }

    /// The event of a row, whose types are known.
    pub(crate) fn event(self, row: &PgRow) -> Result<Event<'_>, sqlx::Error> {
        let hash: i64 = row.try_get_unchecked(2)?;
        let envelope = match self.metadata {
            Some(metadata) => Some(Envelope {
                event_id: row.try_get_unchecked(MORE_AT)?,
                recorded_at: row.try_get_unchecked(MORE_AT + 1)?,
                metadata: metadata.text(row, METADATA_AT)?,
            }),
            None => None,
        };
        Ok(Event {
            position: row.try_get_unchecked(0)?,
            version: row.try_get_unchecked(1)?,
            hash: IdHash::from_sql(hash),
            aggregate_type: row.try_get_unchecked(3)?,
            aggregate_id: row.try_get_unchecked(4)?,
            event_type: row.try_get_unchecked(5)?,
            payload: self.payload.text(row, PAYLOAD_AT)?.unwrap_or(TOO_LARGE),
            envelope,
        })
    }
}

impl Sent {
    fn of(row: &PgRow, at: usize) -> Self {
        match row.column(at).type_info().name() {
            "JSON" => Self::Json,
            "JSONB" => Self::Jsonb,
            _ => Self::Unparsed,
        }
    }

    /// PostgreSQL sends the types json, jsonb and bytea as the bytes that they are, of which sqlx would only hand out
    /// json parsed.
    fn text(self, row: &PgRow, at: usize) -> Result<Option<&str>, sqlx::Error> {
        let bytes: Option<&[u8]> = row.try_get_unchecked(at)?;
        let bytes = match (self, bytes) {
            (Self::Jsonb, Some([JSONB_VERSION, text @ ..])) => Some(text),
            (Self::Jsonb, Some(_)) => return Err(broken("jsonb is sent in the version that has always been")),
            (_, bytes) => bytes,
        };
        Ok(bytes.map(|bytes| std::str::from_utf8(bytes).unwrap_or(NOT_TEXT)))
    }
}
