//! One partition of a pool: what its worker does, how far it is, and how fast.

use super::output::visible;
use super::progress::{Rate, figures};
use evenfold::projection::{Phase, PoolWorker};
use std::fmt;
use std::time::Instant;

/// How many columns a line has for what it is about.
const NAME: usize = 12;

/// What a worker does, those that need somebody first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Ended,
    Retrying,
    Superseded,
    StandingBy,
    Starting,
    Applying,
    CaughtUp,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "ended",
            Self::Retrying => "retrying",
            Self::Superseded => "superseded",
            Self::StandingBy => "standing by",
            Self::Starting => "starting",
            Self::Applying => "applying",
            Self::CaughtUp => "caught up",
        })
    }
}

/// How many there are of each kind, such as "2 retrying, 5 caught up".
pub(super) fn counts(kinds: &[Kind]) -> String {
    let mut sorted = kinds.to_vec();
    sorted.sort_unstable();
    let groups = sorted.chunk_by(|one, other| one == other);
    groups.map(|group| format!("{} {}", group.len(), group[0])).collect::<Vec<_>>().join(", ")
}

/// The line of a partition.
pub(super) struct Gauge {
    name: String,
    member: PoolWorker,
    rate: Rate,
    now: Reading,
}

/// How it was when it was read last.
struct Reading {
    kind: Kind,
    applied: u64,
    /// None where it is not known, or means nothing because nobody here works on it.
    behind: Option<u64>,
    words: String,
}

impl Gauge {
    pub(super) fn new(name: &str, member: PoolWorker) -> Self {
        let partition = member.partition.to_string();
        // As much of the name as there is room for next to the partition.
        let shown: String = name.chars().take(NAME.saturating_sub(partition.len() + 1)).collect();
        let now = Reading { kind: Kind::Starting, applied: 0, behind: None, words: String::new() };
        Self { name: format!("{shown} {partition}"), member, rate: Rate::default(), now }
    }

    pub(super) fn read(&mut self, now: Instant) {
        let progress = &self.member.progress;
        let (phase, applied) = (progress.phase(), progress.applied());
        let ended = self.member.trouble().filter(|trouble| trouble.next_try.is_none());
        let (kind, behind) = match phase {
            _ if ended.is_some() => (Kind::Ended, None),
            Phase::Retrying(_) => (Kind::Retrying, None),
            Phase::Superseded(_) => (Kind::Superseded, None),
            Phase::StandingBy => (Kind::StandingBy, None),
            Phase::Starting => (Kind::Starting, None),
            // Counted some time ago, and applied since.
            Phase::Applying => (Kind::Applying, progress.lag().map(|lag| lag.events)),
            Phase::CaughtUp => (Kind::CaughtUp, Some(0)),
        };
        self.rate.sample(applied, now);
        let words = ended.map_or_else(|| phase.to_string(), |trouble| format!("ended: {}", trouble.why));
        self.now = Reading { kind, applied, behind, words };
    }

    pub(super) fn kind(&self) -> Kind {
        self.now.kind
    }

    pub(super) fn applied(&self) -> u64 {
        self.now.applied
    }

    pub(super) fn behind(&self) -> Option<u64> {
        self.now.behind
    }

    /// A bar of what is known, and words where the worker does not work: a bar would look like progress.
    pub(super) fn line(&self) -> String {
        let Reading { applied, behind, words, .. } = &self.now;
        let shown = match behind {
            Some(behind) => figures(*applied, applied + behind, &self.rate),
            None => visible(words).into_owned(),
        };
        format!("{:>NAME$} {shown}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_somebody_is_counted_first() {
        let kinds = [Kind::CaughtUp, Kind::Applying, Kind::Retrying, Kind::CaughtUp];
        assert_eq!(counts(&kinds), "1 retrying, 1 applying, 2 caught up");
        assert_eq!(counts(&[]), "");
    }
}
