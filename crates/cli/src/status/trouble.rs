//! What is wrong with a projection, a sentence for each reason: classes that share one share its sentence.

use super::order::worst_first;
use super::reason::{Reason, listed};
use crate::output::thousands;
use evenfold::checkpoint::{ClassStatus, Status};
use evenfold::counters::NAME;

/// The sentences, the worst first.
pub(super) fn sentences(status: &Status) -> Vec<String> {
    let mut sentences = Vec::new();
    if !status.cover_complete {
        sentences.push(format!(
            "cover INCOMPLETE: checkpoints were removed or added by hand, and some events can't be applied; {}",
            restore(&status.projection)
        ));
    }
    sentences.extend(nobody(status));
    let sorted = worst_first(&status.classes);
    let total = sorted.len();
    for reason in reasons(&sorted, |class| class.idle.as_deref()) {
        sentences.push(match &reason.classes[..] {
            [class] => format!("{class}: {}", reason.text()),
            several => {
                let (count, text) = (several.len(), reason.text());
                let text = text.strip_prefix("no worker; ").unwrap_or(&text);
                format!("no worker is at work on {count} of {total} classes ({}): {text}", listed(several))
            }
        });
    }
    sentences.extend(parked(&sorted));
    for reason in reasons(&sorted, |class| class.late.as_deref()) {
        let (classes, text) = (listed(&reason.classes), reason.text());
        sentences.push(match reason.classes.len() {
            1 => format!("{classes}: {text}"),
            count => format!("{count} of {total} classes ({classes}): {text}"),
        });
    }
    sentences
}

/// What to do about checkpoints that were removed or added.
pub(super) fn restore(projection: &str) -> &'static str {
    if projection == NAME {
        "run `evenfold rebuild`"
    } else {
        "give the projection another name and new tables, and let it fold the log anew"
    }
}

/// Where nobody is at work at all, in words: a table of zeros looks like one in which all is well.
fn nobody(status: &Status) -> Option<String> {
    let applied = match (status.applied(), status.events) {
        (Some(applied), Some(events)) => format!("{} of {} events are applied", thousands(applied), thousands(events)),
        _ if !status.cover_complete => "how many events are applied is not known".to_owned(),
        _ => format!("{} events are not applied", thousands(status.behind())),
    };
    status.is_idle().then(|| format!("{applied}; no worker is at work."))
}

fn parked(classes: &[&ClassStatus]) -> Option<String> {
    let concerned: Vec<&str> = classes.iter().filter(|class| class.parked > 0).map(|class| &*class.class).collect();
    let aggregates: i64 = classes.iter().map(|class| class.parked).sum();
    let are = if aggregates == 1 { "aggregate is" } else { "aggregates are" };
    let (aggregates, of) = (thousands(aggregates), listed(&concerned));
    (!concerned.is_empty()).then(|| format!("{aggregates} {are} parked, of {of}: `evenfold parked list` says why"))
}

/// The reasons, with the classes that share them; those of most classes first.
fn reasons<'a>(classes: &[&'a ClassStatus], of: impl Fn(&'a ClassStatus) -> Option<&'a str>) -> Vec<Reason<'a>> {
    let mut reasons: Vec<Reason<'a>> = Vec::new();
    for class in classes {
        let Some(text) = of(class) else { continue };
        let reason = Reason::new(&class.class, class.owner.as_deref(), text);
        match reasons.iter_mut().find(|known| known.is_same(&reason)) {
            Some(known) => known.join(reason),
            None => reasons.push(reason),
        }
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.classes.len()));
    reasons
}
