//! Projections that are files of SQL, in a directory.

use super::registry::{Entry, Registered};
use crate::config::UsageError;
use clap::{ArgMatches, Args};
use evenfold_sql::{ProjectionFile, SqlProjection};
use std::path::{Path, PathBuf};

/// Where `evenfold` looks for them if nobody says where.
pub(crate) const DIRECTORY: &str = "projections";

/// The id of the flag, which every command about projections has.
const FLAG: &str = "projections";

/// Where the files are. They are read before the command is, and are part of what it is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilesArg {
    /// The directory of the projections in SQL, each a file NAME.sql [default: projections, if it is there]
    #[arg(long = "projections", id = FLAG, env = "EVENFOLD_PROJECTIONS", value_name = "DIR")]
    _directory: Option<PathBuf>,
}

/// The settings of a file, of which there are none: what it does is in it.
#[derive(Debug, Args)]
struct FileSettings {}

/// The projections of the files that a command is about, in the order of their names. `by_default`: whether the usual
/// directory counts where none is given.
pub(crate) fn entries(matches: &ArgMatches, by_default: bool) -> Result<Vec<Box<dyn Entry>>, UsageError> {
    // Not every command has the flag.
    let Ok(given) = matches.try_get_one::<PathBuf>(FLAG) else { return Ok(Vec::new()) };
    match given {
        Some(directory) => in_directory(directory),
        None if by_default && Path::new(DIRECTORY).is_dir() => in_directory(Path::new(DIRECTORY)),
        None => Ok(Vec::new()),
    }
}

fn in_directory(directory: &Path) -> Result<Vec<Box<dyn Entry>>, UsageError> {
    files_of(directory)?.iter().map(|path| entry(path)).collect()
}

/// The files that are named, and those of the directories that are.
pub(crate) fn paths(named: &[PathBuf]) -> Result<Vec<PathBuf>, UsageError> {
    let mut paths = Vec::new();
    for path in named {
        if path.is_dir() {
            paths.extend(files_of(path)?);
        } else if path.exists() {
            paths.push(path.clone());
        } else {
            return Err(UsageError(format!(
                "there is no {}: name a file NAME.sql, or a directory of them",
                path.display()
            )));
        }
    }
    Ok(paths)
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>, UsageError> {
    let unread = |error| UsageError(format!("the directory {} can't be read: {error}", directory.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn entry(path: &Path) -> Result<Box<dyn Entry>, UsageError> {
    let file = ProjectionFile::read(path).map_err(|error| UsageError(error.to_string()))?;
    let name = file.name().to_owned();
    let projection = SqlProjection::new(file);
    let make = move |_: &FileSettings| projection.clone();
    Ok(Box::new(Registered::new(name, make, |_, _| Ok(())).of_file()))
}
