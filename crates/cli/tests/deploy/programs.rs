//! Programs of others that read what is in `deploy/`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What such a program has made of it.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) accepted: bool,
    /// What it has printed, on both.
    pub(crate) text: String,
    pub(crate) out: String,
}

/// One that `scripts/test` has installed for the whole machine, or into the build's directory.
fn program(name: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("deploy/bin").join(name);
    if own.is_file() { own } else { name.into() }
}

/// Runs it in a directory.
pub(crate) fn judged(name: &str, args: &[&str], directory: &Path) -> Verdict {
    let output = Command::new(program(name)).args(args).current_dir(directory).env("NO_COLOR", "1").output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}: `scripts/test --test deploy` installs it"));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    Verdict {
        accepted: output.status.success(),
        text: format!("{out}{}", String::from_utf8_lossy(&output.stderr)),
        out,
    }
}

/// The same, of what has to be accepted; gives what it has printed on standard output.
pub(crate) fn accepted(name: &str, args: &[&str], directory: &Path) -> String {
    let verdict = judged(name, args, directory);
    assert!(verdict.accepted, "{name} {args:?}: {}", verdict.text);
    verdict.out
}

/// A directory that is gone after the test, with these files.
pub(crate) fn with_files(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}
