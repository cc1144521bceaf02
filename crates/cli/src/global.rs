//! What every command takes.

use super::foreign::SourceArgs;
use super::json_lines::LogFormat;
use super::telemetry::Logging;
use clap::Args;
use evenfold::schema::Schema;
use std::path::PathBuf;

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The database, as postgres://user:password@host:5432/database; without it, evenfold runs its own
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// The schema that evenfold's tables are in: 1 to 56 of a to z, 0 to 9 and _; not public
    #[arg(long, global = true, env = "EVENFOLD_SCHEMA", default_value = "evenfold", value_name = "NAME")]
    pub(crate) schema: Schema,
    /// Where evenfold's own PostgreSQL keeps its data
    #[arg(long, global = true, env = "EVENFOLD_DATA_DIR", default_value = ".evenfold/pg", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Where PostgreSQL's programs are (initdb, pg_ctl, postgres); looked for in the usual places otherwise
    #[arg(long, global = true, env = "EVENFOLD_PG_BIN", value_name = "DIR")]
    pub(crate) pg_bin: Option<PathBuf>,
    /// A file with settings: the flags' names with underscores [default: evenfold.toml, if it is there]
    #[arg(long, global = true, env = "EVENFOLD_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What to log: error, warn, info, debug or trace, also by module, as in evenfold=debug,warn [default: info for
    /// the worker and the services; for the rest warn, and the line that names the database]
    #[arg(long, global = true, env = "RUST_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// What a line on standard error looks like: text for people, or json, one object per line
    #[arg(
        long,
        global = true,
        env = "EVENFOLD_LOG_FORMAT",
        default_value = "text",
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

impl Global {
    /// What is logged, and how; `default` is the filter where none is given.
    #[must_use]
    pub fn logging(&self, default: &str) -> Logging {
        Logging {
            filter: self.log.clone().unwrap_or_else(|| default.to_owned()),
            format: self.log_format,
            exports: false,
        }
    }
}
