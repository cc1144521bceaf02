//! Which command the arguments name, before they are parsed.

use clap::Command;
use std::ffi::OsString;

/// Puts the default subcommand in, where the arguments name none.
pub(super) fn with_subcommand(mut arguments: Vec<OsString>, command: &Command, default: &str) -> Vec<OsString> {
    let mut rest = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
    while let Some(argument) = rest.next() {
        match &*argument {
            "-h" | "--help" | "-V" | "--version" => return arguments,
            flag if flag.starts_with('-') => {
                // A value that stands by itself, as in `--database-url URL counters`, is not a subcommand.
                if takes_value(command, flag) {
                    rest.next();
                } else if !command
                    .get_arguments()
                    .any(|arg| flag.strip_prefix("--").is_some_and(|flag| flag.split('=').next() == arg.get_long()))
                {
                    break;
                }
            }
            _ => return arguments,
        }
    }
    arguments.insert(1.min(arguments.len()), default.into());
    arguments
}

/// The innermost command that the arguments name, with those above it, as in `evenfold db start`.
pub(super) fn subcommand(command: &Command, arguments: &[OsString]) -> String {
    let (mut name, mut innermost) = (command.get_name().to_owned(), command);
    let mut rest = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
    while let Some(argument) = rest.next() {
        if argument.starts_with('-') {
            if takes_value(command, &argument) {
                rest.next();
            }
        } else if let Some(found) = innermost.find_subcommand(&*argument) {
            name = format!("{name} {argument}");
            innermost = found;
        } else {
            // A value, or a word that is no command: those below it are not commands either.
            break;
        }
    }
    name
}

/// Whether the next argument is this flag's value.
fn takes_value(command: &Command, flag: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == flag.strip_prefix("--") && arg.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn the_command_whose_help_is_of_use_is_the_innermost_one() {
        let command = Command::new("test").args([Arg::new("place").long("place").global(true)]).subcommands([
            Command::new("work"),
            Command::new("rest"),
            Command::new("below").subcommand(Command::new("work")),
        ]);
        let cases: [(&[&str], &str); 6] = [
            (&["work", "--batch-size=0"], "test work"),
            (&["below", "work", "--batch-size", "0"], "test below work"),
            (&["below"], "test below"),
            (&["--place", "rest", "below", "nonsense", "work"], "test below"),
            (&["--place=x", "--once", "rest"], "test rest"),
            (&["nonsense", "work"], "test"),
        ];
        for (arguments, expected) in cases {
            let arguments: Vec<OsString> =
                std::iter::once("test").chain(arguments.iter().copied()).map(Into::into).collect();
            assert_eq!(subcommand(&command, &arguments), expected, "{arguments:?}");
        }
    }
}
