//! Flags and commands of a command line that is being put together.

use clap::{Arg, ArgMatches, Command};

/// Whether nobody could distinguish the two on a command line.
pub(super) fn is_same_flag(one: &Arg, other: &Arg) -> bool {
    let longs = |arg: &Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned);
        arg.get_long().map(str::to_owned).into_iter().chain(aliases).collect::<Vec<_>>()
    };
    let same_long = longs(one).iter().any(|long| longs(other).contains(long));
    let same_short = one.get_short().is_some() && one.get_short() == other.get_short();
    one.get_id() == other.get_id() || same_long || same_short
}

/// Whether the command along a path, or every command, has a flag like this one.
pub(super) fn has_flag(command: &Command, path: &[&str], setting: &Arg) -> bool {
    // Those that clap itself adds, when the command line is built.
    let added = ["help", "version"].map(|name| Arg::new(name).long(name)).into_iter();
    let help = Arg::new("short help").short('h');
    let global = command.get_arguments().filter(|arg| arg.is_global_set());
    let innermost = path.iter().try_fold(command, |command, name| command.find_subcommand(name));
    let own = innermost.into_iter().flat_map(Command::get_arguments);
    added.chain([help]).any(|flag| is_same_flag(&flag, setting))
        || global.chain(own).any(|flag| is_same_flag(flag, setting))
}

/// Changes the command that is there along a path.
pub(super) fn within(command: Command, path: &[&str], change: &dyn Fn(Command) -> Command) -> Command {
    match path {
        [] => change(command),
        [name, rest @ ..] => command.mut_subcommand(*name, |below| within(below, rest, change)),
    }
}

/// What was given to the innermost command.
pub(super) fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| innermost(below))
}
