//! `uninstall`: everything of evenfold's removed from a database.

use super::Global;
use super::confirm::{answerable, confirm_by_name};
use super::output::{print, thousands, visible};
use super::session::Session;
use clap::Args;
use evenfold::schema::{self, Contents, Schema};

#[derive(Debug, Args)]
pub(super) struct UninstallArgs {
    /// Remove it without being asked
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(global: &Global, args: &UninstallArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let own = session.database.schema();
    let (mut conn, server) = session.database.connect_to_server().await?;
    let what = described(own, &server.database, &schema::contents(own, &mut conn).await?);
    if !args.yes {
        answerable(&what)?;
        confirm_by_name(&what, own.name())?;
    }
    schema::uninstall(own, &mut conn).await?;
    drop(conn);
    let removed = format!("the schema {} is removed\n", own.name());
    session.close().await?;
    print(&removed)
}

/// What will go, in one sentence.
fn described(own: &Schema, database: &str, contents: &Contents) -> String {
    let Contents { events, projections } = contents;
    let events = match events {
        0 => "no event".to_owned(),
        1 => "its only event".to_owned(),
        events => format!("all {} events", thousands(*events)),
    };
    let projections = match projections.as_slice() {
        [] => "no projection".to_owned(),
        [one] => format!("the checkpoints of the projection {} (its own tables stay)", visible(one)),
        several => {
            format!("the checkpoints of the projections {} (their own tables stay)", visible(&several.join(", ")))
        }
    };
    format!(
        "remove the schema {} from the database {}, for good: {events} of the log, the counters, and {projections}",
        own.name(),
        visible(database)
    )
}
