//! Where the database and its socket live.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::hash::Hasher;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fnv::FnvHasher;
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, access, geteuid};

use super::error::EmbeddedError;
use super::identity::{Identity, name_of};
use super::version::parse_major;

/// The part of a socket's path that PostgreSQL chooses. The port is only a name here: nothing listens on TCP.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";

/// The longest path of a Unix socket, in bytes, without the closing zero.
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What `initdb` works in before it is renamed to `data`, followed by a process id.
const UNFINISHED: &str = "data.new-";

/// What we put into a data directory.
const OURS: [&str; 8] = ["data", "keep", "log", "log.previous", "postgresql", "run", "start.lock", "users.lock"];

/// A directory with one database in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    dir: PathBuf,
    relocated: bool,
    user: Identity,
    key: String,
}

impl Place {
    /// Finds the place for `data_dir`, and makes nothing. A user that root drops to may be unable to reach
    /// the directory: then the first of the system directory and the temporary one that can be used.
    pub(super) fn resolve(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let dir =
            canonical(data_dir).map_err(|source| EmbeddedError::NotWritable { dir: data_dir.to_owned(), source })?;
        // Before any other place is thought of: a mistyped path must not put the data elsewhere.
        if dir.exists() && !dir.is_dir() {
            return Err(EmbeddedError::NotADirectory { path: dir });
        }
        let mut hasher = FnvHasher::default();
        hasher.write(dir.as_os_str().as_bytes());
        let key = format!("{:016x}", hasher.finish());
        let user = Identity::of_server(&dir.join("data"))?;

        let mut candidates = vec![dir.clone()];
        if user.is_dropped() {
            candidates.push(Path::new("/var/lib/evenfold").join(&key));
            candidates.push(std::env::temp_dir().join(format!("evenfold-{key}")));
        }
        // A database that is there already wins, even if the first choice could be reached by now.
        let chosen = candidates
            .iter()
            .find(|candidate| has_database(candidate))
            .or_else(|| candidates.iter().find(|dir| usable(dir, &user)))
            .unwrap_or(&dir)
            .clone();
        Ok(Self { relocated: chosen != dir, user: Identity::of_server(&chosen.join("data"))?, dir: chosen, key })
    }

    /// Makes the directory, and refuses one that is not ours to use.
    pub(super) fn create(&self) -> Result<(), EmbeddedError> {
        self.make_directories(&self.dir).map_err(|source| self.not_writable(source))?;
        if self.relocated {
            // Its name can be foretold, so somebody else may have made it, to be handed our data.
            refuse_others(&self.dir, &[geteuid().as_raw()], "root")?;
        }
        // Asked of the directory: what is in it can't be seen in another user's.
        if self.data().is_dir() {
            refuse_others(&self.data(), &[self.user.uid], &self.user.name)?;
        }
        if self.has_database() {
            return self.close_to_writers();
        }
        let entries = fs::read_dir(&self.dir).map_err(|source| self.not_writable(source))?;
        let foreign = entries.filter_map(Result::ok).any(|entry| {
            let name = entry.file_name();
            name == "data" || !is_ours(&name)
        });
        if foreign {
            return Err(EmbeddedError::Foreign { dir: self.dir.clone() });
        }
        self.close_to_writers()
    }

    /// Takes the right to write to the directory from everybody else: who has it can replace the lock files.
    fn close_to_writers(&self) -> Result<(), EmbeddedError> {
        let metadata = fs::metadata(&self.dir).map_err(EmbeddedError::io("look at", &self.dir))?;
        let ours = [geteuid().as_raw(), self.user.uid].contains(&metadata.uid());
        if !ours || metadata.mode() & 0o022 == 0 {
            return Ok(());
        }
        let closed = Permissions::from_mode(metadata.mode() & 0o7755);
        fs::set_permissions(&self.dir, closed).map_err(EmbeddedError::io("close to others", &self.dir))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn relocated(&self) -> bool {
        self.relocated
    }

    pub(super) fn user(&self) -> &Identity {
        &self.user
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The log of the run before.
    pub(super) fn previous_log(&self) -> PathBuf {
        self.dir.join("log.previous")
    }

    /// The marker of a server that stays when its last user leaves.
    pub(super) fn keep(&self) -> PathBuf {
        self.dir.join("keep")
    }

    pub(super) fn has_database(&self) -> bool {
        has_database(&self.dir)
    }

    /// The major version that made the database, where there is one.
    pub(super) fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        if !self.has_database() {
            return Ok(None);
        }
        let path = self.data().join("PG_VERSION");
        fs::read_to_string(&path).map(|text| parse_major(&text)).map_err(EmbeddedError::io("read", &path))
    }

    /// The directory for a new database that is not finished yet.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.dir.join(format!("{UNFINISHED}{}", std::process::id()))
    }

    /// Removes the database and all that was written about its server, and nothing else. To be called under
    /// `start.lock`, whose file stays: who waits for it has it open.
    pub(super) fn remove_database(&self) -> Result<(), EmbeddedError> {
        for file in [self.keep(), self.log(), self.previous_log()] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(EmbeddedError::io("remove", &file)(error));
                }
                _ => {}
            }
        }
        let (data, doomed) = (self.data(), self.unfinished());
        // In one step it is no database any more. What a killed removal leaves, the next start removes.
        fs::rename(&data, &doomed).map_err(EmbeddedError::io("remove", &data))?;
        fs::remove_dir_all(&doomed).map_err(EmbeddedError::io("remove", &doomed))
    }

    /// Removes what a killed `initdb` left. To be called under `start.lock`.
    pub(super) fn remove_unfinished(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().as_bytes().starts_with(UNFINISHED.as_bytes()) {
                // An orphaned initdb may still be writing into it: what remains goes the next time.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// The directory of the socket: in the place where the path is short enough, else a temporary one.
    pub(super) fn socket_dir(&self) -> PathBuf {
        let name = format!("evenfold-{}", self.key);
        let temporary = std::env::temp_dir().join(&name);
        [self.dir.join("run"), temporary]
            .into_iter()
            .find(|dir| fits_socket(dir) && self.user.reaches(dir))
            .unwrap_or_else(|| Path::new("/tmp").join(&name))
    }

    /// Makes the directory of the socket, closed for everybody but the server's user: the server trusts
    /// whoever reaches its socket.
    pub(super) fn create_socket_dir(&self) -> Result<PathBuf, EmbeddedError> {
        let dir = self.socket_dir();
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let ours = [geteuid().as_raw(), self.user.uid];
                refuse_others(&dir, &ours, &self.user.name)?;
            }
            made => made.map_err(EmbeddedError::io("make", &dir))?,
        }
        self.user.own(&dir, 0o700)?;
        Ok(dir)
    }

    /// Writes a file that the server's user owns.
    pub(super) fn write(&self, path: &Path, contents: &[u8]) -> Result<(), EmbeddedError> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
            .map_err(EmbeddedError::io("write", path))?;
        self.user.own(path, 0o600)
    }

    pub(super) fn not_writable(&self, source: io::Error) -> EmbeddedError {
        EmbeddedError::NotWritable { dir: self.dir.clone(), source }
    }

    /// Like `create_dir_all`, but what root makes can be searched by the server's user whatever the umask.
    fn make_directories(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.make_directories(parent)?;
        }
        // Others may look into it, whatever the umask, and not write.
        match DirBuilder::new().mode(0o755).create(dir) {
            // Another process makes the same directories.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            Ok(()) if self.user.is_dropped() => fs::set_permissions(dir, Permissions::from_mode(0o755)),
            made => made,
        }
    }
}

/// The path without links, also where its end does not exist yet.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for ancestor in absolute.ancestors() {
        match ancestor.canonicalize() {
            Ok(found) => {
                let rest = absolute.strip_prefix(ancestor).unwrap_or(Path::new(""));
                return Ok(found.join(rest).components().collect());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(absolute)
}

fn has_database(dir: &Path) -> bool {
    dir.join("data/PG_VERSION").is_file()
}

/// Whether the server's user reaches `dir`, and we can write to it or make it.
fn usable(dir: &Path, user: &Identity) -> bool {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists());
    user.reaches(dir) && existing.is_some_and(|existing| access(existing, AccessFlags::W_OK).is_ok())
}

/// Whether we make entries of this name. Hidden files (`.gitignore`, `.DS_Store`) are nobody's.
fn is_ours(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b".") || bytes.starts_with(UNFINISHED.as_bytes()) || OURS.iter().any(|ours| name == *ours)
}

/// A socket's path is short, and travels in a URL: that is text, and a comma in it would separate hosts.
fn fits_socket(dir: &Path) -> bool {
    dir.to_str().is_some_and(|text| !text.contains(',')) && dir.join(SOCKET).as_os_str().len() <= SOCKET_PATH_LIMIT
}

fn refuse_others(dir: &Path, allowed: &[u32], user: &str) -> Result<(), EmbeddedError> {
    let metadata = fs::symlink_metadata(dir).map_err(EmbeddedError::io("look at", dir))?;
    if metadata.is_dir() && allowed.contains(&metadata.uid()) {
        return Ok(());
    }
    Err(EmbeddedError::OwnedByAnother { path: dir.to_owned(), owner: name_of(metadata.uid()), user: user.to_owned() })
}
