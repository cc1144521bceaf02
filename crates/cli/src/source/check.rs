//! `source check`: which logs that others write are there, and what is against folding them.

use super::open::{log_database, positions};
use crate::Global;
use crate::output::{print, thousands, wrapped};
use crate::session::Session;
use anyhow::bail;
use clap::Args;
use evenfold::database::{Database, describe};
use evenfold::log::foreign::{Candidate, EventCount, LogReport, Mapping, Preset, candidates, report};
use sqlx::PgConnection;

#[derive(Debug, Args)]
pub(super) struct SourceCheckArgs {}

pub(super) async fn run(global: &Global, _: &SourceCheckArgs) -> anyhow::Result<()> {
    // Whoever only looks at a log needs no database of evenfold's.
    let (database, session) = if let Some(url) = global.source.url() {
        (log_database(url)?, None)
    } else {
        let session = Session::open(global).await?;
        (session.database.clone(), Some(session))
    };
    let outcome = check(global, &database).await;
    if let Some(session) = session {
        session.close().await?;
    }
    outcome
}

async fn check(global: &Global, database: &Database) -> anyhow::Result<()> {
    let chosen = if global.source.is_named() { global.source.mapping()? } else { None };
    let (mut conn, server) = database.connect_to_server().await?;
    let found = match chosen {
        Some(mapping) => vec![Candidate { mapping, renamed_from: None, also: Vec::new() }],
        None => candidates(&mut conn).await?,
    };
    let place = format!("{} at {}", server.database, server.place);
    if found.is_empty() {
        bail!(
            "no table of events of a known library is in {place}: map one of your own with --source custom and \
             [source.custom] in evenfold.toml"
        );
    }
    let mut foldable = 0;
    for (at, candidate) in found.iter().enumerate() {
        let (text, can) = shown(&mut conn, candidate).await?;
        foldable += usize::from(can);
        print(&format!("{}{}", if at > 0 { "\n" } else { "" }, wrapped(&text)))?;
    }
    if foldable == 0 {
        bail!("none of the {} logs found in {place} can be folded as it is", found.len());
    }
    Ok(())
}

/// What is known about one, and whether it can be folded.
async fn shown(conn: &mut PgConnection, candidate: &Candidate) -> anyhow::Result<(String, bool)> {
    let Mapping { name, table, .. } = &candidate.mapping;
    let mapping = &candidate.mapping;
    if let Err(error) = mapping.layout(evenfold::log::foreign::Positions::Serial) {
        let rest = format!("  incomplete  {error}: add it to [source.custom] in evenfold.toml");
        return Ok((format!("{table} ({name})\n{}{rest}\n", known_by(candidate)), false));
    }
    let report = report(conn, mapping).await.map_err(|error| anyhow::anyhow!("{table}: {}", describe(&error)))?;
    match report {
        None => Ok((format!("{table} ({name})\n  refused     there is no such table\n"), false)),
        Some(report) => {
            let can = report.refusals.is_empty();
            Ok((lines(candidate, &report), can))
        }
    }
}

/// Why it is taken for a library's table, where that is not its name, and which others it could be.
fn known_by(candidate: &Candidate) -> String {
    let mut text = String::new();
    match candidate.renamed_from {
        None => {}
        Some("") => text.push_str("  known by    its columns\n"),
        Some(name) => text.extend(["  known by    its columns; the library's own table is ", name, "\n"]),
    }
    if !candidate.also.is_empty() {
        let also = candidate.also.join(", ");
        text.extend(["  also fits   ", &also, ": only who writes it knows which it is\n"]);
    }
    text
}

fn lines(candidate: &Candidate, report: &LogReport) -> String {
    let mapping = &candidate.mapping;
    let mut text = format!("{} ({})\n{}", mapping.table, mapping.name, known_by(candidate));
    let mut line = |key: &str, value: &str| text.extend([&format!("  {key:<10}  "), value, "\n"]);
    line("positions", &drawn(report));
    if let Some(events) = report.events {
        line(
            "events",
            &match events {
                EventCount::Counted(events) => thousands(events),
                EventCount::Estimated(events) => format!("about {}, by PostgreSQL's statistics", thousands(events)),
            },
        );
    }
    if let Some(holders) = report.holders {
        line("writers", &format!("{holders} transactions have drawn a position and not ended"));
    }
    let has = if report.readable { "granted" } else { "missing" };
    line("right", &format!("{}: {has}", report.grant));
    if report.deleted > 0 {
        let deleted = thousands(report.deleted);
        line("warning", &format!("{deleted} rows were deleted: what was not read before is in no read model"));
    }
    if !report.triggers.is_empty() {
        let triggers = report.triggers.join(", ");
        line("warning", &format!("triggers BEFORE INSERT may change positions: {triggers}"));
    }
    for refusal in &report.refusals {
        line("refused", &refusal.to_string());
    }
    if report.refusals.is_empty() {
        line("fold it", &format!("`evenfold pool --source {}`{}", mapping.name, needs(mapping)));
    }
    text
}

/// What must be in the settings file in addition to the name.
fn needs(mapping: &Mapping) -> String {
    let Some(preset) = Preset::named(&mapping.name) else { return String::new() };
    let mut needs = Vec::new();
    if preset.name == "marten" {
        needs.push("append_mode = \"quick\" in [source] if that is so".to_owned());
    }
    let own = preset.mapping(None).table;
    if mapping.table != own {
        match mapping.table.rsplit_once('.') {
            Some((schema, name)) if name == preset.table => {
                needs.push(format!("schema = '{}' in [source]", schema.trim_matches('"')));
            }
            _ => needs.push(format!("table = {} in [source.custom]", toml_text(&mapping.table))),
        }
    }
    needs.iter().flat_map(|need| [", with ", need]).collect()
}

/// A text as TOML has it, which may have the quotes of SQL. What JSON makes of a text is one of TOML as well.
fn toml_text(text: &str) -> String {
    if text.contains('\'') { serde_json::Value::from(text).to_string() } else { format!("'{text}'") }
}

fn drawn(report: &LogReport) -> String {
    match &report.drawn {
        Some(drawn) => {
            format!("sequence {}, cache {}, increment {}", drawn.sequence, drawn.cache, drawn.increment)
        }
        None => positions(&report.log),
    }
}
