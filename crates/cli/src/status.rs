//! `status`: how a projection stands, counted in the database.

use super::output::{COLUMNS, complain, print, print_json, redraw, sentence, table, thousands};
use super::projections::{Projections, ProjectionsArg};
use super::session::Session;
use super::source::Logs;
use super::{Global, signals};
use crate::config::number;
use anyhow::bail;
use clap::Args;
use evenfold::checkpoint::{ClassStatus, Status, status_of};
use evenfold::counters::NAME;
use std::time::Duration;

/// How often `--watch` looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How many columns a process has at least.
const PROCESS: usize = 12;

/// Classes of which a line says what is wrong, at most: the rest is in `--check` and `--json`.
const SHOWN: usize = 8;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Again every second, until Ctrl-C
    #[arg(long, conflicts_with = "check")]
    watch: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    /// For probes: exit with 1, and a line per reason on standard error, if a class has no worker at work, or has
    /// parked aggregates, or is too far behind
    #[arg(long)]
    check: bool,
    /// With --check, how many events a class may be behind, 0 to 1000000000 [default: any number]
    #[arg(long, requires = "check", value_name = "EVENTS", value_parser = |t: &str| number::<u64>(t, &(0..=1_000_000_000)))]
    max_lag: Option<u64>,
    /// With --check, how old the oldest event may be that a class has not applied, in seconds, 1 to 31536000 [default:
    /// any age]
    #[arg(long, requires = "check", value_name = "SECONDS", value_parser = |t: &str| number::<u32>(t, &(1..=31_536_000)))]
    max_lag_seconds: Option<u32>,
    #[command(flatten)]
    projections: ProjectionsArg,
}

pub(super) async fn run(global: &Global, args: StatusArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let names = known.names(&args.projections);
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    let mut logs = Logs::open(global, &session).await?;
    let mut reasons = Vec::new();
    loop {
        let mut all = Vec::with_capacity(names.len());
        for name in &names {
            let own = session.database.schema();
            let log = logs.of(own, &mut conn, name).await?.map(|(_, log)| log);
            all.push(status_of(own, &mut conn, log, name).await?);
        }
        if args.check {
            reasons = all.iter().flat_map(|status| wrong(status, &args, names.len() > 1)).collect();
        }
        let rendered = || all.iter().map(render).collect::<Vec<_>>().join("\n");
        match (args.json, args.watch) {
            (true, _) => all.iter().try_for_each(print_json)?,
            (false, true) => redraw(&rendered())?,
            (false, false) if args.check && reasons.is_empty() => print(&all.iter().map(fine).collect::<String>())?,
            (false, false) if args.check => {}
            (false, false) => print(&rendered())?,
        }
        if !args.watch || shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            break;
        }
    }
    drop(conn);
    session.close().await?;
    let Some(last) = reasons.pop() else { return Ok(()) };
    for reason in &reasons {
        complain(reason);
    }
    bail!(last)
}

/// What is not as it should be, one sentence each, with the projection where several were asked for.
fn wrong(status: &Status, args: &StatusArgs, several: bool) -> Vec<String> {
    let reasons = reasons(status, args).into_iter();
    let named = |reason| if several { format!("{}: {reason}", status.projection) } else { reason };
    reasons.map(named).collect()
}

fn reasons(status: &Status, args: &StatusArgs) -> Vec<String> {
    let Some(total) = status.total_partitions else {
        let problem =
            if status.classes.is_empty() { "has not been begun" } else { "has lost its number of partitions" };
        return vec![format!("the projection {} {problem}: start a worker", status.projection)];
    };
    let mut reasons = Vec::new();
    if !status.cover_complete {
        reasons.push(format!(
            "the classes of {total} partitions are no exact cover: some events belong to none or to two; {}",
            restore(&status.projection)
        ));
    }
    for class in &status.classes {
        let ClassStatus { class: name, behind, behind_seconds, parked, .. } = class;
        reasons.extend(class.idle.as_ref().map(|why| format!("class {name}: {why}")));
        if let Some(most) = args.max_lag.filter(|most| behind > most) {
            let (behind, most) = (thousands(*behind), thousands(most));
            reasons.push(format!("class {name}: {behind} events behind, more than {most}"));
        }
        if let Some(most) = args.max_lag_seconds.filter(|most| *behind_seconds > f64::from(*most)) {
            let oldest = age(*behind_seconds);
            reasons.push(format!(
                "class {name}: the oldest of {behind} events behind is {oldest} old, more than {most} s"
            ));
        }
        if *parked > 0 {
            reasons.push(format!("class {name}: {parked} parked aggregates; `evenfold parked list` says why"));
        }
    }
    reasons
}

/// What was counted, where nothing is wrong.
fn fine(status: &Status) -> String {
    let (total, behind) = (status.total_partitions.unwrap_or_default(), thousands(status.behind()));
    format!("{}: {total} partitions, all with a worker, {behind} events behind, nothing parked\n", status.projection)
}

fn render(status: &Status) -> String {
    let Some(total) = status.total_partitions else {
        if !status.classes.is_empty() {
            return format!(
                "{}: has {} checkpoints, and its number of partitions was removed by hand:\nstart its workers, which record it\n",
                status.projection,
                status.classes.len()
            );
        }
        let waiting = status.events.map(|events| format!("0 of {} events are applied.\n", thousands(events)));
        let begin = format!("the projection {} has not been begun: start a worker\n", status.projection);
        return begin + &waiting.unwrap_or_default();
    };
    let cover = if status.cover_complete {
        "complete".to_owned()
    } else {
        let restore = restore(&status.projection);
        format!("INCOMPLETE: checkpoints were removed or added by hand, and some events can't be applied; {restore}")
    };
    let mut lines = vec![sentence(&format!("{}: {total} partitions, cover {cover}", status.projection))];
    lines.extend(at_work(status));
    for (total, ago) in &status.superseded {
        lines.push(format!("superseded: {total} partitions, {} ago\n", age(*ago)));
    }
    for (total, workers) in &status.waiting {
        lines.push(format!("waiting, to take over again: {workers} worker(s) of {total} partitions\n"));
    }
    if let Some(seconds) = status.oldest_append_open_seconds {
        lines.push(format!("oldest open transaction that appended: {}\n", age(seconds)));
    }
    lines.push(classes(&status.classes));
    let notes: Vec<String> = status
        .classes
        .iter()
        .filter_map(|class| Some(format!("{}: {}", class.class, class.idle.as_ref().or(class.late.as_ref())?)))
        .collect();
    lines.extend(notes.iter().take(SHOWN).map(|note| sentence(note)));
    if let Some(more) = notes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more: status --check names all\n"));
    }
    lines.concat()
}

/// What to do about checkpoints that were removed or added.
fn restore(projection: &str) -> &'static str {
    if projection == NAME {
        "run `evenfold rebuild`"
    } else {
        "give the projection another name and new tables, and let it fold the log anew"
    }
}

/// Where nobody is at work, in words: a table of zeros looks like one in which all is well.
fn at_work(status: &Status) -> Option<String> {
    let idle = status.classes.iter().filter(|class| class.idle.is_some()).count();
    if status.is_idle() {
        let applied = match (status.applied(), status.events) {
            (Some(applied), Some(events)) => {
                format!("{} of {} events are applied", thousands(applied), thousands(events))
            }
            _ if !status.cover_complete => "how many events are applied is not known".to_owned(),
            _ => format!("{} events are not applied", thousands(status.behind())),
        };
        return Some(format!("{applied}; no worker is at work.\n"));
    }
    (idle > 0).then(|| format!("no worker is at work on {idle} of {} classes.\n", status.classes.len()))
}

fn classes(classes: &[ClassStatus]) -> String {
    let header = ["class", "position", "behind", "oldest", "rate", "parked", "beat", "worker"];
    let rows: Vec<Vec<String>> = classes.iter().map(cells).collect();
    let without = table(&header[..header.len() - 1], &rows, 1);
    let used = without.lines().map(|line| line.chars().count()).max().unwrap_or_default() + 2;
    let room = COLUMNS.saturating_sub(used).max(PROCESS);
    let shown: Vec<Vec<String>> = rows
        .into_iter()
        .zip(classes)
        .map(|(mut row, class)| {
            row.push(class.owner.as_deref().map_or("-".to_owned(), |process| shortened(process, room)));
            row
        })
        .collect();
    table(&header, &shown, 1)
}

/// A row without the process.
fn cells(class: &ClassStatus) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        class.class.clone(),
        thousands(class.position.get()),
        thousands(class.behind),
        age(class.behind_seconds),
        or_dash(class.per_second.map(|rate| format!("{rate:.0}/s"))),
        class.parked.to_string(),
        or_dash(class.heartbeat_seconds.map(age)),
    ]
}

/// A time in at most seven columns.
fn age(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    match seconds {
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 100.0 * MINUTE => format!("{:.0} min", s / MINUTE),
        s if s < 100.0 * HOUR => format!("{:.0} h", s / HOUR),
        s => format!("{:.0} d", s / (24.0 * HOUR)),
    }
}

/// The end of it, where the process id is, if there is no room for all.
fn shortened(process: &str, room: usize) -> String {
    let length = process.chars().count();
    if length <= room {
        return process.to_owned();
    }
    let end: String = process.chars().skip(length + 1 - room).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in
            [(0.04, "0.0 s"), (99.0, "99.0 s"), (100.0, "2 min"), (7200.0, "2 h"), (864_000.0, "10 d")]
        {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_at_the_front() {
        assert_eq!(shortened("host:12345", 10), "host:12345");
        assert_eq!(shortened("a-long-host:12345", 10), "…ost:12345");
    }
}
