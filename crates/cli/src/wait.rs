//! `wait`: until a projection has applied what is in the log.

use super::Global;
use super::advice::advice;
use super::output::{print, print_json};
use super::projections::{Projections, ProjectionsArg};
use super::session::Session;
use super::source::Logs;
use super::tuning::MAX_MS;
use crate::config::number;
use clap::Args;
use evenfold::event::Aggregate;
use evenfold::log::OpenSource;
use evenfold::number::{Position, Version};
use evenfold::projection::{Target, WaitError, wait_until_of};
use serde::Serialize;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The events of this aggregate
    #[arg(long, num_args = 2, value_names = ["TYPE", "ID"])]
    aggregate: Option<Vec<String>>,
    /// Those of the aggregate up to this version, from 1 [default: its last one]
    #[arg(long, requires = "aggregate", value_name = "V", value_parser = |t: &str| number::<i64>(t, &(1..=i64::MAX)))]
    version: Option<i64>,
    /// The event at this position of the log, from 1; can be given several times
    #[arg(long, value_name = "P", value_parser = |t: &str| number::<i64>(t, &(1..=i64::MAX)))]
    position: Vec<i64>,
    /// How long to wait, in milliseconds: 0 to 3600000; with 0 it is looked at once
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(0..=MAX_MS)))]
    timeout_ms: u64,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    projections: ProjectionsArg,
}

/// What came of it.
#[derive(Serialize)]
struct WaitOutcome<'a> {
    projection: &'a str,
    applied: bool,
    waited_ms: u128,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl WaitArgs {
    /// What is waited for, and what to call it.
    fn targets(&self) -> (Vec<Target>, String) {
        let (mut targets, mut names) = (Vec::new(), Vec::new());
        if let Some([aggregate_type, aggregate_id]) = self.aggregate.as_deref() {
            let aggregate = Aggregate::new(aggregate_type, aggregate_id);
            names.push(match self.version {
                Some(version) => format!("{aggregate} up to version {version}"),
                None => format!("all of {aggregate}"),
            });
            targets.push(Target::Aggregate { aggregate, version: self.version.map(Version::new) });
        }
        match self.position[..] {
            [] => {}
            [one] => names.push(format!("the event at position {one}")),
            _ => names.push(format!("the events at {} positions", self.position.len())),
        }
        if !self.position.is_empty() {
            targets.push(Target::Positions(self.position.iter().copied().map(Position::new).collect()));
        }
        if targets.is_empty() {
            return (vec![Target::Everything], "everything that was visible in the log".to_owned());
        }
        (targets, names.join(", and "))
    }
}

pub(super) async fn run(global: &Global, args: WaitArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let (targets, name) = args.targets();
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    let mut logs = Logs::open(global, &session).await?;
    let (started, timeout) = (Instant::now(), Duration::from_millis(args.timeout_ms));
    let (mut lines, mut refused) = (Vec::new(), None);
    for projection in known.names(&args.projections) {
        let left = timeout.saturating_sub(started.elapsed());
        let log = logs.of(session.database.schema(), &mut conn, projection).await?.map(|(_, log)| log);
        let outcome = wait(&session, &mut conn, log, projection, targets.clone(), left).await;
        let waited_ms = started.elapsed().as_millis();
        if args.json {
            let reason = outcome.as_ref().err().map(|error| advice(&error.to_string()).into_owned());
            print_json(&WaitOutcome { projection, applied: outcome.is_ok(), waited_ms, reason })?;
        }
        if let Err(error) = outcome {
            refused = Some(error);
            break;
        }
        lines.push(format!(
            "{projection}: {name} is applied, as far as the projection wants it, after {waited_ms} ms\n"
        ));
    }
    drop(conn);
    session.close().await?;
    if !args.json {
        print(&lines.concat())?;
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// Waits for one after the other, until one deadline.
async fn wait(
    session: &Session,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    projection: &str,
    targets: Vec<Target>,
    timeout: Duration,
) -> Result<(), WaitError> {
    let (started, mut left) = (Instant::now(), timeout);
    for target in targets {
        wait_until_of(session.database.schema(), conn, log.as_deref_mut(), projection, target, left).await?;
        left = timeout.saturating_sub(started.elapsed());
    }
    Ok(())
}
