//! `source accept`: the log is on another server than before, and the same.

use crate::Global;
use crate::output::print;
use crate::projections::{Projections, ProjectionsArg};
use crate::session::Session;
use clap::Args;
use evenfold::checkpoint::accept_log_server;

#[derive(Debug, Args)]
pub(super) struct SourceAcceptArgs {
    #[command(flatten)]
    projections: ProjectionsArg,
}

pub(super) async fn run(global: &Global, args: &SourceAcceptArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    for name in known.names(&args.projections) {
        let begun = accept_log_server(session.database.schema(), &mut conn, name).await?;
        print(&if begun {
            format!("{name}: whichever server its log is on next is taken for the one that it was on\n")
        } else {
            format!("{name} has not been begun: there is nothing to accept\n")
        })?;
    }
    drop(conn);
    session.close().await
}
