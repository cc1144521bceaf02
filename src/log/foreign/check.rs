//! Whether a log that others write can be folded so that nothing is lost: what the catalogs say of its table, its
//! positions and their sequence, and what is in it.

use super::facts::{TableFacts, find};
use super::{Foreign, Mapping, Positions, probe, xid};
use sqlx::PgConnection;
use std::fmt;

/// Why a log can't be folded, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that is against folding this log; nothing if it can be.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn refusals(log: &Foreign, conn: &mut PgConnection) -> Result<Vec<Refusal>, sqlx::Error> {
    let sequence = match log.positions() {
        Positions::Sequence(sequence) => Some(sequence.as_str()),
        Positions::Serial | Positions::Xid(_) => None,
    };
    let Some(found) = find(conn, &log.mapping, sequence).await? else {
        return Ok(vec![Refusal::new(format!(
            "there is no such table: name it with its schema, as in public.{}",
            log.table().rsplit('.').next().unwrap_or_default()
        ))]);
    };
    let mut against = of_table(log, &found);
    if found.rights.readable {
        against.extend(of_column(log, &found));
        if let Positions::Sequence(sequence) = log.positions() {
            against.extend(of_sequence(log, &found, sequence));
        }
        if let Some(column) = log.xid() {
            against.extend(xid::of_transactions(log, column, conn).await?);
        }
        // What is read needs all of that.
        if against.is_empty() {
            against.extend(probe::types(log, &found, conn).await?);
            against.extend(probe::positions(log, &found, conn).await?);
        }
    }
    Ok(against.into_iter().map(Refusal).collect())
}

/// The sequence that the positions of a table come from, as SQL names it: the one that is named, of the column's
/// identity, in its default, or else the one that belongs to it.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn sequence_of(conn: &mut PgConnection, mapping: &Mapping) -> Result<Option<String>, sqlx::Error> {
    let found = find(conn, mapping, None).await?;
    Ok(found.and_then(|found| found.sequence).map(|sequence| sequence.name))
}

fn of_table(log: &Foreign, found: &TableFacts) -> Vec<String> {
    let mut against = Vec::new();
    if !["r", "p"].contains(&found.kind.as_str()) {
        against
            .push("it is no table: a view or a foreign table has no positions of its own; name the table".to_owned());
    }
    if found.persistence != "p" {
        against.push("it is unlogged or temporary, and empty after a crash: ALTER TABLE … SET LOGGED".to_owned());
    }
    if !found.rights.readable {
        let grant = log.mapping.grant(&found.rights.role, found.rights.usable);
        against.push(format!("the user may not read it: {grant}, as its owner"));
    }
    if found.rights.row_security {
        against.push("row security hides rows of it from the user: ALTER ROLE … BYPASSRLS, as a superuser".to_owned());
    }
    if found.subscriber {
        against.push(
            "it is filled by logical replication, whose transactions draw no positions here: fold it at the publisher"
                .to_owned(),
        );
    }
    against
}

fn of_column(log: &Foreign, found: &TableFacts) -> Vec<String> {
    let (table, position) = (log.table(), &log.position);
    let Some(column) = &found.column else { return vec![format!("it has no column {position}")] };
    let mut against = Vec::new();
    if column.type_name != "bigint" {
        against.push(format!("its column {position} is {} instead of bigint", column.type_name));
    }
    // A unique index of a partitioned table has the partition's key in it. That no position comes twice is then what
    // the sequence is for, and that none is null its default: `probe` looks whether there is one that is.
    let partitioned = found.kind == "p";
    if partitioned && !column.has_index {
        against.push(format!(
            "its column {position} has no index, and each look would read the whole table: \
             CREATE INDEX ON {table} ({position})"
        ));
    } else if !partitioned && (!column.never_null || !column.is_unique) {
        against.push(format!(
            "its column {position} may be null or the same in two rows: it needs NOT NULL and a unique index of its own"
        ));
    } else if partitioned && !column.is_unique && found.draws.from.is_none() {
        against.push(format!(
            "its column {position} has neither a unique index nor a default that draws from a sequence: two rows could \
             have the same position"
        ));
    }
    // Where not all rows are the log's, the version is that of another row.
    if let (Some(version), None) = (&log.mapping.version, &log.mapping.rows)
        && !found.is_version_unique
    {
        against.push(format!(
            "no unique index has its version ({version}) and its aggregate: two events could have the same version; \
             leave version out where it is none"
        ));
    }
    against
}

/// What can be done where numbers are drawn by earlier transactions.
const OTHERWISE: &str = "add a column for the transaction, by `evenfold source add-xid`";

fn of_sequence(log: &Foreign, found: &TableFacts, named: &str) -> Vec<String> {
    let position = &log.position;
    if let (None, Some(reason)) = (&found.draws.from, log.mapping.drawn_before) {
        return vec![reason.to_owned()];
    }
    if found.draws.named_is_unknown && !named.is_empty() {
        return vec![format!("there is no sequence {named}: name the one that {position} comes from, with its schema")];
    }
    let Some(sequence) = &found.sequence else {
        return vec![if found.draws.from_unknown {
            format!("the default of its column {position} draws from no sequence that is known: name the sequence")
        } else {
            format!(
                "no sequence is known that {position} comes from: it has no identity and no default; name the sequence"
            )
        }];
    };
    let name = &sequence.name;
    let mut against = Vec::new();
    if found.draws.from_another
        && let Some(drawn) = &found.draws.from
    {
        against.push(format!("its column {position} draws from the sequence {drawn} instead of {name}: name that one"));
    }
    if sequence.cache != 1 {
        let cache = sequence.cache;
        against.push(format!(
            "its sequence {name} has CACHE {cache}: sessions use numbers that they drew in earlier transactions, and \
             events would be lost; ALTER SEQUENCE {name} CACHE 1, and connect all writers anew; or {OTHERWISE}"
        ));
    }
    if sequence.increment != 1 {
        against.push(format!(
            "its sequence {name} has INCREMENT {} instead of 1: its writers use numbers that they drew in earlier \
             transactions, and events would be lost; set allocationSize = 1 where that is Hibernate, and ALTER SEQUENCE \
             {name} INCREMENT 1; or {OTHERWISE}",
            sequence.increment
        ));
    }
    if sequence.cycles {
        against.push(format!(
            "its sequence {name} may CYCLE, and positions would come again: ALTER SEQUENCE {name} NO CYCLE"
        ));
    }
    against
}
