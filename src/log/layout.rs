//! How a log lies in its database: the one place that renders the SQL that reads a log for the table that it is in.

use super::foreign::{Foreign, Positions};
use super::{Fence, Interest, Shown};
use crate::database::Schema;
use crate::invariant::broken;
use sqlx::SqlStr;
use std::sync::Arc;

/// The table of a log, and what its columns mean.
#[derive(Debug, Clone)]
pub enum Layout {
    /// evenfold's own, in this schema.
    Own(Schema),
    /// One that others write.
    Foreign(Arc<Foreign>),
}

impl Default for Layout {
    fn default() -> Self {
        Self::Own(Schema::default())
    }
}

impl From<&Schema> for Layout {
    fn from(schema: &Schema) -> Self {
        Self::Own(schema.clone())
    }
}

impl From<Foreign> for Layout {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(Arc::new(foreign))
    }
}

/// Whether an event is larger than evenfold takes: its contents stay in the database then, or three of them would take
/// all the memory that a worker has. Rows from before there was a constraint can be.
///
/// A value in which PostgreSQL has 4,096 bytes or fewer can't be: neither of its two ways to compress makes less than a
/// 255th of anything. So most rows are only asked for a number that is at hand, which takes some 50 ns.
macro_rules! too_large {
    () => {
        "(pg_column_size(payload) > 4096 AND octet_length(payload::text) > 1048576
          OR pg_column_size(metadata) > 4096 AND octet_length(metadata::text) > 1048576)"
    };
}

/// Whether an event of evenfold's own log is too large, as a condition.
pub(super) const IS_TOO_LARGE: &str = too_large!();

/// The payload of evenfold's own log in a list of columns, for [`RowColumns`](super::RowColumns); none where the event
/// is too large.
pub(crate) const PAYLOAD: &str = concat!("CASE WHEN ", too_large!(), " THEN NULL ELSE payload END");

/// What follows it where the envelope is wanted. A time comes as PostgreSQL has it: computing with it fails at
/// infinity.
pub(crate) const ENVELOPE: &str =
    concat!(", event_id, recorded_at, CASE WHEN ", too_large!(), " THEN NULL ELSE metadata END");

/// Columns that only few want: a CASE for them would cost something per row. The transaction comes last.
const XID: &str = ", xid::text::bigint";

impl Layout {
    /// The log, if others write it.
    #[must_use]
    pub fn foreign(&self) -> Option<&Foreign> {
        match self {
            Self::Own(_) => None,
            Self::Foreign(foreign) => Some(foreign),
        }
    }

    /// Whether others write it, with a column for the transaction.
    pub(super) fn has_transactions(&self) -> bool {
        self.foreign().is_some_and(|foreign| foreign.xid().is_some())
    }

    /// A statement: `{log}` in it is the log as a relation with the columns of evenfold's own, `{table}` and
    /// `{position}` the table and the column in which positions are, `{payload}{more}` what a reader with this interest
    /// wants of an event.
    pub(super) fn sql(&self, template: &str, interest: &Interest) -> SqlStr {
        match self {
            Self::Own(schema) => {
                let (envelope, xid) =
                    (if interest.envelope { ENVELOPE } else { "" }, if interest.xid { XID } else { "" });
                let sql = template.replace("{payload}{more}", &format!("{PAYLOAD}{envelope}{xid}"));
                schema.sql(sql.replace("{log}", "evenfold.events"))
            }
            Self::Foreign(foreign) => {
                // An event whose metadata is too large would look like one without, to whoever reads it.
                let (payload, envelope) = if interest.envelope {
                    ("CASE WHEN metadata_is_too_large THEN NULL ELSE payload END", ", event_id, recorded_at, metadata")
                } else {
                    ("payload", "")
                };
                let xid = match (interest.xid, foreign.positions()) {
                    (false, _) => "",
                    (true, Positions::Xid(_)) => XID,
                    (true, Positions::Sequence(_) | Positions::Serial) => ", 0::bigint",
                };
                foreign.statement(&template.replace("{payload}{more}", &format!("{payload}{envelope}{xid}")))
            }
        }
    }

    /// Whether a row is in a fence whose text is `value`, as a condition on the columns of the log.
    ///
    /// Texts are uncorrelated subqueries, so that they are parsed once and not for each row; and a list of positions
    /// is one in which each row is looked up.
    pub(super) fn shown_in(&self, fence: &Fence, value: &str) -> Result<String, sqlx::Error> {
        match (&fence.shown, self) {
            (Shown::Transactions { .. }, Self::Own(_)) | (Shown::Snapshot(_), Self::Foreign(_)) => {
                Ok(format!("pg_visible_in_snapshot(xid, (SELECT {value}::pg_snapshot))"))
            }
            (Shown::Positions { missing }, Self::Foreign(_)) if missing.is_empty() => {
                Ok(format!("position <= (SELECT split_part({value}, ':', 1)::bigint)"))
            }
            (Shown::Positions { .. }, Self::Foreign(_)) => Ok(format!(
                "position <= (SELECT split_part({value}, ':', 1)::bigint)
  AND position NOT IN (SELECT unnest(('{{' || split_part({value}, ':', 2) || '}}')::bigint[]))"
            )),
            _ => Err(wrong_kind()),
        }
    }
}

/// A checkpoint of another kind of log: read by this one, it would show other events than those that were applied.
pub(super) fn wrong_kind() -> sqlx::Error {
    broken("a checkpoint's fence is of the kind of its log")
}
