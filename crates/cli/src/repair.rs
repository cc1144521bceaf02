//! `repair`: a log that was restored in another cluster.

use super::Global;
use super::output::{print, thousands};
use super::session::Session;
use clap::Args;
use evenfold::counters;
use evenfold::schema::{Schema, SchemaError};
use evenfold::{checkpoint, schema};
use sqlx::{Connection, PgConnection};

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
    let own = session.database.schema();
    let (mut conn, _) = session.database.connect_to_server().await?;
    schema::migrate(own, &mut conn).await?;
    let done = if args.upgraded {
        schema::accept_upgraded_cluster(own, &mut conn).await?;
        "this cluster's identifier is recorded\n".to_owned()
    } else {
        repair(own, &mut conn, args.start_over.as_deref()).await?
    };
    drop(conn);
    session.close().await?;
    print(&done)
}

/// Does what is needed, in one transaction, and says what that was.
async fn repair(own: &Schema, conn: &mut PgConnection, start_over: Option<&str>) -> anyhow::Result<String> {
    let mut tx = conn.begin().await?;
    let mut done = Vec::new();
    if let Some(projection) = start_over {
        counters::empty(own, &mut tx).await?;
        checkpoint::start_over(own, &mut tx, projection).await?;
        done.push(format!("the read model of {projection} is empty: its workers build it anew\n"));
    }
    match schema::check(own, &mut tx).await {
        Ok(()) if done.is_empty() => done.push("nothing to repair: the log is this cluster's\n".to_owned()),
        Ok(()) => {}
        Err(SchemaError::Restored(_)) => {
            // Cheaper to replay than to complete first.
            counters::forget_rebuild(own, &mut tx).await?;
            let repaired = schema::repair(own, &mut tx).await?;
            done.push(format!(
                "the log is this cluster's now: {} events renumbered, {} projections go on where they were\n",
                thousands(repaired.events),
                repaired.projections
            ));
        }
        Err(error) => return Err(error.into()),
    }
    tx.commit().await?;
    Ok(done.concat())
}
