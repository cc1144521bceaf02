//! Importing: copying a log that others write into evenfold's own, as a projection whose read model is the log.
//!
//! So it is what every projection is: each event once, whatever is killed, from where the last import has stopped,
//! while both logs are written.

use crate::event::{Event, NewEvent};
use crate::log::{AppendError, Interest, Log, MAX_APPEND_EVENTS, Source};
use crate::number::Position;
use crate::projection::{Batch, BoxError, Fatal, Projection};
use serde_json::value::RawValue;
use sqlx::PgConnection;

/// Appends every event of a log that others write, with its id, its time, its payload and its metadata, in the order of
/// its aggregate. Positions and versions are given anew.
#[derive(Debug)]
pub struct Import {
    name: String,
    source: Source,
}

impl Import {
    /// Of this log.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        Self { name: format!("import of {source}"), source: source.clone() }
    }
}

impl Projection for Import {
    fn name(&self) -> &str {
        &self.name
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.source)
    }

    fn interest(&self) -> Interest {
        Interest::everything().with_envelope()
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        // What can't be read is not left out: an aggregate without one of its events is another one.
        if let Some((position, reason)) = batch.first_unreadable() {
            return Err(cannot(&self.source, position, &reason));
        }
        let log = Log::in_schema(batch.schema().clone());
        let (mut positions, mut events) = (Vec::new(), Vec::new());
        for event in batch.events() {
            positions.push(event.position);
            events.push(copied(&event).map_err(|error| cannot(&self.source, event.position, &error.to_string()))?);
        }
        for (positions, events) in positions.chunks(MAX_APPEND_EVENTS).zip(events.chunks(MAX_APPEND_EVENTS)) {
            match log.append(&mut *conn, events).await {
                Ok(_) => {}
                Err(error @ AppendError::DuplicateEventId { index, .. }) => {
                    let position = positions.get(index).copied().unwrap_or_default();
                    return Err(cannot(&self.source, position, &error.to_string()));
                }
                Err(error @ AppendError::AlreadyAppended { .. }) => {
                    let position = positions.first().copied().unwrap_or_default();
                    return Err(cannot(&self.source, position, &error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The event as it is to be appended.
fn copied(event: &Event<'_>) -> Result<NewEvent, BoxError> {
    let payload = RawValue::from_string(event.payload.to_owned())?;
    let mut copy = NewEvent::new(event.aggregate_type, event.aggregate_id, event.event_type, &payload)?;
    let envelope = event.envelope.ok_or("the event was read without its id and its time")?;
    copy = copy.with_event_id(envelope.event_id);
    if let Some(metadata) = envelope.metadata {
        copy = copy.with_metadata(&RawValue::from_string(metadata.to_owned())?)?;
    }
    // A log without times, or with infinite ones, has none that PostgreSQL could keep as one: it is that of the import.
    Ok(copy.clone().with_recorded_at(envelope.recorded_at()).unwrap_or(copy))
}

fn cannot(source: &Source, position: Position, reason: &str) -> BoxError {
    Box::new(Fatal(format!(
        "the event at position {position} of {source} can't be appended to evenfold's log: {reason}; all before it are \
         imported; leave it out by `where` in [source.custom], or mend it"
    )))
}
