//! `verify`: read models, compared with what the log makes of them.

mod counters;
mod folded;
mod notes;
mod removed;

pub(super) use counters::verify;

use super::Global;
use super::output::{complain, print};
use super::projections::{Projections, ProjectionsArg};
use super::session::Session;
use super::source::Logs;
use crate::config::number;
use anyhow::bail;
use clap::{Args, FromArgMatches};
use evenfold::counter::AmountPointer;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// How many rows that differ to list, of each table: 1 to 1000000
    #[arg(long, default_value = "100", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=1_000_000)))]
    limit: u32,
    /// One JSON object per row that differs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    projections: ProjectionsArg,
}

/// What counts, in the commands of `evenfold` itself that check or rebuild the counters.
#[derive(Debug, Clone, Args)]
pub(super) struct PointerArg {
    /// The amount pointer that the workers of the counters have
    #[arg(long, env = "EVENFOLD_AMOUNT_POINTER", default_value = "/amount", value_name = "POINTER")]
    pub(super) amount_pointer: AmountPointer,
}

pub(super) async fn run(global: &Global, args: VerifyArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let chosen = known.chosen(&args.projections)?;
    let session = Session::open(global).await?;
    let own = session.database.schema();
    let mut logs = Logs::open(global, &session).await?;
    let (mut wrong, mut last) = (Vec::new(), None);
    for (n, name) in chosen.iter().enumerate() {
        if chosen.len() > 1 && !args.json {
            print(&format!("{}{name}\n", if n > 0 { "\n" } else { "" }))?;
        }
        let outcome = if known.is_counters(name) {
            let PointerArg { amount_pointer } = PointerArg::from_arg_matches(known.matches)?;
            let mut conn = session.connect().await?;
            match logs.of(own, &mut conn, name).await? {
                None => verify(own, &mut conn, &amount_pointer, args.limit, args.json).await,
                Some(log) => counters::verify_of(own, &mut conn, log, &amount_pointer, (args.limit, args.json)).await,
            }
        } else {
            let projection = known.one(name, None)?;
            // As its workers are.
            let mut conn = session.connect_by_index().await?;
            let log = logs.of(own, &mut conn, name).await?.unzip();
            folded::verify(own, &mut conn, log, (name, &*projection), (args.limit, args.json)).await
        };
        if let Err(error) = outcome {
            if chosen.len() > 1 {
                complain(&format!("{error:#}"));
            }
            wrong.push(*name);
            last = Some(error);
        }
    }
    session.close().await?;
    match last {
        None => Ok(()),
        Some(error) if chosen.len() == 1 => Err(error),
        Some(_) => bail!("of {} projections these are not verified: {}", chosen.len(), wrong.join(", ")),
    }
}
