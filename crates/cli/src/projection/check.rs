//! `projection check`: what is wrong with files, before anything is begun.

use super::given::Given;
use crate::Global;
use crate::config::{UsageError, number};
use crate::files::{DIRECTORY, paths};
use crate::output::{print, sentence, thousands, visible, wrapped};
use crate::session::Session;
use anyhow::{Context, bail};
use clap::Args;
use evenfold_sql::ProjectionFile;
use evenfold_sql::check::{CheckError, CheckOptions, Checked, Finding, Sample, check};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Files, and directories of files NAME.sql
    #[arg(value_name = "FILE or DIR", env = "EVENFOLD_PROJECTIONS", default_value = DIRECTORY)]
    paths: Vec<PathBuf>,
    /// A file with events as `append` has them, one JSON object per line, to fold in place of the log; needs no log
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// How many events of the log to fold, of the aggregates that were written last: 1 to 1000000
    #[arg(long, default_value = "20000", value_name = "EVENTS", value_parser = |t: &str| number::<u32>(t, &(1..=1_000_000)))]
    sample: u32,
    /// Where the small batches end: the same as where this number was shown [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Show the plan of each statement for the sample as one batch
    #[arg(long)]
    explain: bool,
}

pub(super) async fn run(global: &Global, args: CheckArgs) -> anyhow::Result<()> {
    let paths = paths(&args.paths)?;
    if paths.is_empty() {
        return Err(UsageError("there is no file NAME.sql: name one, or a directory of them".to_owned()).into());
    }
    let given = match &args.events {
        Some(path) => Some(read(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let sample = given.as_ref().map_or(Sample::Log(args.sample), |given| Sample::Given(given.events.clone()));
    let seed = args.seed.unwrap_or_else(|| fastrand::u32(..).into());
    let options = CheckOptions { sample, seed, plans: args.explain };
    let session = Session::open(global).await?;
    let conn = match given {
        Some(_) => Ok(session.database.by_index().connect_to_server().await?.0),
        None => session.connect_by_index().await,
    };
    let files = Files { session: &session, options: &options, given: given.as_ref() };
    let outcome = match conn {
        Ok(mut conn) => files.check(&mut conn, &paths).await,
        Err(error) => Err(error),
    };
    session.close().await?;
    match outcome? {
        0 => Ok(()),
        _ if paths.len() == 1 => bail!("{} is not known to be right: what to do is named above", paths[0].display()),
        wrong => bail!("{wrong} of {} files are not known to be right: what to do is named above", paths.len()),
    }
}

fn read(path: &PathBuf) -> anyhow::Result<Given> {
    Given::read(File::open(path).context("it can't be read")?, "it")
}

struct Files<'a> {
    session: &'a Session,
    options: &'a CheckOptions,
    given: Option<&'a Given>,
}

impl Files<'_> {
    /// Gives how many are not right.
    async fn check(&self, conn: &mut PgConnection, paths: &[PathBuf]) -> anyhow::Result<usize> {
        let (mut wrong, mut made): (usize, HashMap<String, String>) = (0, HashMap::new());
        for path in paths {
            let file = match ProjectionFile::read(path) {
                Ok(file) => file,
                Err(error) => {
                    print(&sentence(&error.to_string()))?;
                    wrong += 1;
                    continue;
                }
            };
            let mut checked = match check(conn, self.session.database.schema(), &file, self.options).await {
                Ok(checked) => checked,
                Err(CheckError::Refused(why)) => {
                    print(&sentence(&why))?;
                    wrong += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let called = path.display().to_string();
            for table in &checked.tables {
                if let Some(other) = made.insert(table.table.clone(), called.clone()) {
                    let why = format!("the table {} is made by {other} as well: choose another name", table.table);
                    checked.findings.push(Finding::Taken(why));
                }
            }
            print(&self.report(&called, &file, &checked))?;
            wrong += usize::from(!checked.findings.is_empty() || checked.events == 0);
        }
        Ok(wrong)
    }

    fn report(&self, called: &str, file: &ProjectionFile, checked: &Checked) -> String {
        let verdict = match (&checked.findings[..], checked.events) {
            ([], 0) => format!("{}: nothing was folded, so nothing is known: {}", file.name(), self.why_nothing(file)),
            ([], _) if checked.tables.iter().all(|table| table.rows == 0) => {
                format!("{}: no mistake was found, and no row came of the events: nothing was compared", file.name())
            }
            ([], _) => format!("{}: no mistake was found", file.name()),
            _ => format!("{}: wrong", file.name()),
        };
        let mut text = sentence(&verdict);
        for finding in &checked.findings {
            text.push_str(&sentence(&format!("{called}: {}", self.described(finding))));
            text.extend(finding.rows().iter().map(|row| format!("  {}\n", visible(row))));
        }
        let warnings = checked.warnings.iter().map(|warning| format!("warning: {warning}"));
        let details = details(file, checked, self.options.seed).into_iter().chain(warnings);
        text.extend(details.map(|line| wrapped(&format!("  {line}"))));
        for table in checked.tables.iter().filter(|_| checked.findings.is_empty()) {
            let example =
                table.example.iter().map(|row| format!("  for example in {}: {}\n", table.table, visible(row)));
            text.extend(example);
        }
        text.extend(checked.plans.iter().map(|plan| format!("{plan}\n")));
        text
    }

    fn described(&self, finding: &Finding) -> String {
        match (finding, self.given) {
            (Finding::Parked(parked), Some(given)) => format!("line {}: {finding}", given.line(parked.position)),
            _ => finding.to_string(),
        }
    }

    fn why_nothing(&self, file: &ProjectionFile) -> String {
        let of = if self.given.is_some() { "given events" } else { "events in the log" };
        format!("there are no {of} that it wants ({}); give some with --events FILE", wants(file))
    }
}

fn wants(file: &ProjectionFile) -> String {
    let interest = file.interest();
    let events = interest.event_types().map_or_else(|| "all events".to_owned(), |types| types.join(", "));
    let of = interest.aggregate_types().map_or_else(String::new, |types| format!(" of {}", types.join(", ")));
    format!("{events}{of}")
}

fn details(file: &ProjectionFile, checked: &Checked, seed: u64) -> Vec<String> {
    let run = match checked.statements {
        Some(1) => "1 statement per batch".to_owned(),
        Some(several) => format!("{several} statements per batch"),
        None => "a body for each event".to_owned(),
    };
    let tables: Vec<&str> = checked.tables.iter().map(|table| table.table.as_str()).collect();
    let reads = if checked.reads.is_empty() { "nothing but the batch".to_owned() } else { checked.reads.join(", ") };
    let mut lines = vec![format!("{}; {run}; writes {}; reads {reads}", wants(file), tables.join(", "))];
    let Some((first, last)) = checked.positions else { return lines };
    let mut ways = vec!["as one batch, twice".to_owned()];
    if let Some((batches, most)) = checked.batches {
        ways.push(format!("in {} batches of 1 to {most} (seed {seed})", thousands(batches as i128)));
    }
    match checked.partitions {
        Some(1) => ways.push("of one aggregate id, so in no partitions".to_owned()),
        Some(partitions) => ways.push(format!("in {partitions} partitions in turn")),
        None => {}
    }
    lines.push(format!(
        "folded {} events of {} aggregates, positions {first} to {last}: {}",
        thousands(checked.events as i128),
        thousands(checked.aggregates as i128),
        ways.join("; ")
    ));
    if checked.findings.is_empty() {
        let rows = |table: &evenfold_sql::check::TableRows| format!("{} in {}", thousands(table.rows), table.table);
        let rows: Vec<String> = checked.tables.iter().map(rows).collect();
        lines.push(format!("the same rows each time: {}", rows.join(", ")));
    }
    if let Some((large, small)) = checked.per_event {
        let (large, small) = (micros(large), micros(small));
        lines.push(format!("{large} µs per event in one batch, {small} µs in small ones"));
    }
    lines
}

fn micros(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6)
}
