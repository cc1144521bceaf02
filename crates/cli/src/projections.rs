//! Which of the program's projections a command is about.

use super::files::FilesArg;
use super::registry::{Configured, Entry};
use crate::config::UsageError;
use clap::{ArgMatches, Args};
use evenfold::counters::NAME;

/// Of the commands that are about one projection.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectionArg {
    /// Which projection [default: that of this program, if it has one only]
    #[arg(long = "projection", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    _files: FilesArg,
}

/// Of the commands that can be about several projections.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectionsArg {
    /// Which projection; can be given several times [default: all of this program's]
    #[arg(long = "projection", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    _files: FilesArg,
}

/// A projection with its settings, by its name.
pub(crate) type Chosen = (String, Box<dyn Configured>);

/// The projections of the program, and what the command line has about them.
pub(crate) struct Projections<'a> {
    pub(crate) entries: Vec<&'a dyn Entry>,
    /// Those of the innermost command.
    pub(crate) matches: &'a ArgMatches,
    /// The whole command line.
    pub(crate) command: &'a clap::Command,
    /// How to find out what else there is.
    pub(crate) ways_on: String,
    /// Whether this is `evenfold` itself, which has the counters.
    pub(crate) product: bool,
}

impl Projections<'_> {
    /// The name, also of a projection that is another program's: what is in the database can be shown of any.
    pub(crate) fn name<'n>(&'n self, chosen: &'n ProjectionArg) -> Result<&'n str, UsageError> {
        match (&chosen.name, &self.entries[..]) {
            (Some(name), _) => Ok(name),
            (None, [only]) => Ok(only.name()),
            (None, _) => Err(UsageError(format!("which projection? give --projection: {}", self.list()))),
        }
    }

    /// The same, of which `evenfold` itself has the counters for one that is not named.
    pub(crate) fn name_or_counters<'n>(&'n self, chosen: &'n ProjectionArg) -> Result<&'n str, UsageError> {
        if chosen.name.is_none() && self.product { Ok(NAME) } else { self.name(chosen) }
    }

    /// Whether it is a file of SQL.
    pub(crate) fn is_file(&self, name: &str) -> bool {
        self.entry(name).is_ok_and(Entry::is_file)
    }

    /// The names of those that were chosen, or of all of this program's.
    pub(crate) fn names<'n>(&'n self, chosen: &'n ProjectionsArg) -> Vec<&'n str> {
        if chosen.names.is_empty() {
            return self.entries.iter().map(|entry| entry.name()).collect();
        }
        chosen.names.iter().map(String::as_str).collect()
    }

    /// A projection of this program's, with its settings.
    pub(crate) fn configured<'n>(
        &'n self,
        chosen: &'n ProjectionArg,
        batch_size: Option<usize>,
    ) -> Result<(&'n str, Box<dyn Configured>), UsageError> {
        let name = self.name(chosen)?;
        Ok((name, self.one(name, batch_size)?))
    }

    /// Those of this program's that were chosen, or all of them, with their settings.
    pub(crate) fn all_configured(
        &self,
        chosen: &ProjectionsArg,
        batch_size: Option<usize>,
    ) -> Result<Vec<Chosen>, UsageError> {
        let configured = |name: &str| Ok((name.to_owned(), self.one(name, batch_size)?));
        self.chosen(chosen)?.into_iter().map(configured).collect()
    }

    /// All of this program's, with their settings.
    pub(crate) fn configured_as_they_are(&self) -> Result<Vec<Chosen>, UsageError> {
        self.entries.iter().map(|entry| Ok((entry.name().to_owned(), self.one(entry.name(), None)?))).collect()
    }

    /// The names of those of this program's that were chosen, or of all of them.
    pub(crate) fn chosen<'n>(&'n self, chosen: &'n ProjectionsArg) -> Result<Vec<&'n str>, UsageError> {
        for (at, name) in chosen.names.iter().enumerate() {
            if chosen.names[..at].contains(name) {
                return Err(UsageError(format!("--projection {name} is given twice: leave one out")));
            }
            self.entry(name)?;
        }
        Ok(self.names(chosen))
    }

    /// A projection of this program's, with its settings.
    pub(crate) fn one(&self, name: &str, batch_size: Option<usize>) -> Result<Box<dyn Configured>, UsageError> {
        self.entry(name)?.configure(self.matches, batch_size)
    }

    /// Whether it is the projection that is built in, which has a query and settings of its own.
    pub(crate) fn is_counters(&self, name: &str) -> bool {
        self.product && name == NAME
    }

    fn entry(&self, name: &str) -> Result<&dyn Entry, UsageError> {
        let entry = self.entries.iter().find(|entry| entry.name() == name).ok_or_else(|| {
            UsageError(format!("this program does not have the projection {name}; it has: {}", self.list()))
        })?;
        Ok(*entry)
    }

    fn list(&self) -> String {
        self.entries.iter().map(|entry| entry.name()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn ways_on(&self) -> &str {
        &self.ways_on
    }
}
