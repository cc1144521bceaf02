//! A worker's steps, in the order of `projection::Worker`. Between any two of them others may act.

use super::cases::{Case, Cases};
use super::log::{Event, Log, Source};
use super::looking::Glance;
use super::mutant::Mutant;
use super::reading::{note_events, seen_by};
use super::store::Store;
use evenfold::checkpoint::{Checkpoint, CheckpointRow};
use evenfold::class::{Class, is_exact_cover};
use evenfold::log::foreign::{Holder, Holes};
use evenfold::log::{Fence, Snapshot};
use evenfold::number::Revision;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    pub class: Class,
    id: Uuid,
    pub phase: Phase,
    /// Whether it has a heartbeat, as one has that is paused for long no more.
    pub beating: bool,
    /// What mutants remember and should not.
    pub remembered: Option<Fence>,
    pub last_holders: Option<BTreeSet<Holder>>,
    /// Of a log that others write: what it knows of the positions that are missing.
    pub holes: Holes,
    /// How many changes of the definition it knows of.
    pub definition: u8,
    /// Whether a mutant has compared the definition already.
    compared: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Not started yet.
    Off,
    /// To register, or waiting because it may not take over.
    Joining,
    /// Connected, with nothing in memory.
    Unknown { outrun: bool },
    /// Waiting until the newest of its rows does not move any more.
    StandingBy { newest: Revision },
    /// About to take a fence.
    Holding(Holding),
    /// A fence of which a part was read.
    Fencing(Holding, Part),
    /// With a fence, waiting for others of its pool that have one.
    Gathering(Holding, Fence),
    /// Events were read, and are to be applied.
    Batch(Batch),
    /// About to put one row in the place of all of its rows.
    Merging(Holding, Checkpoint),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    pub rows: Vec<CheckpointRow>,
    written_floor: i64,
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub enum Part {
    Floor(i64),
    FloorAndSnapshot(i64, Snapshot),
    /// In the wrong order.
    Snapshot(Snapshot, u64),
    /// Of a log that others write.
    Of(Glance),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub holding: Holding,
    pub rows: Vec<usize>,
    pub checkpoint: Checkpoint,
    pub events: Vec<Event>,
    /// Where the window began, to know which events are late.
    pub seen: Fence,
}

/// What a worker's step depends on, in addition to the database.
pub struct Rules<'a> {
    pub source: Source,
    pub batch: usize,
    pub spans: bool,
    pub gathers: bool,
    /// Whether something can happen between the snapshot and the count of the xids.
    pub apart: bool,
    pub mutant: Option<Mutant>,
    pub cases: &'a Cases,
}

impl Rules<'_> {
    pub fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

fn lowest_floor(rows: &[CheckpointRow]) -> i64 {
    rows.iter().map(|row| row.checkpoint.floor()).min().unwrap_or_default().get()
}

fn newest_of(rows: &[CheckpointRow]) -> Revision {
    rows.iter().map(|row| row.revision).max().unwrap_or_default()
}

impl Worker {
    pub fn new(number: usize, class: Class, phase: Phase) -> Self {
        let beating = !matches!(phase, Phase::Off | Phase::Joining);
        let id = Uuid::from_u128(number as u128 + 1);
        Self {
            class,
            id,
            phase,
            beating,
            remembered: None,
            last_holders: None,
            holes: Holes::default(),
            definition: 0,
            compared: false,
        }
    }

    /// Reads the rows, and decides who works on them.
    pub fn load(&mut self, store: &Store, log: &Log, rules: &Rules<'_>) {
        let compares = !rules.has(Mutant::DefinitionAtRegistrationOnly) && !self.compared;
        if compares && store.definition != self.definition {
            rules.cases.note(Case::OtherDefinition);
            self.phase = Phase::Joining;
            return;
        }
        if rules.has(Mutant::DefinitionBeforeRows) && !self.compared {
            self.compared = true;
            return;
        }
        self.compared = false;
        self.holes.forget();
        self.last_holders = None;
        let rows = store.load(self.class);
        let classes: Vec<Class> = rows.iter().map(|row| row.class).collect();
        let own_total = store.total() == self.class.modulus() || rules.has(Mutant::StragglersStay);
        if !own_total || !is_exact_cover(self.class, &classes) {
            if !store.may_register(self.class.modulus()) {
                rules.cases.note(Case::Superseded);
            }
            // It ends, and is started again as another one; a worker that only finds its rows changed goes on.
            self.beating &= own_total;
            self.phase = Phase::Joining;
            return;
        }
        let newest = newest_of(&rows);
        let others = rows.iter().any(|row| row.owner.is_some_and(|owner| owner != self.id));
        match self.phase {
            Phase::Unknown { outrun: true } if others => {
                rules.cases.note(Case::StandingBy);
                self.phase = Phase::StandingBy { newest };
                return;
            }
            Phase::StandingBy { newest: seen } if others && seen != newest => {
                self.phase = Phase::StandingBy { newest };
                return;
            }
            Phase::StandingBy { .. } => rules.cases.note(Case::TakenUp),
            _ => {}
        }
        let written_floor = lowest_floor(&rows);
        self.go_on(Holding { rows, written_floor }, log, rules);
    }

    /// Commits the batch that was read.
    pub fn apply(&mut self, store: &mut Store, log: &Log, rules: &Rules<'_>) {
        let Phase::Batch(batch) = std::mem::replace(&mut self.phase, Phase::Unknown { outrun: true }) else {
            panic!("nothing to apply");
        };
        let Batch { mut holding, rows, checkpoint, events, seen } = batch;
        let written: Vec<&CheckpointRow> = rows.iter().map(|&index| &holding.rows[index]).collect();
        let has_waited = events.iter().any(|event| store.has_passed(event));
        let Some(revisions) = store.commit(&written, &checkpoint, self.id, &events) else {
            rules.cases.note(Case::Outrun);
            if rules.has(Mutant::FenceBeforeRow) {
                let mut reached = checkpoint;
                reached.close();
                self.remembered = Some(seen_by(&reached));
            }
            return;
        };
        if store.definition != self.definition {
            store.wrong = Some("applied under a definition that was replaced");
        }
        note_events(&events, &seen, &checkpoint, rules.cases);
        if has_waited {
            rules.cases.note(Case::HasWaited);
        }
        for (&index, revision) in rows.iter().zip(revisions) {
            let class = holding.rows[index].class;
            holding.rows[index] =
                CheckpointRow { class, checkpoint: checkpoint.clone(), revision, owner: Some(self.id) };
        }
        holding.written_floor = lowest_floor(&holding.rows);
        self.go_on(holding, log, rules);
    }

    pub fn merge(&mut self, store: &mut Store, log: &Log, rules: &Rules<'_>) {
        let Phase::Merging(holding, checkpoint) = std::mem::replace(&mut self.phase, Phase::Unknown { outrun: true })
        else {
            panic!("nothing to merge");
        };
        let Some(merged) = store.merge(&holding.rows, self.class, checkpoint, self.id) else {
            rules.cases.note(Case::MergeOutrun);
            return;
        };
        rules.cases.note(Case::Merge);
        self.remembered = None;
        let written_floor = merged.checkpoint.floor();
        self.go_on(Holding { rows: vec![merged], written_floor: written_floor.get() }, log, rules);
    }

    /// Whether it has looked further than its row says.
    pub fn may_write(&self) -> bool {
        matches!(&self.phase, Phase::Holding(Holding { rows, written_floor }) if *written_floor != lowest_floor(rows))
    }

    /// Writes the end of a window that was empty, as is done now and then.
    pub fn write(&mut self, store: &mut Store, rules: &Rules<'_>) {
        let Phase::Holding(holding) = &mut self.phase else {
            panic!("nothing to write");
        };
        let row = &holding.rows[0];
        if let Some(revisions) = store.commit(&[row], &row.checkpoint, self.id, &[]) {
            rules.cases.note(Case::EmptyWindow);
            holding.rows[0].revision = revisions[0];
            holding.written_floor = lowest_floor(&holding.rows);
        } else {
            rules.cases.note(Case::Outrun);
            self.phase = Phase::Unknown { outrun: true };
        }
    }

    /// Whether it is at work without a heartbeat.
    pub fn is_paused(&self) -> bool {
        !self.beating && self.has_something_in_memory()
    }

    pub fn has_something_in_memory(&self) -> bool {
        !matches!(self.phase, Phase::Off | Phase::Joining | Phase::Unknown { outrun: false })
    }

    /// `Worker::forget`, on another connection than before.
    pub fn forget(&mut self) {
        (self.remembered, self.last_holders, self.compared) = (None, None, false);
        self.holes = Holes::default();
        self.phase = Phase::Unknown { outrun: false };
    }

    pub fn crash(&mut self, store: &mut Store, cases: &Cases) {
        if matches!(self.phase, Phase::Batch(_)) {
            cases.note(Case::CrashBetween);
        }
        store.disown(self.id);
        self.forget();
        self.beating = false;
        self.phase = Phase::Joining;
    }

    pub fn hash_into(&self, store: &Store, into: &mut impl Hasher) {
        std::mem::discriminant(&self.phase).hash(into);
        (self.beating, &self.remembered, self.definition, self.compared).hash(into);
        (&self.holes, &self.last_holders).hash(into);
        match &self.phase {
            Phase::Off | Phase::Joining => {}
            Phase::Unknown { outrun } => outrun.hash(into),
            Phase::StandingBy { newest } => {
                (newest_of(&store.load(self.class)) == *newest).hash(into);
            }
            Phase::Holding(holding) => holding.hash_into(store, into),
            Phase::Fencing(holding, part) => {
                holding.hash_into(store, into);
                part.hash(into);
            }
            Phase::Gathering(holding, fence) => {
                holding.hash_into(store, into);
                fence.hash(into);
            }
            Phase::Batch(Batch { holding, rows, checkpoint, events, seen }) => {
                holding.hash_into(store, into);
                (rows, checkpoint, events, seen).hash(into);
            }
            Phase::Merging(holding, checkpoint) => {
                holding.hash_into(store, into);
                checkpoint.hash(into);
            }
        }
    }
}

impl Holding {
    fn hash_into(&self, store: &Store, into: &mut impl Hasher) {
        for row in &self.rows {
            (row.class, &row.checkpoint, store.still_has(row)).hash(into);
        }
        self.written_floor.hash(into);
    }
}
