//! The counter projection: one actor per aggregate, and the table `counters` that it is kept in.

mod actor;
mod changes;
mod current;
mod folded;
mod mismatches;
mod rebuild;
mod switch;
mod table;

pub use crate::counter::AmountPointer;
pub use changes::{Changes, MAX_LISTED, Subscribers};
#[doc(hidden)]
pub use current::current;
#[doc(hidden)]
pub use folded::{Compared, mismatches_of};
pub use mismatches::{Mismatch, Tally, UnreadableEvent, mismatches};
#[doc(hidden)]
pub use rebuild::Rebuild;
#[doc(hidden)]
pub use switch::forget_rebuild;
pub use table::CounterRow;
#[doc(hidden)]
pub use table::{empty, one, top, totals};

use crate::checkpoint::{self, CheckpointMove, RegisterError};
use crate::counter::Refused;
use crate::database::Schema;
use crate::event::Event;
use crate::projection::{AtOnce, Batch, BoxError, Projection, definition};
use crate::state_table::StateTable;
use actor::{CounterState, How, Row, changed, rows, written};
use changes::Publisher;
use sqlx::PgConnection;
use std::collections::HashSet;
use std::sync::Arc;
use table::Table;

/// The name of the projection.
pub const NAME: &str = checkpoint::BUILT_IN;

/// The name under which a rebuild keeps how far it has come.
const REBUILD: &str = "counters.rebuild";

/// Refuses another amount pointer than the workers have, and counters of which checkpoints are missing: whoever
/// compares them with the log would compare with what nobody folds. Counters that are not begun are whatever they will
/// be.
///
/// # Errors
///
/// See [`RegisterError`].
///
/// # Cancel safety
///
/// Reads only.
pub async fn check_begun(
    schema: &Schema,
    conn: &mut PgConnection,
    pointer: &AmountPointer,
) -> Result<(), RegisterError> {
    checkpoint::check_begun(schema, conn, NAME, &definition(&Counters::new(pointer.clone(), 1))).await
}

/// Folds every event into the counter of its aggregate.
#[derive(Debug)]
pub struct Counters {
    pointer: AmountPointer,
    table: Table,
    actors: StateTable<CounterState>,
    /// How many counters are changed and not written.
    changed: usize,
    /// None if nothing is to be published.
    publisher: Option<Publisher>,
}

impl Counters {
    /// Sums the integers at `pointer`; keeps up to `max_actors` counters in memory, and at least those of one batch.
    #[must_use]
    pub fn new(pointer: AmountPointer, max_actors: usize) -> Self {
        Self { pointer, table: Table::Counters, actors: StateTable::new(max_actors), changed: 0, publisher: None }
    }

    /// The same, which publish to these what each commit has changed. They are waited for in no case, and nothing is
    /// done for them while there are none.
    #[must_use]
    pub fn publishing(self, subscribers: Arc<dyn Subscribers>) -> Self {
        Self { publisher: Some(Publisher::new(subscribers)), ..self }
    }

    /// The same, into the table of a rebuild, under a name of its own.
    pub(super) fn in_rebuild(self) -> Self {
        Self { table: Table::Rebuild, ..self }
    }

    /// Publishes that the table of the rebuild is in use.
    pub(super) fn switched(&self) {
        if let Some(publisher) = &self.publisher {
            publisher.publish(Changes::Any);
        }
    }

    /// Loads the counters of these events, which have an actor each, in one query.
    async fn load(
        &mut self,
        schema: &Schema,
        conn: &mut PgConnection,
        events: &[Event<'_>],
    ) -> Result<(), sqlx::Error> {
        let counters = table::load(schema, conn, self.table, events).await?;
        for (event, counter) in events.iter().zip(counters) {
            let row = if counter.is_some() { Row::There } else { Row::None };
            *self.actor(event) = CounterState { counter: counter.unwrap_or_default(), row, changed: false };
        }
        Ok(())
    }

    fn actor(&mut self, event: &Event<'_>) -> &mut CounterState {
        self.actors.get_or_insert(event.hash, (event.aggregate_type, event.aggregate_id), CounterState::default)
    }

    /// Folds a batch. Counters of which there is no actor are loaded.
    async fn fold(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), sqlx::Error> {
        self.actors.make_room(batch.max_len());
        // In one go where the actors are here. Events of those that are not are put off until they are loaded, all of
        // them together, so that each aggregate keeps its order.
        let (mut absent, mut put_off) = (Vec::new(), HashSet::new());
        let (actors, pointer, changed) = (&mut self.actors, &self.pointer, &mut self.changed);
        let with_gaps = batch.is_foreign();
        batch.fold_with_dropped(|event, dropped| {
            let name = (event.aggregate_type, event.aggregate_id);
            let actor = actors.get_or_insert(event.hash, name, CounterState::default);
            // The first event of an aggregate is applied once, so there is no row before it.
            if actor.row == Row::Unknown && event.version == 1 {
                actor.row = Row::None;
            }
            match actor.row {
                Row::None | Row::There => *changed += actor.take(event, How { pointer, dropped, with_gaps })?,
                Row::Unknown | Row::Awaited => {
                    if actor.row == Row::Unknown {
                        actor.row = Row::Awaited;
                        absent.push(*event);
                    }
                    put_off.insert(event.position);
                }
            }
            Ok::<(), Refused>(())
        });
        if absent.is_empty() {
            return Ok(());
        }
        self.load(batch.schema(), conn, &absent).await?;
        let (actors, pointer, changed) = (&mut self.actors, &self.pointer, &mut self.changed);
        batch.fold_with_dropped(|event, dropped| {
            if put_off.contains(&event.position) {
                let name = (event.aggregate_type, event.aggregate_id);
                let actor = actors.get_or_insert(event.hash, name, CounterState::default);
                *changed += actor.take(event, How { pointer, dropped, with_gaps })?;
            }
            Ok::<(), Refused>(())
        });
        Ok(())
    }

    /// Those in memory, of which nothing is written.
    fn drop_actors(&mut self) {
        self.actors.clear();
        self.changed = 0;
    }

    /// Writes the counters that are changed.
    async fn write(&mut self, schema: &Schema, conn: &mut PgConnection) -> Result<(), table::WriteError> {
        if self.changed == 0 {
            return Ok(());
        }
        let changed = changed(&mut self.actors);
        for row in [Row::None, Row::There] {
            table::write(schema, conn, self.table, row == Row::There, rows(&changed, row)).await?;
        }
        written(changed, self.publisher.as_mut().filter(|_| self.table == Table::Counters));
        self.changed = 0;
        Ok(())
    }
}

impl Projection for Counters {
    fn name(&self) -> &'static str {
        match self.table {
            Table::Counters => NAME,
            Table::Rebuild => REBUILD,
        }
    }

    fn settings(&self) -> String {
        format!("amount pointer: {:?}", self.pointer.to_string())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        if !self.actors.has_room(batch.max_len()) {
            // Those that make room must not take changes with them.
            self.write(batch.schema(), conn).await?;
        }
        self.fold(conn, batch).await?;
        // A counter that many events change is written once per transaction.
        if batch.is_last() {
            self.write(batch.schema(), conn).await?;
        }
        Ok(())
    }

    fn may_apply_at_once(&self, events: usize) -> bool {
        // What makes room must not take changes with it, and those of an earlier batch are of another checkpoint.
        self.table == Table::Counters && self.changed == 0 && self.actors.has_room(events)
    }

    async fn apply_at_once(
        &mut self,
        conn: &mut PgConnection,
        batch: &mut Batch<'_>,
        to: CheckpointMove<'_>,
    ) -> Result<AtOnce, BoxError> {
        self.fold(conn, batch).await?;
        if !batch.to_park().is_empty() {
            // Parking is a statement of its own. What was folded is folded again in a transaction; nothing was written,
            // so that what is published stays a list.
            self.drop_actors();
            return Ok(AtOnce::NotPossible);
        }
        let changed = changed(&mut self.actors);
        let (there, none) = (rows(&changed, Row::There), rows(&changed, Row::None));
        let Some(revision) = table::write_with(to, conn, there, none).await? else { return Ok(AtOnce::Outrun) };
        written(changed, self.publisher.as_mut());
        self.changed = 0;
        Ok(AtOnce::Committed(revision))
    }

    fn committed(&mut self) {
        if let Some(publisher) = &mut self.publisher {
            publisher.committed();
        }
    }

    fn forget(&mut self) {
        self.drop_actors();
        if let Some(publisher) = &mut self.publisher {
            publisher.forget();
        }
    }
}
