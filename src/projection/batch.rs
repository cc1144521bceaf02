//! A batch of events, as a projection gets it.

use super::unreadable::unreadable;
use crate::checkpoint::{BEHIND, ParkedEvent};
use crate::database::Schema;
use crate::event::{Aggregate, Event};
use crate::hash::IdHash;
use crate::log::{self, Between, EventBuffer, Interest, Layout, Span};
use crate::number::Position;
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::time::{Duration, Instant};

/// The events that a projection is given to apply, less those of parked aggregates.
#[derive(Debug)]
pub struct Batch<'a> {
    schema: &'a Schema,
    layout: &'a Layout,
    events: &'a EventBuffer,
    parked: ParkedNames,
    /// Events that the projection refused: index and reason. Earlier events of their aggregates have been applied.
    refused: HashMap<usize, String>,
    /// Events that a writer gave a wrong hash, or that are too large to be read. No event of their aggregates is handed
    /// out.
    misplaced: HashMap<usize, String>,
    /// Positions of events that an operator has dropped.
    dropped: HashSet<Position>,
    last: bool,
    folding: Duration,
    /// What was applied before; not known of events that are tried again.
    between: Option<&'a Between>,
    in_view: Option<InView<'a>>,
    given_back: Option<GivenBack>,
}

/// How events are to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenBack {
    /// As they were.
    AsTheyWere,
    /// Each of them read.
    AsEvents,
}

/// Events that were not read.
#[derive(Debug)]
struct InView<'a> {
    span: &'a Span,
    interest: &'a Interest,
}

/// From which event of the batch on an aggregate is parked, by its index; to be asked with borrowed names.
#[derive(Debug, Default)]
struct ParkedNames(HashMap<String, HashMap<String, usize>>);

impl ParkedNames {
    fn contains(&self, index: usize, event: &Event<'_>) -> bool {
        let from = || self.0.get(event.aggregate_id)?.get(event.aggregate_type);
        !self.0.is_empty() && from().is_some_and(|from| *from <= index)
    }

    fn insert(&mut self, aggregate_type: &str, aggregate_id: &str, from: usize) {
        self.0.entry(aggregate_id.to_owned()).or_default().insert(aggregate_type.to_owned(), from);
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        (schema, layout): (&'a Schema, &'a Layout),
        events: &'a EventBuffer,
        parked: HashSet<Aggregate>,
        dropped: HashSet<Position>,
    ) -> Self {
        let mut batch = Self {
            schema,
            layout,
            events,
            parked: ParkedNames::default(),
            refused: HashMap::new(),
            misplaced: HashMap::new(),
            dropped,
            last: true,
            folding: Duration::ZERO,
            between: None,
            in_view: None,
            given_back: None,
        };
        for aggregate in parked {
            batch.parked.insert(&aggregate.aggregate_type, &aggregate.aggregate_id, 0);
        }
        for (index, event) in events.events().enumerate() {
            let Some(reason) = unreadable(layout, events.parsed(), &event) else { continue };
            if !batch.is_dropped(&event) {
                batch.parked.insert(event.aggregate_type, event.aggregate_id, 0);
                batch.misplaced.insert(index, reason);
            }
        }
        batch
    }

    /// The same batch, with others to follow in its transaction if it is not the last.
    pub(crate) fn last(self, last: bool) -> Self {
        Self { last, ..self }
    }

    /// The same batch, of a window between these snapshots.
    pub(crate) fn between(self, between: &'a Between) -> Self {
        Self { between: Some(between), ..self }
    }

    /// Events that were not read. `none` is an empty buffer.
    pub(crate) fn of_span(
        of: (&'a Schema, &'a Layout),
        none: &'a EventBuffer,
        span: &'a Span,
        interest: &'a Interest,
    ) -> Self {
        let in_view = InView { span, interest };
        let batch = Self::new(of, none, HashSet::new(), HashSet::new());
        Self { in_view: Some(in_view), between: Some(&span.between), ..batch }
    }

    /// Makes the batch readable by SQL, in its transaction: the temporary view `batch` of the session shows its events,
    /// with the columns `position`, `aggregate_type`, `aggregate_id`, `version`, `event_type`, `payload`, `metadata`,
    /// `event_id` and `recorded_at`, and in no order. Its texts have the database's collation and not the log's, so
    /// that a comparison with an ordinary key can use the key's index. Events of parked aggregates, and those that were
    /// refused or dropped, are not in it.
    ///
    /// # Errors
    ///
    /// The database's. The role needs the right to make temporary tables. Of a log that others write also where the
    /// projection does not declare that it [makes views](super::Projection::makes_views).
    ///
    /// # Cancel safety
    ///
    /// Part of the transaction.
    pub async fn make_view(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.make_view_with(conn, &[]).await
    }

    /// The same, and sets these settings of the session until the transaction ends, in the same statement.
    ///
    /// # Errors
    ///
    /// As those of [`make_view`](Self::make_view).
    ///
    /// # Cancel safety
    ///
    /// Part of the transaction.
    #[doc(hidden)]
    pub async fn make_view_with(&self, conn: &mut PgConnection, session: &[(&str, &str)]) -> Result<(), sqlx::Error> {
        if let Some(InView { span, interest }) = &self.in_view {
            return log::show_span(self.schema, conn, span, interest, session).await;
        }
        if self.is_foreign() {
            return log::show_sent(conn, self.events(), session).await;
        }
        let positions: Vec<Position> = self.events().map(|event| event.position).collect();
        log::show_listed(self.schema, conn, &positions, session).await
    }

    /// Whether its events are such as were parked, and are tried again.
    #[doc(hidden)]
    #[must_use]
    pub fn is_retried(&self) -> bool {
        self.between.is_none()
    }

    /// Whether the events were not read: [`events`](Self::events) has none of them, and they can be had by
    /// [`make_view`](Self::make_view) alone. Only for a projection that wants that: see
    /// [`Projection::reads_views`](super::Projection::reads_views).
    #[must_use]
    pub fn is_only_in_view(&self) -> bool {
        self.in_view.is_some()
    }

    /// Gives the batch back, for a failure that has passed already, such as a deadlock: whatever the transaction has
    /// written is rolled back, and the same events come again at once. Return without an error, and without another use
    /// of the transaction.
    pub fn retry(&mut self) {
        self.given_back.get_or_insert(GivenBack::AsTheyWere);
    }

    /// The same for a batch that is [only in its view](Self::is_only_in_view), and has failed for an event: the events
    /// come again in batches of which single ones can be [refused](Self::fold).
    pub fn retry_as_events(&mut self) {
        self.given_back = Some(GivenBack::AsEvents);
    }

    /// How its events are to come again, where it was given back.
    pub(crate) fn given_back(&self) -> Option<GivenBack> {
        self.given_back
    }

    /// Whether others write the log that its events are from. The versions of an aggregate then grow, and need not be
    /// one after the other.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.layout.foreign().is_some()
    }

    /// What was applied before.
    pub(super) fn applied_before(&self) -> Option<&'a Between> {
        self.between
    }

    /// Whether the transaction ends after this batch. Until then a projection may keep back what it would write, and
    /// write what it would write again only once: while a worker is far behind, a transaction has several batches, of
    /// which the last may be empty.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The schema that the checkpoints are in, and evenfold's own log.
    #[must_use]
    pub fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// The events to apply, in order: of an aggregate of which one was refused, those before it.
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> {
        self.not_parked().filter(|event| !self.is_dropped(event))
    }

    fn not_parked(&self) -> impl Iterator<Item = Event<'a>> {
        let of = |(index, event): (usize, Event<'a>)| (!self.parked.contains(index, &event)).then_some(event);
        self.events.events().enumerate().filter_map(of)
    }

    /// The same with the events that an operator has dropped, which [`fold_with_dropped`](Self::fold_with_dropped)
    /// hands out as well.
    pub fn with_dropped(&self) -> impl Iterator<Item = Event<'a>> {
        self.not_parked().map(|event| self.righted(event))
    }

    /// A dropped event may have been parked for its wrong hash; whoever keeps states by hash must find the aggregate's.
    fn righted(&self, event: Event<'a>) -> Event<'a> {
        let is_stored = self.layout.foreign().is_none();
        let wrong = is_stored && self.is_dropped(&event);
        if wrong { Event { hash: IdHash::of(event.aggregate_id), ..event } } else { event }
    }

    fn is_dropped(&self, event: &Event<'_>) -> bool {
        !self.dropped.is_empty() && self.dropped.contains(&event.position)
    }

    /// The most events that [`events`](Self::events) can give, or that are in the view of those that were not read.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.in_view.as_ref().map_or(self.events.len(), |in_view| in_view.span.positions())
    }

    /// Hands each event to `apply`, in order. Where it refuses one, because the event can never be applied, the event's
    /// aggregate is parked with that reason: later events of it are not handed out any more.
    pub fn fold<R: Display>(&mut self, mut apply: impl FnMut(&Event<'a>) -> Result<(), R>) {
        self.fold_with_dropped(|event, dropped| if dropped { Ok(()) } else { apply(event) });
    }

    /// The same, with the events that an operator has dropped, which are marked: a projection that looks at
    /// versions moves on past them.
    pub fn fold_with_dropped<R: Display>(&mut self, mut apply: impl FnMut(&Event<'a>, bool) -> Result<(), R>) {
        let started = Instant::now();
        for (index, event) in self.events.events().enumerate() {
            if self.parked.contains(index, &event) {
                continue;
            }
            if let Err(reason) = apply(&self.righted(event), self.is_dropped(&event)) {
                self.parked.insert(event.aggregate_type, event.aggregate_id, index);
                self.refused.insert(index, reason.to_string());
            }
        }
        self.folding += started.elapsed();
    }

    /// Time spent in [`fold`](Self::fold).
    pub(crate) fn folding(&self) -> Duration {
        self.folding
    }

    /// The first event that no projection can be given, and why.
    pub(crate) fn first_unreadable(&self) -> Option<(Position, String)> {
        let (&index, reason) = self.misplaced.iter().min_by_key(|(index, _)| **index)?;
        Some((self.events.event(index).position, reason.clone()))
    }

    /// What is to be parked: the refused events, and all others of their aggregates that come after them.
    pub(crate) fn to_park(&self) -> Vec<ParkedEvent<'_>> {
        if self.parked.0.is_empty() {
            return Vec::new();
        }
        let mut parked = Vec::new();
        for (index, event) in self.events.events().enumerate().filter(|(_, event)| !self.is_dropped(event)) {
            if self.parked.contains(index, &event) {
                let reason = self.refused.get(&index).or_else(|| self.misplaced.get(&index));
                parked.push(ParkedEvent { event, reason: reason.map_or(BEHIND, String::as_str) });
            }
        }
        parked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Version;

    fn event(number: i64, aggregate_id: &str) -> Event<'_> {
        Event {
            position: Position::new(number),
            version: Version::new(number),
            aggregate_type: "t",
            aggregate_id,
            event_type: "e",
            payload: "{}",
            envelope: None,
            hash: IdHash::of(aggregate_id),
        }
    }

    fn buffer(ids: &[&str]) -> EventBuffer {
        let mut buffer = EventBuffer::default();
        (1..).zip(ids).for_each(|(position, id)| buffer.push(&event(position, id)));
        buffer
    }

    fn parked<'a>(batch: &'a Batch<'_>) -> Vec<(i64, &'a str)> {
        batch.to_park().iter().map(|p| (p.event.position.get(), p.reason)).collect()
    }

    #[test]
    fn a_refused_event_parks_the_later_ones_of_its_aggregate_and_no_others() {
        let buffer = buffer(&["a", "b", "a", "b", "a", "c"]);
        let (schema, layout) = (Schema::default(), Layout::default());
        let mut batch = Batch::new((&schema, &layout), &buffer, HashSet::new(), HashSet::new());
        let mut applied = Vec::new();
        batch.fold(|event| {
            if event.position == 3 {
                return Err("no");
            }
            applied.push(event.position);
            Ok(())
        });
        assert_eq!(applied, [1, 2, 4, 6]);
        assert_eq!(parked(&batch), [(3, "no"), (5, BEHIND)]);
        assert_eq!(batch.events().map(|event| event.position).collect::<Vec<_>>(), applied, "what is left to apply");
        // A second look refuses an earlier event of another one.
        batch.fold(|event| if event.position == 4 { Err("nor this") } else { Ok(()) });
        assert_eq!(parked(&batch), [(3, "no"), (4, "nor this"), (5, BEHIND)]);
        assert_eq!(batch.events().map(|event| event.position).collect::<Vec<_>>(), [1, 2, 6]);
    }

    #[test]
    fn an_event_with_a_wrong_hash_is_parked_with_every_event_of_its_aggregate() {
        let mut buffer = buffer(&["a", "b"]);
        buffer.push(&Event { hash: IdHash::of("else"), ..event(3, "a") });
        let (schema, layout) = (Schema::default(), Layout::default());
        let mut batch = Batch::new((&schema, &layout), &buffer, HashSet::new(), HashSet::new());
        let mut applied = Vec::new();
        batch.fold(|event| {
            applied.push(event.position);
            Ok::<(), &str>(())
        });
        assert_eq!(applied, [2]);
        let parked = batch.to_park();
        assert_eq!(parked.iter().map(|p| p.event.position).collect::<Vec<_>>(), [1, 3]);
        assert!(parked[1].reason.contains("its hash is"), "{}", parked[1].reason);
    }

    #[test]
    fn events_of_an_aggregate_that_was_parked_before_are_parked_and_not_handed_out() {
        let buffer = buffer(&["a", "b", "a"]);
        let before = HashSet::from([Aggregate { aggregate_type: "t".into(), aggregate_id: "a".into() }]);
        let (schema, layout) = (Schema::default(), Layout::default());
        let mut batch = Batch::new((&schema, &layout), &buffer, before, HashSet::new());
        assert_eq!(batch.events().map(|e| e.position).collect::<Vec<_>>(), [2]);
        batch.fold(|_| Ok::<(), &str>(()));
        assert_eq!(parked(&batch), [(1, BEHIND), (3, BEHIND)]);
    }
}
