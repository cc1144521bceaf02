//! The one place where settings come together: flags beat the environment (and `.env`), which beats `evenfold.toml`,
//! which beats the defaults.
//!
//! Each setting is declared once, as a flag with a variable. The file has the same names with underscores; what it
//! says becomes the flag's default, so that it goes through the same checks.

mod arguments;
#[cfg(feature = "groups")]
mod sharding;
mod source;

#[cfg(feature = "groups")]
pub use sharding::{RELEASE_FILE, Sharding};
pub(crate) use source::{SETTINGS, SourceSettings};

use arguments::{subcommand, with_subcommand};
use clap::{ArgMatches, Command};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::path::Path;

/// The file that is read if it is there and no other is named.
pub const DEFAULT_FILE: &str = "evenfold.toml";

/// A command line, an environment or a file that can't be followed: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// What to do with the arguments.
pub enum Parsed<T> {
    /// Run.
    Run(T),
    /// Show a text, which was asked for.
    Show(String),
}

/// Parses the arguments of the process, with the environment and the file behind them. Without a subcommand, `default`
/// is meant, if there is one.
///
/// # Errors
///
/// [`UsageError`], in one sentence.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    command: Command,
    default: Option<&str>,
) -> Result<Parsed<ArgMatches>, UsageError> {
    let mut arguments = arguments.into_iter().collect();
    if let Some(default) = default {
        arguments = with_subcommand(arguments, &command, default);
    }
    let File { values, source } = settings_file(&arguments)?;
    let mut command = with_file(command, &values, "the settings file")?;
    if let Some(source) = source {
        if !command.get_arguments().any(|arg| arg.get_id() == SETTINGS) {
            return Err(UsageError(
                "the settings file has the table [source], which this program has no use for".to_owned(),
            ));
        }
        command = command.mut_arg(SETTINGS, |arg| arg.default_value(source));
    }
    let help = format!("{} --help", subcommand(&command, &arguments));
    matched(command, arguments, &help)
}

/// What the arguments say to a command, whose defaults are those of the file already.
fn matched(
    command: Command,
    arguments: impl IntoIterator<Item = OsString>,
    help: &str,
) -> Result<Parsed<ArgMatches>, UsageError> {
    match as_wide_as_the_terminal(plain_spoken(command)).try_get_matches_from(arguments) {
        Ok(matches) => Ok(Parsed::Run(matches)),
        Err(error) if !error.use_stderr() => Ok(Parsed::Show(error.render().to_string())),
        Err(error) => Err(UsageError(sentence(&error, help))),
    }
}

/// The same, as the type that the command was made of.
#[cfg(any(test, feature = "groups"))]
fn parsed<T: clap::FromArgMatches>(
    command: Command,
    arguments: impl IntoIterator<Item = OsString>,
    help: &str,
) -> Result<Parsed<T>, UsageError> {
    Ok(match matched(command, arguments, help)? {
        Parsed::Run(matches) => {
            Parsed::Run(T::from_arg_matches(&matches).map_err(|error| UsageError(sentence(&error, help)))?)
        }
        Parsed::Show(text) => Parsed::Show(text),
    })
}

/// Has clap name what is wrong: a number that is not in the limits instead of an unknown flag `-1`, and a missing
/// subcommand instead of the whole help. Descriptions go below the flags, whose names are long.
fn plain_spoken(command: Command) -> Command {
    let numbers = |arg: clap::Arg| {
        let takes_values = arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_values)
    };
    command.mut_args(numbers).mut_subcommands(|subcommand| {
        subcommand
            .next_line_help(true)
            .mut_args(numbers)
            .arg_required_else_help(false)
            .mut_subcommands(|leaf| leaf.mut_args(numbers))
    })
}

/// Help in the width of the terminal, up to what can be read well; where there is none, in that of the narrowest usual
/// one.
fn as_wide_as_the_terminal(command: Command) -> Command {
    if std::io::stdout().is_terminal() { command.max_term_width(120) } else { command.term_width(80) }
}

/// What the file says: as text by the names of the settings, and its table about the log, as JSON.
#[derive(Debug, Default)]
struct File {
    values: BTreeMap<String, String>,
    source: Option<String>,
}

/// The value of a flag or of its variable, before the arguments are parsed.
pub(crate) fn given(arguments: &[OsString], flag: &str, variable: &str) -> Option<OsString> {
    let apart = || arguments.iter().position(|argument| argument == flag).and_then(|at| arguments.get(at + 1).cloned());
    let joined = |argument: &OsString| Some(argument.to_str()?.strip_prefix(flag)?.strip_prefix('=')?.into());
    apart().or_else(|| arguments.iter().find_map(joined)).or_else(|| std::env::var_os(variable))
}

fn settings_file(arguments: &[OsString]) -> Result<File, UsageError> {
    let named = given(arguments, "--config", "EVENFOLD_CONFIG");
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let path = Path::new(&path);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => {
            let path = path.display();
            return Err(UsageError(format!(
                "can't read the settings file {path}: {error}; correct --config or EVENFOLD_CONFIG"
            )));
        }
    };
    parse_file(&text).map_err(|problem| UsageError(format!("the settings file {}: {problem}", path.display())))
}

fn parse_file(text: &str) -> Result<File, String> {
    let mut table = toml_table(text)?;
    let source = source::take(&mut table)?;
    Ok(File { values: parse_table(table)?, source })
}

fn toml_table(text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })
}

fn parse_table(table: toml::Table) -> Result<BTreeMap<String, String>, String> {
    let scalar = |(key, value): (String, toml::Value)| match value {
        toml::Value::String(text) => Ok((key, text)),
        toml::Value::Integer(number) => Ok((key, number.to_string())),
        toml::Value::Boolean(flag) => Ok((key, flag.to_string())),
        _ => Err(format!("{key} must be a text, a whole number, true or false")),
    };
    table.into_iter().map(scalar).collect()
}

/// Makes the file's values the defaults of the flags of the same name.
fn with_file(command: Command, file: &BTreeMap<String, String>, called: &str) -> Result<Command, UsageError> {
    let known: BTreeSet<String> = names(&command);
    if let Some(unknown) = file.keys().find(|key| !known.contains(*key)) {
        let known: Vec<_> = known.into_iter().collect();
        return Err(UsageError(format!(
            "{called} has the key {unknown}, which is not a setting; these are: {}",
            known.join(", ")
        )));
    }
    let set = |arg: clap::Arg| match name(&arg).and_then(|name| file.get(&name)) {
        Some(value) => arg.default_value(value.clone()),
        None => arg,
    };
    Ok(everywhere(command, &set))
}

/// Changes the flags of a command, and of those below it, however deep they are.
fn everywhere(command: Command, change: &dyn Fn(clap::Arg) -> clap::Arg) -> Command {
    command.mut_args(change).mut_subcommands(|subcommand| everywhere(subcommand, change))
}

/// The names that a settings file may have.
fn names(command: &Command) -> BTreeSet<String> {
    let below = command.get_subcommands().flat_map(names);
    command.get_arguments().filter_map(name).chain(below).collect()
}

/// The name of a setting. A flag without an environment variable is none: it is about one run of one command.
fn name(arg: &clap::Arg) -> Option<String> {
    let long = arg.get_long().filter(|long| *long != "config" && arg.get_env().is_some())?;
    Some(long.replace('-', "_"))
}

/// clap explains over several lines, and adds the usage; one sentence is enough to know what to do.
fn sentence(error: &clap::Error, help: &str) -> String {
    let text = error.render().to_string();
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let joined = lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    format!("{} (see {help})", joined.trim_start_matches("error: "))
}

/// A whole number within limits, for `value_parser`.
///
/// # Errors
///
/// A text that says which numbers are right.
pub fn number<T>(text: &str, range: &RangeInclusive<T>) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + Display,
{
    let wanted = || format!("it must be a whole number from {} to {}", range.start(), range.end());
    text.trim().parse().ok().filter(|number| range.contains(number)).ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, CommandFactory, Parser, Subcommand};

    #[derive(Debug, Parser)]
    #[command(name = "test")]
    struct Cli {
        #[arg(long, global = true, env = "EVENFOLD_UNIT_TEST_PLACE", default_value = "a")]
        place: String,
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, Subcommand)]
    enum Sub {
        Work(Work),
        Rest,
        Below {
            #[command(subcommand)]
            leaf: Leaf,
        },
    }

    #[derive(Debug, Subcommand)]
    enum Leaf {
        Work(Work),
    }

    #[derive(Debug, Args)]
    struct Work {
        #[arg(long, env = "EVENFOLD_UNIT_TEST_BATCH_SIZE", default_value = "1",
            value_parser = |t: &str| number::<u32>(t, &(1..=9)))]
        batch_size: u32,
        #[arg(long)]
        once: bool,
    }

    fn settled(arguments: &[&str], file: &str) -> Result<String, String> {
        let arguments = std::iter::once("test").chain(arguments.iter().copied()).map(OsString::from).collect();
        let arguments = with_subcommand(arguments, &Cli::command(), "work");
        let command =
            with_file(Cli::command(), &parse_file(file)?.values, "the file").map_err(|error| error.to_string())?;
        let Cli { place, command } = match parsed(command, arguments, "--help").map_err(|error| error.to_string())? {
            Parsed::Run(cli) => cli,
            Parsed::Show(text) => return Err(text),
        };
        Ok(match command {
            Sub::Work(Work { batch_size, .. }) | Sub::Below { leaf: Leaf::Work(Work { batch_size, .. }) } => {
                format!("{place} work {batch_size}")
            }
            Sub::Rest => format!("{place} rest"),
        })
    }

    #[test]
    fn flags_beat_the_file_which_beats_the_defaults() {
        assert_eq!(settled(&[], ""), Ok("a work 1".into()));
        assert_eq!(settled(&[], "batch_size = 3\nplace = 'b'"), Ok("b work 3".into()));
        assert_eq!(settled(&["--batch-size=4"], "batch_size = 3"), Ok("a work 4".into()));
        assert_eq!(settled(&["below", "work"], "batch_size = 3"), Ok("a work 3".into()));
    }

    #[test]
    fn without_a_subcommand_the_default_is_meant() {
        assert_eq!(settled(&["--place", "rest"], ""), Ok("rest work 1".into()));
        assert_eq!(settled(&["--place=x", "rest"], ""), Ok("x rest".into()));
        assert_eq!(settled(&["--place", "x", "rest"], ""), Ok("x rest".into()));
        assert_eq!(settled(&["rest"], ""), Ok("a rest".into()));
        assert_eq!(settled(&["--batch-size", "4", "--place=x"], ""), Ok("x work 4".into()));
    }

    #[test]
    fn a_bad_setting_is_refused_in_one_sentence() {
        let cases: [(&[&str], &str, &str); 8] = [
            (&["--batch-size=0"], "", "it must be a whole number from 1 to 9"),
            (&["--batch-size", "-1"], "", "it must be a whole number from 1 to 9"),
            (&[], "batch_size = 10", "it must be a whole number from 1 to 9"),
            (&[], "bath_size = 1", "the key bath_size, which is not a setting; these are: batch_size, place"),
            (&[], "once = true", "the key once, which is not a setting; these are: batch_size, place"),
            (&[], "a = 1\nb =", "line 2"),
            (&[], "place = [1]", "place must be a text"),
            (&["--batch-sice=3"], "", "unexpected argument '--batch-sice' found"),
        ];
        for (arguments, file, expected) in cases {
            let error = settled(arguments, file).map_or_else(|error| error, |fine| format!("accepted: {fine}"));
            assert!(error.contains(expected), "{arguments:?} {file:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
