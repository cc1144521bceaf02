//! Releases of PostgreSQL other than the one that the tests run on otherwise.

use crate::scratch;
use std::path::PathBuf;

/// One that `scripts/lib/releases` has installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its number, such as 13.
    pub number: String,
    /// Where its `bin`, `lib` and `share` are.
    pub directory: PathBuf,
}

/// The oldest that evenfold works with and the newest, or those in `POSTGRES_RELEASES`, such as `13 14 16`. Fails where
/// one is not installed.
pub fn releases() -> Vec<Release> {
    let wanted = std::env::var("POSTGRES_RELEASES").ok().filter(|wanted| !wanted.trim().is_empty());
    let wanted = wanted.as_deref().unwrap_or("13 18");
    wanted.split_whitespace().map(installed).collect()
}

fn installed(number: &str) -> Release {
    let known = include_str!("../releases.txt").lines().filter_map(|line| line.split_once(' '));
    let version = known.clone().find(|(known, _)| *known == number).map(|(_, version)| version);
    let version = version.unwrap_or_else(|| panic!("crates/testkit/releases.txt has no PostgreSQL {number}"));
    let directory = scratch().parent().expect("it is in the target directory").join("postgresql").join(number);
    let installed = std::fs::read_to_string(directory.join("installed"));
    assert!(
        installed.is_ok_and(|installed| installed.trim() == version),
        "PostgreSQL {version} is not in {}: `scripts/test --test releases` installs it, and runs these tests",
        directory.display()
    );
    Release { number: number.to_owned(), directory }
}
