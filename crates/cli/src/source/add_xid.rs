//! `source add-xid`: a column for the transaction, for logs whose positions are drawn by earlier transactions.

use super::open::log_database;
use crate::Global;
use crate::config::UsageError;
use crate::confirm::confirm;
use crate::output::{print, wrapped};
use crate::session::Session;
use anyhow::bail;
use clap::Args;
use evenfold::database::{Database, describe};
use evenfold::log::foreign::{Mapping, add_xid, adding_xid};

#[derive(Debug, Args)]
pub(super) struct SourceAddXidArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(global: &Global, args: &SourceAddXidArgs) -> anyhow::Result<()> {
    let Some(mapping) = global.source.mapping()? else {
        return Err(UsageError(
            "which log is it? give --source, or [source.custom] in evenfold.toml: evenfold's own has such a column"
                .to_owned(),
        )
        .into());
    };
    let (database, session) = if let Some(url) = global.source.url() {
        (log_database(url)?, None)
    } else {
        let session = Session::open(global).await?;
        (session.database.clone(), Some(session))
    };
    let outcome = add(&database, &mapping, args.yes).await;
    if let Some(session) = session {
        session.close().await?;
    }
    outcome
}

async fn add(database: &Database, mapping: &Mapping, yes: bool) -> anyhow::Result<()> {
    let (mut conn, server) = database.connect_to_server().await?;
    let (table, column) = (&mapping.table, mapping.xid_column());
    let Some(statements) = adding_xid(&mut conn, mapping).await? else {
        bail!("there is no table {table} in {} at {}", server.database, server.place);
    };
    if statements.is_empty() {
        return print(&format!("{table} has the column {column} and an index on it already: nothing was done\n"));
    }
    let shown = format!("  {};\n", statements.join(";\n  "));
    print(&format!("in {} at {}:\n{}", server.database, server.place, wrapped(&shown)))?;
    if !yes {
        confirm(&format!(
            "change the table {table}, which others write: a COPY into it without a list of columns would fail from then on"
        ))?;
    }
    for statement in &statements {
        add_xid(&mut conn, statement).await.map_err(|error| anyhow::anyhow!("{statement}: {}", explained(&error)))?;
    }
    print(&wrapped(&format!(
        "{table} has the column {column}. Set positions = \"xid\" in [source.custom] of evenfold.toml (append_mode = \
         \"rich\" in [source] where that is Marten), and `evenfold source check` shows whether it can be folded.\n"
    )))
}

/// With what to do.
fn explained(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let what_to_do = match code.as_deref() {
        Some("55P03") => ": a transaction has used the table for 5 seconds; try again once it has ended",
        Some("42501") => ": log in by --source-url as the owner of the table",
        _ => "",
    };
    format!("{}{what_to_do}", describe(error))
}
