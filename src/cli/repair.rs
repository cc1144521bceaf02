use super::Global;
use super::output::{print, thousands};
use super::session::Session;
use clap::Args;
use evenfold::projection::counters;
use evenfold::{checkpoint, schema};
use sqlx::Connection;

#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    /// Empty the read model of a projection that is not complete, so that its workers build it anew
    #[arg(long, value_name = "PROJECTION", value_parser = [counters::NAME])]
    start_over: Option<String>,
    /// The cluster was made by pg_upgrade, which keeps transaction ids: change nothing but the cluster's identifier
    #[arg(long, conflicts_with = "start_over")]
    upgraded: bool,
}

pub(super) async fn run(global: &Global, args: RepairArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let mut conn = session.database.connect().await?;
    schema::migrate(&mut conn).await?;
    let done = if args.upgraded {
        schema::accept_upgraded_cluster(&mut conn).await?;
        "this cluster's identifier is recorded\n".to_owned()
    } else {
        let mut tx = conn.begin().await?;
        if let Some(projection) = &args.start_over {
            counters::empty(&mut tx).await?;
            checkpoint::start_over(&mut tx, projection).await?;
        }
        let repaired = schema::repair(&mut tx).await?;
        tx.commit().await?;
        format!(
            "the log is this cluster's now: {} events renumbered, {} projections go on where they were\n",
            thousands(repaired.events),
            repaired.projections
        )
    };
    drop(conn);
    session.close().await?;
    print(&done)
}
