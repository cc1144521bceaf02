use super::Global;
use super::output::{complain, print};
use super::session::{Session, embedded_options};
use clap::{Args, Subcommand};
use evenfold::embedded::{self, ShutDown};

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
}

pub(super) async fn run(global: &Global, args: &DbArgs) -> anyhow::Result<()> {
    let options = embedded_options(global);
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
            Session::embedded(global).await?.close().await?;
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
    }
}
