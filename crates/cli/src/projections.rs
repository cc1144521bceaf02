//! Which of the program's projections a command is about.

use super::registry::{Configured, Entry};
use crate::config::UsageError;
use clap::{ArgMatches, Args};

/// Of the commands that are about one projection.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectionArg {
    /// Which projection [default: that of this program, if it has one only]
    #[arg(long = "projection", value_name = "NAME")]
    name: Option<String>,
}

/// The projections of the program, and what was said about them.
pub(crate) struct Projections<'a> {
    pub(crate) entries: &'a [Box<dyn Entry>],
    /// Those of the innermost command.
    pub(crate) matches: &'a ArgMatches,
    /// The whole command line.
    pub(crate) command: &'a clap::Command,
    /// How to find out what else there is.
    pub(crate) ways_on: String,
}

impl Projections<'_> {
    /// The name, also of a projection that is another program's: what is in the database can be shown of any.
    pub(crate) fn name<'n>(&'n self, chosen: &'n ProjectionArg) -> Result<&'n str, UsageError> {
        match (&chosen.name, self.entries) {
            (Some(name), _) => Ok(name),
            (None, [only]) => Ok(only.name()),
            (None, _) => Err(UsageError(format!("which projection? give --projection: {}", self.list()))),
        }
    }

    /// A projection of this program's, with its settings.
    pub(crate) fn configured<'n>(
        &'n self,
        chosen: &'n ProjectionArg,
        batch_size: Option<usize>,
    ) -> Result<(&'n str, Box<dyn Configured>), UsageError> {
        let name = self.name(chosen)?;
        let entry = self.entries.iter().find(|entry| entry.name() == name).ok_or_else(|| {
            UsageError(format!("this program does not have the projection {name}; it has: {}", self.list()))
        })?;
        Ok((name, entry.configure(self.matches, batch_size)?))
    }

    fn list(&self) -> String {
        self.entries.iter().map(|entry| entry.name()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn ways_on(&self) -> &str {
        &self.ways_on
    }
}
