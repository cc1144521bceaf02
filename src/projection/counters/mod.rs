//! The counter projection: one actor per aggregate, and the table `counters` that it is kept in.

mod switch;
mod table;

pub use switch::forget_rebuild;
pub(super) use switch::{begin, lock, switch};
pub use table::{CounterRow, Mismatch, empty, mismatches, one, top, totals};

use super::{Batch, BoxError, Projection};
use crate::actor::Actors;
use crate::counter::{AmountPointer, Counter};
use crate::event::Event;
use sqlx::PgConnection;
use table::Table;

/// The name of the projection.
pub const NAME: &str = "counters";

/// The name under which a rebuild keeps how far it has come.
pub(super) const REBUILD: &str = "counters.rebuild";

/// Folds every event into the counter of its aggregate.
#[derive(Debug)]
pub struct Counters {
    pointer: AmountPointer,
    table: Table,
    actors: Actors<Actor>,
    batch: u64,
}

/// One aggregate's counter, and what the current batch needs to know of it.
#[derive(Debug, Clone, Copy, Default)]
struct Actor {
    counter: Counter,
    /// The last batch that has changed it.
    changed_in: u64,
}

impl Counters {
    /// Sums the integers at `pointer`; keeps up to `max_actors` counters in memory, and at least those of one batch.
    #[must_use]
    pub fn new(pointer: AmountPointer, max_actors: usize) -> Self {
        Self { pointer, table: Table::Counters, actors: Actors::new(max_actors), batch: 0 }
    }

    /// The same, into the table of a rebuild, under a name of its own.
    pub(super) fn beside(self) -> Self {
        Self { table: Table::Rebuild, ..self }
    }

    /// Loads the counters of these events that are not in memory, in one query.
    async fn load(
        &mut self,
        conn: &mut PgConnection,
        events: impl Iterator<Item = Event<'_>>,
    ) -> Result<(), sqlx::Error> {
        let mut absent = Vec::new();
        for event in events {
            if self.actors.get_mut(event.hash, event.aggregate_type, event.aggregate_id).is_none() {
                self.actors.insert(event.hash, event.aggregate_type, event.aggregate_id, Actor::default());
                absent.push(event);
            }
        }
        if absent.is_empty() {
            return Ok(());
        }
        for (index, counter) in table::load(conn, self.table, &absent).await? {
            let Some(event) = absent.get(index) else { continue };
            if let Some(actor) = self.actors.get_mut(event.hash, event.aggregate_type, event.aggregate_id) {
                actor.counter = counter;
            }
        }
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
        self.batch += 1;
        self.actors.make_room(batch.max_len());
        self.load(conn, batch.with_dropped()).await?;
        let mut changed = Vec::new();
        batch.fold_with_dropped(|event, dropped| {
            let Some(actor) = self.actors.get_mut(event.hash, event.aggregate_type, event.aggregate_id) else {
                return Ok(());
            };
            actor.counter = if dropped {
                actor.counter.skip(event.version)
            } else {
                actor.counter.apply(event.version, event.position, self.pointer.amount(event.payload))?
            };
            if actor.changed_in != self.batch {
                actor.changed_in = self.batch;
                changed.push(*event);
            }
            Ok::<(), crate::counter::Refused>(())
        });
        // In the order of the keys: two workers that write the same counters wait for each other, and never in a circle.
        changed.sort_unstable_by_key(|event| (event.aggregate_type, event.aggregate_id));
        let counters = changed.iter().filter_map(|event| {
            let actor = self.actors.get_mut(event.hash, event.aggregate_type, event.aggregate_id)?;
            Some((event.aggregate_type, event.aggregate_id, actor.counter))
        });
        table::write(conn, self.table, counters).await?;
        Ok(())
    }

    fn forget(&mut self) {
        self.actors.clear();
    }
}
