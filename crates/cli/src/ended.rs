//! Workers of several projections and partitions that end, each for a reason of its own.

use evenfold::class::Class;
use evenfold::projection::{Report, RunError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::time::Duration;

/// What has ended for good is an error in the log when others go on for longer than this.
pub(crate) const OTHERS_END: Duration = Duration::from_secs(1);

/// A worker that has ended.
pub(crate) struct Ended {
    pub(crate) projection: String,
    /// None for one that chose its partitions itself.
    pub(crate) partition: Option<Class>,
    pub(crate) outcome: Result<Report, RunError>,
}

impl Ended {
    /// Logs that it has failed, if it has: for whoever sees that the process goes on.
    pub(crate) fn log(&self) {
        if let Err(error) = &self.outcome {
            let partition = self.partition();
            tracing::error!(projection = self.projection, partition, "nobody works on this here any more: {error}");
        }
    }

    fn partition(&self) -> String {
        self.partition.map_or_else(|| "auto".to_owned(), |partition| partition.to_string())
    }
}

/// Runs all to their ends, in the order of which they come.
pub(crate) async fn each<F: Future<Output = Ended>>(runs: Vec<F>) -> Vec<Ended> {
    let mut running: FuturesUnordered<F> = runs.into_iter().collect();
    let (mut ended, mut logged) = (Vec::new(), 0);
    loop {
        tokio::select! {
            next = running.next() => match next {
                Some(one) => ended.push(one),
                None => return ended,
            },
            () = tokio::time::sleep(OTHERS_END), if logged < ended.len() => log_new(&ended, &mut logged),
        }
    }
}

/// Logs those that have ended since the last time. Where all end together, the command ends with the reason instead.
pub(crate) fn log_new(ended: &[Ended], logged: &mut usize) {
    ended[*logged..].iter().for_each(Ended::log);
    *logged = ended.len();
}

/// Why workers ended that were not to: each reason once, with the partitions that it ended, and the projection where
/// there are several.
pub(crate) fn failures(ended: &[Ended]) -> Option<String> {
    let several = ended.iter().any(|one| one.projection != ended[0].projection);
    let mut reasons: Vec<(String, String, Vec<String>)> = Vec::new();
    for (one, error) in ended.iter().filter_map(|one| Some((one, one.outcome.as_ref().err()?))) {
        let (partition, sentence) = (one.partition(), error.to_string());
        let name = if several { format!("{} {partition}", one.projection) } else { partition.clone() };
        // Sentences that differ in the partition alone are one reason.
        let reason = sentence.replace(&partition, "");
        match reasons.iter_mut().find(|(known, ..)| *known == reason) {
            Some((.., partitions)) => partitions.push(name),
            None => reasons.push((reason, sentence, vec![name])),
        }
    }
    let listed = reasons.iter().map(|(_, sentence, partitions)| match &partitions[..] {
        [one, _, _, _, _, ..] => format!("{one} and {} more partitions: {sentence}", partitions.len() - 1),
        few => format!("{}: {sentence}", few.join(", ")),
    });
    Some(listed.collect::<Vec<_>>().join("; ")).filter(|listed| !listed.is_empty())
}
