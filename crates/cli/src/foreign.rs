//! Which log is folded, where it is one that others write: what is configured of it.

use crate::config::{SETTINGS, SourceSettings, UsageError};
use clap::Args;
use evenfold::log::foreign::{Mapping, Positions, Preset, why_not};

/// The name of a mapping that is no library's.
const CUSTOM: &str = "custom";

/// Of every command: which log is folded.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct SourceArgs {
    /// Fold a log that others write, by the name of a preset, or custom [default: evenfold's own log]
    ///
    /// The presets are message-db, emmett, eventuous, commanded, pupsourcing, marten, axon-jdbc, pekko-jdbc, akka-jdbc,
    /// rails-event-store, pyeventsourcing, prooph, patchlevel and disintegrate: docs/sources.md. In evenfold.toml it is
    /// preset in the table [source].
    #[arg(long, global = true, env = "EVENFOLD_SOURCE", value_name = "NAME")]
    source: Option<String>,
    /// The database of that log, where it is not the read model's; url in the table [source]
    #[arg(long, global = true, env = "EVENFOLD_SOURCE_URL", hide_env_values = true, value_name = "URL")]
    source_url: Option<String>,
    /// A hot standby of that database's server, from which workers read rows; rows_from in the table [source]
    #[arg(long, global = true, env = "EVENFOLD_SOURCE_ROWS_FROM", hide_env_values = true, value_name = "URL")]
    source_rows_from: Option<String>,
    /// The table [source] of the settings file
    #[arg(long = "source-settings", id = SETTINGS, global = true, hide = true, value_parser = SourceSettings::parse)]
    settings: Option<SourceSettings>,
}

impl SourceArgs {
    /// What the log is called; none if it is evenfold's own.
    pub(crate) fn name(&self) -> Result<Option<&str>, UsageError> {
        let settings = self.settings.as_ref();
        let custom = settings.is_some_and(SourceSettings::has_columns).then_some(CUSTOM);
        match self.source.as_deref().or(custom) {
            Some(name) => Ok(Some(name)),
            None if self.source_url.is_some() || self.source_rows_from.is_some() || settings.is_some() => {
                Err(UsageError(format!(
                    "which log is it? give --source, or preset in [source]: one of {}, {CUSTOM}; \
                 `evenfold source check` finds what is there",
                    Preset::names().join(", ")
                )))
            }
            None => Ok(None),
        }
    }

    /// Whether one is named, rather than all that are found.
    pub(crate) fn is_named(&self) -> bool {
        self.source.is_some() || self.settings.as_ref().is_some_and(SourceSettings::has_columns)
    }

    /// What its columns mean; none if it is evenfold's own.
    pub(crate) fn mapping(&self) -> Result<Option<Mapping>, UsageError> {
        let Some(name) = self.name()? else { return Ok(None) };
        let none = SourceSettings::default();
        let settings = self.settings.as_ref().unwrap_or(&none);
        let mut mapping = if name == CUSTOM {
            settings.check_custom().map_err(UsageError)?;
            Mapping { name: CUSTOM.to_owned(), first_version: 1, ..Mapping::default() }
        } else {
            settings.check_mode(name).map_err(UsageError)?;
            preset(name)?.mapping(settings.schema())
        };
        settings.apply(&mut mapping);
        // Before there is a connection.
        mapping.layout(Positions::Serial).map_err(|error| {
            UsageError(format!("the log {name}: {error}; it belongs into [source.custom] of evenfold.toml"))
        })?;
        Ok(Some(mapping))
    }

    /// The URL of the log's database, where it is given.
    pub(crate) fn url(&self) -> Option<&str> {
        self.source_url.as_deref()
    }

    /// The URL of a standby from which rows are read, where it is given.
    pub(crate) fn rows_from(&self) -> Option<&str> {
        self.source_rows_from.as_deref()
    }

    /// Refuses what would read or write evenfold's own log where another one is meant.
    pub(crate) fn refuse_for(&self, command: &str) -> Result<(), UsageError> {
        match self.name()? {
            Some(source) => Err(UsageError(format!(
                "{command} is about evenfold's own log, and the log {source} is configured (--source, EVENFOLD_SOURCE \
                 or [source] in evenfold.toml): worker, pool, status, wait, verify, rebuild, parked, import and source are \
                 the commands that work on logs that others write"
            ))),
            None => Ok(()),
        }
    }
}

/// A library's preset, by its name.
fn preset(name: &str) -> Result<&'static Preset, UsageError> {
    Preset::named(name).ok_or_else(|| {
        UsageError(why_not(name).map_or_else(
            || {
                let names = Preset::names().join(", ");
                format!("there is no preset {name}; these are: {names}, and {CUSTOM} for a table of your own")
            },
            |reason| format!("--source {name}: {reason}"),
        ))
    })
}
