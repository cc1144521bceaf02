//! `status --check`: what is not as it should be, for probes.

use super::order::age;
use super::trouble::restore;
use crate::config::number;
use crate::output::thousands;
use clap::Args;
use evenfold::checkpoint::{ClassStatus, Status};

/// How far a class may be behind.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// With --check, how many events a class may be behind, 0 to 1000000000 [default: any number]
    #[arg(long, requires = "check", value_name = "EVENTS", value_parser = |t: &str| number::<u64>(t, &(0..=1_000_000_000)))]
    max_lag: Option<u64>,
    /// With --check, how old the oldest event may be that a class has not applied, in seconds, 1 to 31536000 [default:
    /// any age]
    #[arg(long, requires = "check", value_name = "SECONDS", value_parser = |t: &str| number::<u32>(t, &(1..=31_536_000)))]
    max_lag_seconds: Option<u32>,
}

impl Limits {
    /// What is not as it should be, one sentence each, with the projection where several were asked for.
    pub(super) fn wrong(&self, status: &Status, several: bool) -> Vec<String> {
        let reasons = self.reasons(status).into_iter();
        let named = |reason| if several { format!("{}: {reason}", status.projection) } else { reason };
        reasons.map(named).collect()
    }

    fn reasons(&self, status: &Status) -> Vec<String> {
        let Some(total) = status.total_partitions else {
            let problem =
                if status.classes.is_empty() { "has not been begun" } else { "has lost its number of partitions" };
            return vec![format!("the projection {} {problem}: start a worker", status.projection)];
        };
        let mut reasons = Vec::new();
        if !status.cover_complete {
            reasons.push(format!(
                "the classes of {total} partitions are no exact cover: some events belong to none or to two; {}",
                restore(&status.projection)
            ));
        }
        for class in &status.classes {
            let ClassStatus { class: name, behind, behind_seconds, parked, .. } = class;
            reasons.extend(class.idle.as_ref().map(|why| format!("class {name}: {why}")));
            if let Some(most) = self.max_lag.filter(|most| behind > most) {
                let (behind, most) = (thousands(*behind), thousands(most));
                reasons.push(format!("class {name}: {behind} events behind, more than {most}"));
            }
            if let Some(most) = self.max_lag_seconds.filter(|most| *behind_seconds > f64::from(*most)) {
                let oldest = age(*behind_seconds);
                reasons.push(format!(
                    "class {name}: the oldest of {behind} events behind is {oldest} old, more than {most} s"
                ));
            }
            if *parked > 0 {
                reasons.push(format!("class {name}: {parked} parked aggregates; `evenfold parked list` says why"));
            }
        }
        reasons
    }
}

/// What was counted, where nothing is wrong.
pub(super) fn fine(status: &Status) -> String {
    let (total, behind) = (status.total_partitions.unwrap_or_default(), thousands(status.behind()));
    format!("{}: {total} partitions, all with a worker, {behind} events behind, nothing parked\n", status.projection)
}
