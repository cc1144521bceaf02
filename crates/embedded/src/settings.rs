//! `evenfold.conf`, which the server's own configuration includes. It is written anew on each start.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::EmbeddedError;
use super::place::Place;

/// The last line of `postgresql.conf`, so that ours win.
pub(super) const INCLUDE: &str = "\ninclude = 'evenfold.conf'\n";

/// What switches durability off. Its presence in the file is how a later start knows of it.
const VOLATILE: &str = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";

/// Writes the settings of a server that listens in `socket_dir`.
pub(super) fn write(place: &Place, socket_dir: &Path, durable: bool) -> Result<(), EmbeddedError> {
    let mut text = b"# Written by evenfold on each start: edit postgresql.conf instead.\n\
        # Nobody but processes that reach the socket's directory may connect.\n\
        listen_addresses = ''\n\
        unix_socket_directories = "
        .to_vec();
    text.extend(quoted_list(socket_dir));
    // PostgreSQL's 100 are used up by ten workers with a pool each.
    text.extend(b"\nmax_connections = 200\n");
    // None by default: an application that commits in two phases could not be tried.
    text.extend(b"max_prepared_transactions = 50\n");
    // The user is called like the schema that evenfold makes, which the usual "$user" would put before everybody's
    // tables.
    text.extend(b"search_path = 'public'\n");
    if !durable {
        text.extend(VOLATILE.as_bytes());
    }
    place.write(&path(place), &text)
}

/// Whether the server was last started to survive a crash of the machine.
pub(super) fn is_durable(place: &Place) -> bool {
    let text = fs::read(path(place)).unwrap_or_default();
    !text.ends_with(VOLATILE.as_bytes())
}

fn path(place: &Place) -> PathBuf {
    place.data().join("evenfold.conf")
}

/// One path as a list of paths: quoted as an identifier for the list, then as a string for the file.
fn quoted_list(path: &Path) -> Vec<u8> {
    let mut quoted = b"'\"".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' => quoted.extend(b"\"\""),
            b'\'' => quoted.extend(b"''"),
            b'\\' => quoted.extend(b"\\\\"),
            b'\n' => quoted.extend(b"\\n"),
            other => quoted.push(*other),
        }
    }
    quoted.extend(b"\"'");
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_quotes_stays_one_path() {
        let cases = [
            ("/a/run", r#"'"/a/run"'"#),
            ("/a, b/run", r#"'"/a, b/run"'"#),
            (r#"/it's "a\b""#, r#"'"/it''s ""a\\b"""'"#),
        ];
        for (path, expected) in cases {
            assert_eq!(quoted_list(Path::new(path)), expected.as_bytes(), "{path}");
        }
    }
}
