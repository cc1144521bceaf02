//! Who runs the server: ourselves, or, as PostgreSQL refuses root, a user that root drops to.

use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::unistd::{Uid, User, geteuid};

use super::error::EmbeddedError;

/// The user of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) uid: u32,
    gid: u32,
    /// Whether we are root and become this user for the server alone.
    dropped: bool,
}

impl Identity {
    /// Ourselves; for root, the owner of `database` where that is an ordinary user, else `postgres`, else
    /// `nobody`. A user that is in no user database is never taken: `initdb` refuses it.
    pub(super) fn of_server(database: &Path) -> Result<Self, EmbeddedError> {
        let us = geteuid();
        if !us.is_root() {
            return Ok(Self {
                name: name_of(us.as_raw()),
                uid: us.as_raw(),
                gid: nix::unistd::getegid().as_raw(),
                dropped: false,
            });
        }
        let owner = fs::metadata(database)
            .ok()
            .map(|metadata| Uid::from_raw(metadata.uid()))
            .filter(|owner| !owner.is_root())
            .and_then(|owner| User::from_uid(owner).ok().flatten());
        owner
            .or_else(|| user("postgres"))
            .or_else(|| user("nobody"))
            .map(|user| Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), dropped: true })
            .ok_or(EmbeddedError::NoServerUser)
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped
    }

    /// Whether this user may search every directory down to `dir`. What does not exist yet counts as
    /// reachable: we make it so.
    pub(super) fn reaches(&self, dir: &Path) -> bool {
        dir.ancestors().all(|ancestor| match fs::metadata(ancestor) {
            Ok(metadata) => self.may_search(&Bits::of(&metadata)),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }

    /// Whether the mode bits let this user search a directory. The first class that fits decides, as in
    /// the kernel; supplementary groups do not count, for they are dropped with the rest of root.
    fn may_search(&self, bits: &Bits) -> bool {
        let search = if bits.uid == self.uid {
            0o100
        } else if bits.gid == self.gid {
            0o010
        } else {
            0o001
        };
        bits.mode & search != 0
    }

    /// Gives `path` to this user, and to nobody else. A symbolic link is not followed: the directory
    /// around it may belong to somebody who would have root hand over another file.
    pub(super) fn own(&self, path: &Path, mode: u32) -> Result<(), EmbeddedError> {
        let failed = || EmbeddedError::io("hand over", path);
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path).map_err(failed())?;
        if self.dropped {
            fchown(&file, Some(self.uid), Some(self.gid)).map_err(failed())?;
        }
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed())
    }

    /// A command run as this user in `dir`, with an environment that knows nothing of ours. It leads a
    /// process group of its own, so that Ctrl-C in a terminal does not end it half-way.
    pub(super) fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(dir)
            .stdin(Stdio::null())
            .process_group(0);
        if self.dropped {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

/// The name of a user, or its number where it has none.
pub(super) fn name_of(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

fn user(name: &str) -> Option<User> {
    User::from_name(name).ok().flatten()
}

/// What decides about access to a directory.
struct Bits {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Bits {
    fn of(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides_about_search() {
        let user = Identity { name: "somebody".to_owned(), uid: 7, gid: 8, dropped: true };
        let cases = [
            (0, 0, 0o755, true),
            (0, 0, 0o711, true),
            (0, 0, 0o700, false),
            (0, 0, 0o754, false),
            (0, 8, 0o750, true),
            (0, 8, 0o701, false),
            (7, 0, 0o700, true),
            (7, 8, 0o677, false),
        ];
        for (uid, gid, mode, expected) in cases {
            let bits = Bits { uid, gid, mode };
            assert_eq!(user.may_search(&bits), expected, "{uid}:{gid} {mode:o} for 7:8");
        }
    }
}
