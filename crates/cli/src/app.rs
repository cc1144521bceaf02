//! A program for projections of one's own.

use super::asked::Asked;
use super::commands::{self, Cli};
use super::flags::{has_flag, innermost, is_same_flag, within};
use super::projections::Projections;
use super::registry::{Entry, Registered};
use super::replay::{self, ReplayCommand};
use super::tuning::CounterSettings;
use super::verify::PointerArg;
use super::{Global, advice, start};
use crate::config::UsageError;
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Subcommand};
use evenfold::counters;
use evenfold::projection::Projection;
use std::path::Path;
use std::process::ExitCode;

/// The commands that have the flags of projections: they make them.
#[cfg(feature = "monitor")]
const FOLDING: [&[&str]; 5] = [&["worker"], &["pool"], &["parked", "retry"], &["parked", "drop"], &["monitor"]];
#[cfg(not(feature = "monitor"))]
const FOLDING: [&[&str]; 4] = [&["worker"], &["pool"], &["parked", "retry"], &["parked", "drop"]];

/// The commands of a program with projections of somebody's own.
const OF_APPS: [&str; 19] = [
    "worker",
    "pool",
    "status",
    "monitor",
    "wait",
    "verify",
    "rebuild",
    "parked",
    "source",
    "append",
    "migrate",
    "uninstall",
    "index",
    "erase",
    "repair",
    "health",
    "db",
    "completions",
    "man",
];

/// Those of `evenfold` that it has in another form.
const REPLAYING: [&[&str]; 2] = [&["scale"], &["bench", "catch-up"]];

/// The commands that fold again what is folded: with the settings of a program's projections. Those of the counters are
/// fewer, since their actors are not needed.
const REFOLDING: [&[&str]; 2] = [&["verify"], &["rebuild"]];

/// A program like `evenfold`, for other projections: its whole command line, with theirs in place of the counters.
///
/// ```no_run
/// # use evenfold::{Batch, BoxError, Projection};
/// #[derive(Clone)]
/// struct Revenue;
/// # impl Projection for Revenue {
/// #     fn name(&self) -> &str { "revenue" }
/// #     async fn apply(&mut self, _: &mut sqlx::PgConnection, _: &mut Batch<'_>) -> Result<(), BoxError> { Ok(()) }
/// # }
///
/// fn main() -> std::process::ExitCode {
///     evenfold_cli::App::new().projection(Revenue).main()
/// }
/// ```
#[derive(Default)]
pub struct App {
    entries: Vec<Box<dyn Entry>>,
    /// The program `evenfold` itself.
    product: bool,
}

/// The settings of a projection that has none.
#[derive(Debug, Args)]
struct NoSettings {}

impl App {
    /// A program without a projection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `evenfold`.
    pub(crate) fn product() -> Self {
        let counters = |settings: &CounterSettings| settings.projection();
        let check = |settings: &CounterSettings, batch_size: Option<usize>| {
            batch_size.map_or(Ok(()), |batch_size| settings.check(batch_size))
        };
        let counters = Registered::new(counters::NAME.to_owned(), counters, check);
        Self { entries: vec![Box::new(counters)], product: true }
    }

    /// The same with a projection that has no settings. Each worker has a clone of it.
    #[must_use]
    pub fn projection<P: Projection + Clone + Sync>(self, projection: P) -> Self {
        let name = projection.name().to_owned();
        self.projection_with(&name, move |_: &NoSettings| projection.clone())
    }

    /// The same with a projection under this name, which is made of its settings: they are flags, and variables if they
    /// say so, of the commands that fold. It is made once for each worker.
    #[must_use]
    pub fn projection_with<A, P>(mut self, name: &str, make: impl Fn(&A) -> P + Send + Sync + 'static) -> Self
    where
        A: Args + Send + Sync + 'static,
        P: Projection,
    {
        self.entries.push(Box::new(Registered::new(name.to_owned(), make, |_, _| Ok(()))));
        self
    }

    /// Runs what the arguments of this process say, to its end. What goes wrong is one sentence on standard error, and
    /// the code 2 for what was asked wrongly, 1 for anything else.
    #[must_use]
    pub fn main(self) -> ExitCode {
        if !self.product {
            advice::advise(program(), &OF_APPS);
        }
        if let Err(code) = super::start::read_dotenv() {
            return code;
        }
        let command = match self.command() {
            Ok(command) => command,
            Err(error) => return super::start::failed(&error.into()),
        };
        let whole = command.clone();
        start(
            command,
            Some("worker"),
            |matches| self.read(matches),
            Asked::log,
            async |asked, matches| {
                let matches = innermost(matches);
                let files = super::files::entries(matches, self.product)?;
                let known = Projections {
                    entries: self.with_files(&files)?,
                    matches,
                    command: &whole,
                    ways_on: self.ways_on(),
                    product: self.product,
                };
                match asked {
                    Asked::Command(cli) => Box::pin(commands::run(*cli, &known)).await,
                    Asked::Replay(asked) => Box::pin(replay::run(&asked.0, asked.1, &known)).await,
                }
            },
        )
    }

    /// The command line.
    fn command(&self) -> Result<Command, UsageError> {
        let (mut command, mut folding) = (Cli::command(), FOLDING.to_vec());
        if self.product {
            for path in REFOLDING {
                command = within(command, path, &PointerArg::augment_args);
            }
        } else {
            command = self.own(&command);
            folding.extend(REPLAYING);
            folding.extend(REFOLDING);
        }
        self.check(&command, &folding)?;
        for path in folding {
            command = within(command, path, &|mut folding| {
                for entry in &self.entries {
                    folding = entry.flags(folding);
                }
                folding
            });
        }
        Ok(command)
    }

    /// What a program's author has to correct.
    fn check(&self, command: &Command, folding: &[&[&str]]) -> Result<(), UsageError> {
        let mut settings: Vec<(Arg, &str)> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let name = entry.name();
            if self.entries[..at].iter().any(|other| other.name() == name) {
                return Err(UsageError(format!("this program has two projections with the name {name}")));
            }
            for setting in entry.flags(Command::new("settings")).get_arguments() {
                let id = setting.get_id();
                if let Some((_, other)) = settings.iter().find(|(known, _)| is_same_flag(known, setting)) {
                    let sentence = format!("the projections {other} and {name} both have the setting {id}: rename one");
                    return Err(UsageError(sentence));
                }
                if let Some(path) = folding.iter().find(|path| has_flag(command, path, setting)) {
                    let command = path.join(" ");
                    return Err(UsageError(format!(
                        "the projection {name} has the setting {id}, which is a flag of the command {command} already: rename it"
                    )));
                }
                settings.push((setting.clone(), name));
            }
        }
        if self.entries.is_empty() {
            return Err(UsageError("this program has no projection: add one by App::projection".to_owned()));
        }
        Ok(())
    }

    /// A command line with the commands that are there for any projection.
    fn own(&self, product: &Command) -> Command {
        let projections = self.entries.iter().map(|entry| entry.name()).collect::<Vec<_>>().join(", ");
        let about = format!("Folds an event log kept in PostgreSQL, exactly once, into: {projections}");
        let commands = product.get_subcommands().filter(|command| OF_APPS.contains(&command.get_name())).cloned();
        Command::new(program())
            .about(about)
            .subcommand_required(true)
            .args(product.get_arguments().cloned())
            .subcommands(commands)
            .subcommands(ReplayCommand::augment_subcommands(Command::new("replay")).get_subcommands().cloned())
            .mut_subcommand("worker", |worker| worker.about("Apply the events of one partition"))
    }

    fn read(&self, matches: &ArgMatches) -> Result<Asked, UsageError> {
        let refused = |error: clap::Error| UsageError(error.to_string());
        if let (false, Some((command, _))) = (self.product, matches.subcommand())
            && REPLAYING.iter().any(|path| path.first() == Some(&command))
        {
            let global = Global::from_arg_matches(matches).map_err(refused)?;
            let command = ReplayCommand::from_arg_matches(matches).map_err(refused)?;
            return Ok(Asked::Replay(Box::new((global, command))));
        }
        Cli::from_arg_matches(matches).map(|cli| Asked::Command(Box::new(cli))).map_err(refused)
    }

    /// This program's projections, with those of files.
    fn with_files<'a>(&'a self, files: &'a [Box<dyn Entry>]) -> Result<Vec<&'a dyn Entry>, UsageError> {
        let own = |file: &dyn Entry| self.entries.iter().any(|entry| entry.name() == file.name());
        if let Some(twice) = files.iter().find(|file| own(file.as_ref())) {
            let name = twice.name();
            return Err(UsageError(format!(
                "this program has a projection {name} already: rename the file {name}.sql"
            )));
        }
        Ok(self.entries.iter().chain(files).map(AsRef::as_ref).collect())
    }

    fn ways_on(&self) -> String {
        if self.product {
            "`evenfold demo` shows all of it at work, and `evenfold --help` every command".to_owned()
        } else {
            format!("`{} --help` shows every command", program())
        }
    }
}

/// The name of this program.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    Path::new(&called).file_stem().map_or_else(|| "evenfold".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Args)]
    struct Settings {
        #[arg(long, default_value = "EUR")]
        currency: String,
    }

    fn counters(_: &Settings) -> counters::Counters {
        counters::Counters::new(evenfold::counter::AmountPointer::default(), 10)
    }

    #[test]
    fn what_the_author_of_a_program_has_to_correct_is_a_sentence() {
        let refused = |app: App| app.command().map(drop).unwrap_err().to_string();
        assert!(refused(App::new()).contains("add one by App::projection"));
        let twice = App::new().projection_with("a", counters).projection_with("a", counters);
        assert!(refused(twice).contains("two projections with the name a"));
        let shared = App::new().projection_with("a", counters).projection_with("b", counters);
        assert!(refused(shared).contains("the projections a and b both have the setting currency"));
        let own = App::new().projection_with("a", counters).command().unwrap();
        own.debug_assert();
    }

    /// Of a flag of the commands by its name, of one of them all, by its short form, and of one that clap adds.
    #[test]
    fn a_setting_that_is_called_like_a_flag_of_the_commands_is_refused() {
        #[derive(Debug, Clone, Args)]
        struct BatchSize {
            #[arg(long)]
            batch_size: String,
        }
        #[derive(Debug, Clone, Args)]
        struct Named {
            #[arg(long = "projection")]
            called: String,
        }
        #[derive(Debug, Clone, Args)]
        struct Everywhere {
            #[arg(long)]
            schema: String,
        }
        #[derive(Debug, Clone, Args)]
        struct OfRetry {
            #[arg(long)]
            all: bool,
        }
        #[derive(Debug, Clone, Args)]
        struct Short {
            #[arg(short = 'h')]
            height: bool,
        }
        #[derive(Debug, Clone, Args)]
        struct OfScale {
            #[arg(long)]
            rate: String,
        }
        fn refused<A: Args + Send + Sync + 'static>() -> String {
            let make = |_: &A| counters::Counters::new(evenfold::counter::AmountPointer::default(), 10);
            App::new().projection_with("a", make).command().map(drop).unwrap_err().to_string()
        }
        let sentence = |setting: &str, command: &str| {
            format!(
                "the projection a has the setting {setting}, which is a flag of the command {command} already: rename it"
            )
        };
        assert_eq!(refused::<BatchSize>(), sentence("batch_size", "worker"));
        assert_eq!(refused::<Named>(), sentence("called", "worker"));
        assert_eq!(refused::<Everywhere>(), sentence("schema", "worker"));
        assert_eq!(refused::<OfRetry>(), sentence("all", "parked retry"));
        assert_eq!(refused::<Short>(), sentence("height", "worker"));
        assert_eq!(refused::<OfScale>(), sentence("rate", "scale"));
    }
}
