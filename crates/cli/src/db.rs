//! `db`: the PostgreSQL of our own, started, stopped and shown.

use super::Global;
use super::confirm::confirm;
use super::output::{complain, note, print};
use super::session::{Session, embedded_options};
use clap::{Args, Subcommand};
use evenfold_embedded::{self as embedded, Options, Reset, ShutDown};

#[derive(Debug, Args)]
pub(super) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum DbCommand {
    /// Print the URL, for psql or sqlx
    Url,
    /// Start the server and leave it running
    Start,
    /// Stop the server
    Stop,
    /// Remove the server's data, all of it, after asking; never touches the database of a URL
    Reset {
        /// Remove it without being asked
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(global: &Global, args: &DbArgs) -> anyhow::Result<()> {
    let options = embedded_options(global, &global.data_dir);
    match args.command {
        DbCommand::Url => {
            let status = embedded::status(&options)?;
            if !status.running {
                complain("the server is not running: start it with `evenfold db start`");
            }
            print(&format!("{}\n", status.url))
        }
        DbCommand::Start => {
            // Migrated first, so that whoever connects finds the tables.
            Session::embedded(global, &global.data_dir).await?.close().await?;
            let status = tokio::task::spawn_blocking(move || embedded::keep(&options)).await??;
            print(&format!("{}\n", status.url))
        }
        DbCommand::Stop => match tokio::task::spawn_blocking(move || embedded::shut_down(&options)).await?? {
            ShutDown::Stopped => Ok(()),
            ShutDown::NotRunning => {
                complain("the server was not running");
                Ok(())
            }
        },
        DbCommand::Reset { yes } => reset(global, options, yes).await,
    }
}

async fn reset(global: &Global, options: Options, yes: bool) -> anyhow::Result<()> {
    let Some(dir) = embedded::database_dir(&options)? else {
        return print(&format!("there is no data in {}\n", options.data_dir.display()));
    };
    let dir = dir.display();
    if global.database_url.is_some() {
        note("the database of the URL is left alone: this is about evenfold's own");
    }
    if !yes {
        confirm(&format!("remove all data of evenfold's own PostgreSQL in {dir}"))?;
    }
    match tokio::task::spawn_blocking(move || embedded::reset(&options)).await?? {
        Reset::Removed => print(&format!("the data in {dir} is removed\n")),
        Reset::NothingThere => print(&format!("there is no data in {dir}\n")),
    }
}
