//! Whether a process does what it is for, or why not, in a sentence.

use evenfold::projection::{Phase, ProcessWorker, Trouble};
use std::time::{Duration, Instant};

/// Whether each of these workers does its work, or waits for others who do; or why not, of all for which it is so.
///
/// A worker that steps has an answer of its database: nothing else is asked of it.
pub(crate) fn ready(workers: &[ProcessWorker], oldest_step: Duration) -> Result<(), String> {
    if workers.is_empty() {
        return Err("no worker runs in this process: it has not begun yet, or its workers have ended".to_owned());
    }
    let troubles: Vec<String> = workers.iter().filter_map(|worker| trouble(worker, oldest_step)).collect();
    if troubles.is_empty() { Ok(()) } else { Err(troubles.join("; ")) }
}

fn trouble(worker: &ProcessWorker, oldest_step: Duration) -> Option<String> {
    let of = worker.projection.as_ref().map_or_else(String::new, |projection| format!(" of {projection}"));
    let what = worker.partition.map_or_else(|| "a partition".to_owned(), |partition| format!("partition {partition}"));
    let (progress, phase) = (&worker.progress, worker.progress.phase());
    if let Some(Trouble { why, since, next_try, .. }) = progress.trouble() {
        // With another number of partitions, others have what was this one's.
        if matches!(phase, Phase::Superseded(_)) {
            return None;
        }
        let next = next_try.map_or("it is not tried again in this process".to_owned(), |next| {
            format!("the next try is in {:.1} s", next.saturating_duration_since(Instant::now()).as_secs_f64())
        });
        let lasted = since.elapsed().as_secs_f64();
        return Some(format!("nobody in this process has worked on {what}{of} for {lasted:.1} s: {why}; {next}"));
    }
    if phase == Phase::Starting {
        return Some(format!("the worker of {what}{of} is starting: it has not read its checkpoint yet"));
    }
    let age = progress.step_age();
    // Who waits looks as seldom as its settings have it.
    let waits = matches!(phase, Phase::StandingBy | Phase::Superseded(_));
    (age > oldest_step && !waits).then(|| {
        format!(
            "the worker of {what}{of} has not finished a step for {:.0} s: its batch takes that long, or it hangs",
            age.as_secs_f64()
        )
    })
}
