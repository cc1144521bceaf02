//! The checkpoints, the topologies and the read model, as the statements of `checkpoint::store` and
//! `checkpoint::topology` change them.

use super::cases::{Case, Cases};
use super::log::{Event, Log, keys};
use super::mutant::Mutant;
use super::reading::closed_at;
use evenfold::checkpoint::{Checkpoint, CheckpointRow};
use evenfold::class::{Class, is_exact_cover};
use evenfold::log::{Fence, Window};
use evenfold::number::{Position, Revision};
use std::hash::{Hash, Hasher};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// In the order of their keys.
    pub(super) rows: Vec<CheckpointRow>,
    last_revision: i64,
    pub(super) mutant: Option<Mutant>,
    /// The current total.
    total: u32,
    superseded: Vec<u32>,
    /// The read model: which positions were applied (bits), and the version of each aggregate.
    pub(super) applied: u32,
    pub(super) versions: [u8; 3],
    /// How many times a rebuild has changed it.
    pub definition: u8,
    /// What an application of events has shown to be wrong.
    pub wrong: Option<&'static str>,
    /// How many times rows were split or merged.
    pub rearranged: u8,
    /// How many times a replaced total took over because nobody was alive.
    pub taken_from_nobody: u8,
}

impl Store {
    pub fn new(total: u32, before_all: Fence, mutant: Option<Mutant>) -> Self {
        let whole = CheckpointRow {
            class: Class::partition(0, 1).unwrap(),
            checkpoint: closed_at(before_all),
            revision: Revision::new(0),
            owner: None,
        };
        Self {
            rows: vec![whole],
            last_revision: 0,
            mutant,
            total,
            superseded: Vec::new(),
            applied: 0,
            versions: [0; 3],
            definition: 0,
            wrong: None,
            rearranged: 0,
            taken_from_nobody: 0,
        }
    }

    /// `load`.
    pub fn load(&self, partition: Class) -> Vec<CheckpointRow> {
        self.rows.iter().filter(|row| row.class.is_inside(partition)).cloned().collect()
    }

    /// `current_total`.
    pub fn total(&self) -> u32 {
        self.total
    }

    pub fn may_register(&self, total: u32) -> bool {
        self.total == total || !self.superseded.contains(&total)
    }

    /// `register`, of a worker that may.
    pub fn register(&mut self, partition: Class, misses_merge: bool, cases: &Cases) {
        let total = partition.modulus();
        if self.total != total {
            self.superseded.retain(|&other| other != total);
            self.superseded.push(self.total);
            self.superseded.sort_unstable();
            self.total = total;
            cases.note(Case::Takeover);
        }
        if !misses_merge {
            self.split(partition, cases);
        }
    }

    fn split(&mut self, partition: Class, cases: &Cases) {
        for row in std::mem::take(&mut self.rows) {
            if !row.class.overlaps(partition) || row.class.is_inside(partition) {
                self.rows.push(row);
                continue;
            }
            cases.note(if row.checkpoint.has_open_window() { Case::SplitOpen } else { Case::Split });
            for class in row.class.cells(partition.modulus()).unwrap() {
                let revision = self.revision_after(None);
                self.rows.push(CheckpointRow { class, checkpoint: row.checkpoint.clone(), revision, owner: None });
            }
            self.rearranged += 1;
        }
        self.rows.sort_by_key(|row| row.class);
    }

    /// The revision of a row that is written, or new.
    pub(super) fn revision_after(&mut self, before: Option<Revision>) -> Revision {
        if self.mutant == Some(Mutant::ReusedRevisions) {
            return before.map_or(Revision::new(0), |before| Revision::new(before.get() + 1));
        }
        self.last_revision += 1;
        Revision::new(self.last_revision)
    }

    fn find(&self, read: &CheckpointRow) -> Option<usize> {
        let any_revision = self.mutant == Some(Mutant::NoRevisionCheck);
        self.rows.iter().position(|row| row.class == read.class && (any_revision || row.revision == read.revision))
    }

    /// `commit`, and the read model's changes in the same transaction. Gives the new revisions.
    pub fn commit(
        &mut self,
        rows: &[&CheckpointRow],
        checkpoint: &Checkpoint,
        owner: Uuid,
        events: &[Event],
    ) -> Option<Vec<Revision>> {
        let found: Vec<usize> = rows.iter().map(|row| self.find(row)).collect::<Option<_>>()?;
        let mut revisions = Vec::with_capacity(found.len());
        for index in found {
            let revision = self.revision_after(Some(self.rows[index].revision));
            let class = self.rows[index].class;
            self.rows[index] = CheckpointRow { class, checkpoint: checkpoint.clone(), revision, owner: Some(owner) };
            revisions.push(revision);
        }
        for event in events {
            self.apply(event);
        }
        Some(revisions)
    }

    pub(super) fn apply(&mut self, event: &Event) {
        let version = &mut self.versions[event.aggregate];
        if self.applied & (1 << event.position) != 0 {
            self.wrong = Some("applied twice");
        } else if event.version != *version + 1 {
            self.wrong = Some("applied out of order");
        }
        *version = event.version;
        self.applied |= 1 << event.position;
    }

    /// `merge`.
    pub fn merge(
        &mut self,
        rows: &[CheckpointRow],
        class: Class,
        checkpoint: Checkpoint,
        owner: Uuid,
    ) -> Option<CheckpointRow> {
        let found: Vec<usize> = rows.iter().map(|row| self.find(row)).collect::<Option<_>>()?;
        let revision = self.revision_after(None);
        let mut index = 0..;
        self.rows.retain(|_| !found.contains(&index.next().unwrap()));
        let merged = CheckpointRow { class, checkpoint, revision, owner: Some(owner) };
        self.rows.push(merged.clone());
        self.rows.sort_by_key(|row| row.class);
        self.rearranged += 1;
        Some(merged)
    }

    /// A worker that starts anew has a new id: nobody is any more who it was.
    pub fn disown(&mut self, owner: Uuid) {
        for row in self.rows.iter_mut().filter(|row| row.owner == Some(owner)) {
            row.owner = Some(Uuid::nil());
        }
    }

    /// What has occurred has, although the server has lost it.
    pub fn count_on_from(&mut self, before: &Self) {
        (self.wrong, self.rearranged, self.taken_from_nobody) =
            (before.wrong, before.rearranged, before.taken_from_nobody);
    }

    pub fn is_exact_cover(&self) -> bool {
        let classes: Vec<Class> = self.rows.iter().map(|row| row.class).collect();
        is_exact_cover(Class::partition(0, 1).unwrap(), &classes)
    }

    fn has_applied(&self, event: &Event) -> bool {
        self.applied & (1 << event.position) != 0
    }

    /// Whether the cursor of an open window that has the event has passed its position.
    pub fn has_passed(&self, event: &Event) -> bool {
        let position = Position::new(event.position);
        let passes = |window: Window<'_>| window.upto.shows(event.xid, position) && position <= window.after;
        self.rows.iter().any(|row| event.is_of(&[row.class]) && row.checkpoint.window().is_some_and(passes))
    }

    /// Whether exactly those events were applied of which the rows say so.
    pub fn does_what_it_says(&self, log: &Log) -> bool {
        let expected = |event: &Event| {
            let mut rows = self.rows.iter().filter(|row| event.is_of(&[row.class]));
            rows.any(|row| log.is_applied(&row.checkpoint, event, self.mutant))
        };
        let known = log.committed().iter().fold(0, |bits, event| bits | 1_u32 << event.position);
        self.applied & !known == 0 && log.committed().iter().all(|event| self.has_applied(event) == expected(event))
    }

    /// Whether nobody finds an event applied that is not, by other means than its window.
    pub fn is_known_without_windows(&self, log: &Log) -> bool {
        let Log::Column(transactions) = log else { return true };
        let agree = |row: &CheckpointRow, event: &Event| {
            let is_applied = log.is_applied(&row.checkpoint, event, self.mutant);
            !event.is_of(&[row.class]) || keys::agree(transactions, &row.checkpoint, event, is_applied)
        };
        log.committed().iter().all(|event| self.rows.iter().all(|row| agree(row, event)))
    }

    /// The events that were not applied, and never will be.
    pub fn lost<'a>(&'a self, log: &'a Log) -> impl Iterator<Item = &'a Event> {
        let given_as_applied = |event: &Event| {
            let mut rows = self.rows.iter().filter(|row| event.is_of(&[row.class]));
            rows.any(|row| log.is_applied(&row.checkpoint, event, self.mutant))
        };
        log.committed().iter().filter(move |event| !self.has_applied(event) && given_as_applied(event))
    }

    pub fn has_applied_all(&self, log: &Log) -> bool {
        log.committed().iter().all(|event| self.has_applied(event))
    }

    /// Whether the row is still as it was when it was read.
    pub fn still_has(&self, read: &CheckpointRow) -> bool {
        self.rows.iter().any(|row| row.class == read.class && row.revision == read.revision)
    }

    /// Revisions are left out: a worker's either is still the row's, or will never be again.
    pub fn hash_into(&self, into: &mut impl Hasher) {
        for CheckpointRow { class, checkpoint, revision: _, owner } in &self.rows {
            (class, checkpoint, owner).hash(into);
        }
        (self.total, &self.superseded, self.applied, self.versions, self.wrong).hash(into);
        (self.rearranged, self.taken_from_nobody, self.definition).hash(into);
    }
}
