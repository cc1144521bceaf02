//! A rebuild under a new definition, as one step: what leads up to its switch touches nothing that others see. It
//! replaces what is applied by what the log has, and all checkpoints by one fence, with fresh revisions.

use super::cases::Case;
use super::check::{exhaustively, rejects};
use super::log::Log;
use super::mutant::Mutant;
use super::protocol::Protocol;
use super::reading::closed_at;
use super::store::Store;

impl Store {
    /// `counters::switch`: its fence is taken while no checkpoint can move.
    pub fn switch_definition(&mut self, log: &Log) {
        let checkpoint = closed_at(log.own().fence());
        for index in 0..self.rows.len() {
            if self.mutant != Some(Mutant::SwitchKeepsRevisions) {
                self.rows[index].revision = self.revision_after(Some(self.rows[index].revision));
            }
            self.rows[index].checkpoint = checkpoint.clone();
        }
        (self.applied, self.versions) = (0, [0; 3]);
        log.committed().iter().for_each(|event| self.apply(event));
        self.definition += 1;
    }
}

/// Workers that run have the old definition, those that start have the new one.
fn switched() -> Protocol {
    Protocol {
        writers: vec![vec![&[0], &[0]]],
        running: vec![(0, 1)],
        starting: vec![(0, 1)],
        batch: 1,
        switches: 1,
        ..Protocol::default()
    }
}

#[test]
fn no_event_is_applied_under_a_definition_that_was_replaced() {
    let cases = [Case::Outrun, Case::OtherDefinition, Case::Late];
    exhaustively("a new definition", &Protocol { mishaps: 1, ..switched() }, &cases);
}

#[test]
fn a_worker_compares_the_definition_whenever_it_reads_its_rows() {
    rejects(Mutant::DefinitionAtRegistrationOnly, switched());
}

#[test]
fn a_worker_compares_the_definition_after_it_has_read_its_rows() {
    rejects(Mutant::DefinitionBeforeRows, switched());
}

#[test]
fn a_switch_gives_fresh_revisions() {
    rejects(Mutant::SwitchKeepsRevisions, switched());
}
