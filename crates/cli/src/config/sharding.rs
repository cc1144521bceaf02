//! How an actor group is divided: flags beat the environment, which beats `release.toml`, which beats the defaults.

use super::{Parsed, UsageError, number, parse_table, with_file};
use clap::{CommandFactory, Parser};
use evenfold_groups::{GroupOptions, MAX_SHARDS};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// The file that is read if it is there.
pub const RELEASE_FILE: &str = "release.toml";

/// The table of it that is about actor groups; the others are somebody else's.
const TABLE: &str = "sharding";

/// Says how many shards there are where nothing more particular does: it beats the file.
const SHARD_COUNT: &str = "SHARD_COUNT";

/// How an actor group is divided.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "sharding")]
pub struct Sharding {
    /// How many shards the group has: 1 to 1024
    #[arg(long, env = "SHARDING_SHARD_COUNT", default_value = "4", value_name = "N",
        value_parser = |t: &str| number::<u32>(t, &(1..=MAX_SHARDS)))]
    pub shard_count: u32,
    /// What the group is called in logs and reports
    #[arg(long, env = "SHARDING_GROUP_ID", default_value = "counter-group", value_name = "NAME", value_parser = name)]
    pub group_id: String,
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("it must be a name".to_owned()) } else { Ok(text.to_owned()) }
}

impl Sharding {
    /// As the arguments, the environment and [`RELEASE_FILE`] in the current directory say.
    ///
    /// # Errors
    ///
    /// [`UsageError`], in one sentence.
    pub fn from_process() -> Result<Parsed<Self>, UsageError> {
        let values = match std::fs::read_to_string(Path::new(RELEASE_FILE)) {
            Ok(text) => values(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(UsageError(format!("can't read {RELEASE_FILE}: {error}"))),
        };
        parse(std::env::args_os(), std::env::var(SHARD_COUNT).ok(), &values)
    }

    /// The options of a group that is divided like this.
    #[must_use]
    pub fn options(&self) -> GroupOptions {
        GroupOptions::default().id(self.group_id.clone()).shards(self.shard_count)
    }
}

/// What the file says about actor groups.
fn values(text: &str) -> Result<BTreeMap<String, String>, UsageError> {
    let problem = |problem: String| UsageError(format!("{RELEASE_FILE}: {problem}"));
    let mut table = super::toml_table(text).map_err(problem)?;
    match table.remove(TABLE) {
        None => Ok(BTreeMap::new()),
        Some(toml::Value::Table(table)) => parse_table(table).map_err(problem),
        Some(_) => Err(problem(format!("{TABLE} must be a table, as in [{TABLE}] and shard_count = 4 below it"))),
    }
}

fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    count: Option<String>,
    values: &BTreeMap<String, String>,
) -> Result<Parsed<Sharding>, UsageError> {
    let command = with_file(Sharding::command(), values, RELEASE_FILE)?;
    match count {
        Some(count) => {
            super::parsed(command.mut_arg("shard_count", |arg| arg.default_value(count)), arguments, "--help")
        }
        None => super::parsed(command, arguments, "--help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str], count: Option<&str>, file: &str) -> Result<(u32, String), String> {
        let arguments = std::iter::once("test").chain(arguments.iter().copied()).map(OsString::from);
        let parsed = values(file).and_then(|values| parse(arguments, count.map(str::to_owned), &values));
        match parsed.map_err(|error| error.to_string())? {
            Parsed::Run(Sharding { shard_count, group_id }) => Ok((shard_count, group_id)),
            Parsed::Show(text) => Err(text),
        }
    }

    #[test]
    fn flags_beat_the_variable_which_beats_the_file_which_beats_the_defaults() {
        let file = "title = 'other'\n[sharding]\nshard_count = 7\ngroup_id = \"carts\"\n[server]\nport = 1";
        assert_eq!(parsed(&[], None, ""), Ok((4, "counter-group".into())));
        assert_eq!(parsed(&[], None, file), Ok((7, "carts".into())));
        assert_eq!(parsed(&[], Some("9"), file), Ok((9, "carts".into())));
        assert_eq!(parsed(&["--shard-count=2", "--group-id", "x"], Some("9"), file), Ok((2, "x".into())));
    }

    #[test]
    fn a_bad_setting_is_refused_in_one_sentence() {
        let wanted = "it must be a whole number from 1 to 1024";
        let cases: [(&[&str], Option<&str>, &str, &str); 9] = [
            (&["--shard-count=0"], None, "", wanted),
            (&["--shard-count", "-1"], None, "", wanted),
            (&[], Some("1000000"), "", wanted),
            (&[], Some("many"), "", wanted),
            (&[], None, "[sharding]\nshard_count = 0", wanted),
            (&[], None, "[sharding]\nshard_count = -3", wanted),
            (
                &[],
                None,
                "[sharding]\nshards = 3",
                "the key shards, which is not a setting; these are: group_id, shard_count",
            ),
            (&[], None, "sharding = 4", "sharding must be a table"),
            (&["--group-id="], None, "", "it must be a name"),
        ];
        for (arguments, count, file, expected) in cases {
            let error = parsed(arguments, count, file).map_or_else(|error| error, |fine| format!("accepted: {fine:?}"));
            assert!(error.contains(expected), "{arguments:?} {count:?} {file:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
