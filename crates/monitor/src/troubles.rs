//! What is wrong with projections, in sentences: what a page is red for, and why a probe fails.

use crate::reading::{ProjectionReading, Reading};
use evenfold::checkpoint::ClassStatus;
use serde::Serialize;
use std::collections::BTreeMap;

/// A class that is behind, and whose checkpoint has not moved for so long, stands still, whatever its worker says.
const STANDS_STILL: f64 = 10.0;

/// Classes with the same trouble are named up to this many.
const NAMED: usize = 3;

/// Something that keeps a read model from being what the log makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectionTrouble {
    /// Which projection; none where it is about all of them.
    pub projection: Option<String>,
    /// Classes that it is about; none where it is about the whole projection.
    pub classes: Vec<String>,
    /// What is wrong, and what to do where that is known.
    pub sentence: String,
    /// Whether events are not applied because of it: otherwise it is for somebody to look at.
    pub stops: bool,
}

impl Reading {
    /// What is wrong, the worst first.
    #[must_use]
    pub fn troubles(&self) -> Vec<ProjectionTrouble> {
        if let Some(why) = &self.error {
            let sentence = format!("the database can't be asked, and nothing is known of the projections: {why}");
            return vec![ProjectionTrouble { projection: None, classes: Vec::new(), sentence, stops: true }];
        }
        // A rebuild that was stopped waits for whoever goes on with it.
        let projections = self.projections.iter().filter(|p| p.rebuilds.is_none());
        let mut troubles: Vec<ProjectionTrouble> = projections.flat_map(of_projection).collect();
        troubles.sort_by_key(|trouble| !trouble.stops);
        troubles
    }
}

fn of_projection(p: &ProjectionReading) -> Vec<ProjectionTrouble> {
    let name = &p.status.projection;
    let trouble = |classes: Vec<String>, sentence: String, stops| ProjectionTrouble {
        projection: Some(name.clone()),
        classes,
        sentence,
        stops,
    };
    let mut troubles = Vec::new();
    if !p.status.cover_complete {
        let sentence = format!(
            "{name}: the cover of the hashes is not complete, and some events can't be applied: checkpoints were \
             removed or added by hand; rebuild the projection"
        );
        troubles.push(trouble(Vec::new(), sentence, true));
    }
    let (mut idle, mut still) = (Classes::default(), Classes::default());
    for class in &p.status.classes {
        if let Some(why) = &class.idle {
            idle.add(class, why);
        } else if class.behind > 0 && p.uncounted.is_none() && class.moved_seconds >= STANDS_STILL && !is_new(class) {
            still.add(class, &at_work_on(class));
        }
    }
    let all = p.status.classes.len();
    for (why, classes) in idle.0 {
        let sentence = format!("{name}: nobody works on {}: {why}", called(&classes, all));
        troubles.push(trouble(classes, sentence, true));
    }
    for (why, classes) in still.0 {
        let sentence = format!("{name}: {} does not move: {why}", called(&classes, all));
        troubles.push(trouble(classes, sentence, true));
    }
    if let Some(why) = &p.uncounted {
        troubles.push(trouble(Vec::new(), format!("{name}: how far it is behind is not known: {why}"), false));
    }
    let parked: i64 = p.status.classes.iter().map(|class| class.parked).sum();
    if parked > 0 {
        let aggregates = if parked == 1 { "aggregate is" } else { "aggregates are" };
        let sentence = format!("{name}: {parked} {aggregates} parked, and the read model lacks their events");
        troubles.push(trouble(Vec::new(), sentence, false));
    }
    troubles
}

/// Its oldest event came after the checkpoint was written, and less than that ago: an idle class has an old checkpoint.
fn is_new(class: &ClassStatus) -> bool {
    class.behind_seconds < STANDS_STILL
}

/// Classes by what is wrong with them.
#[derive(Default)]
struct Classes(BTreeMap<String, Vec<String>>);

impl Classes {
    fn add(&mut self, class: &ClassStatus, why: &str) {
        self.0.entry(why.to_owned()).or_default().push(class.class.clone());
    }
}

fn at_work_on(class: &ClassStatus) -> String {
    let (owner, state) = (class.owner.as_deref().unwrap_or("nobody"), class.state.as_deref().unwrap_or("unknown"));
    format!(
        "{owner} says that it is {state}, and the checkpoint was written {:.0} s ago, with events that are {:.0} s old \
         behind it",
        class.moved_seconds, class.behind_seconds
    )
}

fn called(classes: &[String], all: usize) -> String {
    match classes {
        [one] => format!("class {one}"),
        many if many.len() == all => format!("any of its {all} classes"),
        many if many.len() <= NAMED => format!("the classes {}", many.join(", ")),
        many => format!("{} of {all} classes ({}, …)", many.len(), many[..NAMED].join(", ")),
    }
}
