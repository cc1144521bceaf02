//! The counter projection: one actor per aggregate, and the table `counters` that it is kept in.

mod switch;
mod table;

pub use switch::forget_rebuild;
pub(super) use switch::{begin, lock, switch};
pub use table::{CounterRow, Mismatch, empty, mismatches, one, top, totals};

use super::{Batch, BoxError, Projection};
use crate::actor::{Actors, Slot};
use crate::counter::{AmountPointer, Counter, Refused};
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
    /// How many counters are changed and not written.
    changed: usize,
}

/// One aggregate's counter, and what is known of its row.
#[derive(Debug, Clone, Copy, Default)]
struct Actor {
    counter: Counter,
    has_row: bool,
    changed: bool,
}

impl Counters {
    /// Sums the integers at `pointer`; keeps up to `max_actors` counters in memory, and at least those of one batch.
    #[must_use]
    pub fn new(pointer: AmountPointer, max_actors: usize) -> Self {
        Self { pointer, table: Table::Counters, actors: Actors::new(max_actors), changed: 0 }
    }

    /// The same, into the table of a rebuild, under a name of its own.
    pub(super) fn beside(self) -> Self {
        Self { table: Table::Rebuild, ..self }
    }

    /// Finds the actors of these events, and loads those that are not in memory, in one query. Gives the event's position
    /// with each.
    async fn load(
        &mut self,
        conn: &mut PgConnection,
        events: impl Iterator<Item = Event<'_>>,
    ) -> Result<Vec<(i64, Slot)>, sqlx::Error> {
        let (mut slots, mut absent) = (Vec::with_capacity(events.size_hint().1.unwrap_or_default()), Vec::new());
        for event in events {
            let Event { hash, aggregate_type, aggregate_id, .. } = event;
            let slot = self.actors.find(hash, aggregate_type, aggregate_id).unwrap_or_else(|| {
                let slot = self.actors.insert(hash, aggregate_type, aggregate_id, Actor::default());
                // The first event of an aggregate is applied once, so there is no row before it.
                if event.version != 1 {
                    absent.push((event, slot));
                }
                slot
            });
            slots.push((event.position, slot));
        }
        if !absent.is_empty() {
            for (index, counter) in table::load(conn, self.table, absent.iter().map(|(event, _)| event)).await? {
                let Some(&(_, slot)) = absent.get(index) else { continue };
                *self.actors.at(slot) = Actor { counter, has_row: true, changed: false };
            }
        }
        Ok(slots)
    }

    /// Writes the counters that are changed.
    async fn write(&mut self, conn: &mut PgConnection) -> Result<(), table::WriteError> {
        if self.changed == 0 {
            return Ok(());
        }
        let mut changed: Vec<(&str, &str, &mut Actor)> = self.actors.used().filter(|(.., a)| a.changed).collect();
        // In the order of the keys, in which the rows and the index are next to each other.
        changed.sort_unstable_by_key(|&(aggregate_type, aggregate_id, _)| (aggregate_type, aggregate_id));
        for has_row in [false, true] {
            let those = changed.iter().filter(|(.., actor)| actor.has_row == has_row);
            let rows =
                those.map(|(aggregate_type, aggregate_id, actor)| (*aggregate_type, *aggregate_id, actor.counter));
            table::write(conn, self.table, has_row, rows).await?;
        }
        for (.., actor) in changed {
            (actor.has_row, actor.changed) = (true, false);
        }
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
            self.write(conn).await?;
        }
        self.actors.make_room(batch.max_len());
        let mut slots = self.load(conn, batch.with_dropped()).await?.into_iter();
        batch.fold_with_dropped(|event, dropped| {
            // Events of an aggregate that is parked meanwhile are not handed out: their slots are passed over.
            let Some((_, slot)) = slots.find(|&(position, _)| position == event.position) else {
                return Err(Refused::Version { last: 0, found: event.version });
            };
            let actor = self.actors.at(slot);
            actor.counter = if dropped {
                actor.counter.skip(event.version)
            } else {
                actor.counter.apply(event.version, event.position, self.pointer.amount(event.payload))?
            };
            self.changed += usize::from(!actor.changed);
            actor.changed = true;
            Ok(())
        });
        // A counter that many events change is written once per transaction.
        if batch.is_last() {
            self.write(conn).await?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.actors.clear();
        self.changed = 0;
    }
}
