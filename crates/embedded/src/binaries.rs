//! Finds `initdb`, `pg_ctl` and `postgres`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::EmbeddedError;
use super::identity::Identity;
use super::place::Place;
use super::version::parse_major;

/// The oldest major version with everything that is needed (`xid8`, `pg_current_snapshot`).
const OLDEST_MAJOR: u32 = 13;

const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Where packages put a version of their own: a directory, and what comes before the version in it.
const INSTALLATIONS: [(&str, &str); 9] = [
    ("/usr/lib/postgresql", ""),                          // Debian, Ubuntu
    ("/usr", "pgsql-"),                                   // PGDG on Fedora, RHEL, SUSE
    ("/usr/lib", "postgresql"),                           // openSUSE
    ("/opt/homebrew/opt", "postgresql@"),                 // Homebrew, Apple silicon
    ("/usr/local/opt", "postgresql@"),                    // Homebrew, Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),    // Homebrew, Linux
    ("/Applications/Postgres.app/Contents/Versions", ""), // Postgres.app
    ("/Library/PostgreSQL", ""),                          // EDB's installer
    ("/opt/local/lib", "postgresql"),                     // MacPorts
];

/// A directory of binaries that can be run.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds binaries for the database in `place`, or for a new one: those in `chosen`, else the first
    /// that fit. To be called under `start.lock`, as they may have to be downloaded.
    pub(super) fn find(place: &Place, chosen: Option<&Path>) -> Result<Self, EmbeddedError> {
        let wanted = place.major()?;
        if let Some(dir) = chosen {
            let binaries = Self::probe(dir, place.user()).map_err(|source| EmbeddedError::UnusableBinaries {
                dir: dir.to_owned(),
                user: place.user().name.clone(),
                source,
            })?;
            return binaries.fitting(place, wanted);
        }
        let mut misfit = None;
        let path = std::env::var_os("PATH").unwrap_or_default();
        for dir in candidates(place, &path) {
            let Ok(binaries) = Self::probe(&dir, place.user()) else {
                continue;
            };
            match binaries.fitting(place, wanted) {
                Ok(binaries) => return Ok(binaries),
                Err(error) => misfit = misfit.or(Some(error)),
            }
        }
        last_resort(place, wanted, misfit.unwrap_or(EmbeddedError::NoBinaries))
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Asks the server for its version as the user who is to run it, which also shows whether that user
    /// reaches it.
    fn probe(dir: &Path, user: &Identity) -> io::Result<Self> {
        for program in PROGRAMS {
            if !dir.join(program).is_file() {
                let missing = format!("{program} is missing");
                return Err(io::Error::new(io::ErrorKind::NotFound, missing));
            }
        }
        let output = user.command(&dir.join("postgres"), Path::new("/")).arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let major =
            parse_version(&text).ok_or_else(|| io::Error::other(format!("postgres --version says {text:?}")))?;
        Ok(Self { dir: dir.to_owned(), major })
    }

    fn fitting(self, place: &Place, wanted: Option<u32>) -> Result<Self, EmbeddedError> {
        if let Some(database) = wanted.filter(|wanted| *wanted != self.major) {
            return Err(EmbeddedError::OtherMajor {
                dir: place.dir().to_owned(),
                database,
                bin_dir: self.dir,
                binaries: self.major,
            });
        }
        if self.major < OLDEST_MAJOR {
            return Err(EmbeddedError::TooOld { dir: self.dir, major: self.major });
        }
        Ok(self)
    }
}

#[cfg(not(feature = "download"))]
fn last_resort(_place: &Place, _wanted: Option<u32>, misfit: EmbeddedError) -> Result<Binaries, EmbeddedError> {
    Err(misfit)
}

/// Downloads what is missing; binaries that are there but do not fit are the user's to sort out.
#[cfg(feature = "download")]
fn last_resort(place: &Place, wanted: Option<u32>, misfit: EmbeddedError) -> Result<Binaries, EmbeddedError> {
    if !matches!(misfit, EmbeddedError::NoBinaries) {
        return Err(misfit);
    }
    let dir = super::download::fetch(place, wanted)?;
    Binaries::probe(&dir, place.user())
        .map_err(EmbeddedError::io("run the downloaded postgres in", &dir))?
        .fitting(place, wanted)
}

/// Where to look, in this order: `PATH`, then the packages, the newest version first.
fn candidates(place: &Place, path: &OsStr) -> Vec<PathBuf> {
    // An empty or a relative entry means the current directory, which is nobody's installation.
    let mut dirs: Vec<_> = std::env::split_paths(path).filter(|dir| dir.is_absolute()).collect();
    for (root, prefix) in INSTALLATIONS {
        dirs.extend(versions(Path::new(root), prefix));
    }
    #[cfg(feature = "download")]
    dirs.push(super::download::bin_dir(place));
    #[cfg(not(feature = "download"))]
    let _ = place;
    dirs
}

/// The `bin` directories of `root/<prefix><version>`, the newest version first.
fn versions(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version = parse_major(entry.file_name().to_str()?.strip_prefix(prefix)?)?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_unstable_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The major version in `postgres (PostgreSQL) 15.5 (Debian 15.5-1)`.
fn parse_version(text: &str) -> Option<u32> {
    parse_major(text.split_once("(PostgreSQL)")?.1.trim_start())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        let cases = [
            ("postgres (PostgreSQL) 15.5 (Debian 15.5-0+deb12u1)", Some(15)),
            ("postgres (PostgreSQL) 19devel", Some(19)),
            ("postgres (PostgreSQL) 16beta1", Some(16)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres (EnterpriseDB) 15", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_version(text), expected, "{text}");
        }
    }

    #[test]
    fn the_newest_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["pgsql-9.6", "pgsql-13", "pgsql-17", "pgsql-x", "share"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let found = versions(root.path(), "pgsql-");
        let expected = ["pgsql-17/bin", "pgsql-13/bin", "pgsql-9.6/bin"];
        assert_eq!(found, expected.map(|dir| root.path().join(dir)));
    }
}
