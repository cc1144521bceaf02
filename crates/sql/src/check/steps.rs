//! The steps of a check.

use super::compare::{difference, difference_from, hashes, look_at};
use super::finding::{Difference, Finding, Parked, Way};
use super::fold::{Fold, Outcome, without};
use super::outcome::{CheckError, CheckOptions, Checked};
use super::sample::{Sampled, load, load_again};
use super::shadow::{Shadow, Shadows};
use crate::file::{Apply, ProjectionFile};
use crate::gate::{self, Explained};
use evenfold::Schema;
use evenfold::projection::RowsWritten;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// So many times the sample is folded without the events that were found to be bad, which may make others bad.
const ROUNDS: usize = 5;

/// The most events of a small batch.
const SMALL: usize = 400;

/// How many partitions take turns.
const PARTITIONS: usize = 3;

/// What the folds in one transaction have shown.
pub(crate) struct Folded {
    pub(crate) checked: Checked,
    /// None where there is nothing to compare with.
    pub(crate) kept: Option<Kept>,
}

/// What a fold in another transaction is compared with.
pub(crate) struct Kept {
    events: Vec<Sampled>,
    hashes: Vec<Vec<i64>>,
}

/// The first transaction.
pub(crate) async fn fold_in_each_way(
    conn: &mut PgConnection,
    schema: &Schema,
    file: &ProjectionFile,
    options: &CheckOptions,
) -> Result<Folded, CheckError> {
    let mut shadows = Shadows::begin(conn).await?;
    let events = load(conn, schema, file, &options.sample).await?;
    let shadow = shadows.make(conn, file).await?;
    let (fold, mut checked) = (Fold::new(file), Checked::default());
    let mut explained = Explained::default();
    if let Apply::Statements(statements) = &file.apply {
        explained = gate::check(conn, file, statements).await?;
        checked.statements = Some(statements.len());
    }
    checked.findings.extend(shadows.taken(conn, file, &shadow).await?.map(Finding::Taken));
    let before = (RowsWritten::now(conn).await?, gate::scans(conn).await?);
    let (events, whole, large) = fold_whole(conn, &mut shadows, &fold, events, shadow, &mut checked.findings).await?;
    gate::check_written(conn, file, &before.0).await?;
    explained.read.extend(gate::read_since(conn, file, &before.1).await?);
    checked.tables = look_at(conn, &whole).await?;
    warn(&mut checked, &explained);
    describe(&mut checked, &events);
    // The statements still see the sample as one batch.
    if options.plans && checked.statements.is_some() {
        checked.plans = plans(conn, &fold).await?;
    }
    if events.is_empty() {
        return Ok(Folded { checked, kept: None });
    }
    let small = in_batches(conn, &mut shadows, &fold, &events, options.seed, &whole, &mut checked).await?;
    // What differs by batches differs by partitions, each of which is a batch.
    if !checked.findings.iter().any(|found| matches!(found, Finding::Differs { .. } | Finding::Fails { .. })) {
        in_partitions(conn, &mut shadows, &fold, &events, &whole, &mut checked).await?;
    }
    checked.per_event = small.map(|small| (per_event(large, events.len()), per_event(small, events.len())));
    let hashes = hashes(conn, &whole).await?;
    Ok(Folded { checked, kept: Some(Kept { events, hashes }) })
}

/// The second transaction: the same events as one batch, once more.
pub(crate) async fn fold_again(
    conn: &mut PgConnection,
    schema: &Schema,
    file: &ProjectionFile,
    options: &CheckOptions,
    kept: &Kept,
) -> Result<Option<Finding>, CheckError> {
    let (mut shadows, fold) = (Shadows::begin(conn).await?, Fold::new(file));
    let positions: Vec<i64> = kept.events.iter().map(|event| event.position).collect();
    load_again(conn, schema, file, &options.sample, &positions).await?;
    let shadow = shadows.make(conn, file).await?;
    let way = Way::Again;
    if let Some(reason) = failure(fold.apply(conn, &all(&kept.events)).await?) {
        return Ok(Some(Finding::Fails { way, reason }));
    }
    Ok(differs(way, difference_from(conn, &kept.hashes, &shadow).await?))
}

/// As one batch, without the events that can't be applied. Gives those that are folded, where, and how long it took.
async fn fold_whole(
    conn: &mut PgConnection,
    shadows: &mut Shadows,
    fold: &Fold<'_>,
    mut events: Vec<Sampled>,
    mut shadow: Shadow,
    findings: &mut Vec<Finding>,
) -> Result<(Vec<Sampled>, Shadow, Duration), CheckError> {
    for _ in 0..ROUNDS {
        match fold.apply(conn, &all(&events)).await? {
            Outcome::Applied(took) => return Ok((events, shadow, took)),
            Outcome::Failed(sentence) => return Err(CheckError::Refused(sentence)),
            Outcome::Parked(parked) => {
                events = without(events, &parked);
                findings.extend(parked.into_iter().map(Finding::Parked));
                shadow = shadows.make(conn, fold.file).await?;
            }
        }
    }
    let sentence = format!("{}: without the events that can't be applied others can't", fold.file.called);
    Err(CheckError::Refused(sentence))
}

async fn in_batches(
    conn: &mut PgConnection,
    shadows: &mut Shadows,
    fold: &Fold<'_>,
    events: &[Sampled],
    seed: u64,
    whole: &Shadow,
    checked: &mut Checked,
) -> Result<Option<Duration>, CheckError> {
    // Of a few events there are several batches as well.
    let most = (events.len() / 4).clamp(1, SMALL);
    let (mut random, mut rest) = (fastrand::Rng::with_seed(seed), &all(events)[..]);
    let shadow = shadows.make(conn, fold.file).await?;
    let (mut took, mut batches, way) = (Duration::ZERO, 0, Way::Batches);
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(random.usize(1..=most).min(rest.len()));
        match fold.apply(conn, batch).await? {
            Outcome::Applied(one) => took += one,
            outcome => {
                checked.findings.extend(failure(outcome).map(|reason| Finding::Fails { way, reason }));
                return Ok(None);
            }
        }
        batches += 1;
        rest = after;
    }
    checked.batches = Some((batches, most));
    checked.findings.extend(differs(way, difference(conn, whole, &shadow).await?));
    Ok(Some(took))
}

async fn in_partitions(
    conn: &mut PgConnection,
    shadows: &mut Shadows,
    fold: &Fold<'_>,
    events: &[Sampled],
    whole: &Shadow,
    checked: &mut Checked,
) -> Result<(), CheckError> {
    let shadow = shadows.make(conn, fold.file).await?;
    let (partitions, way) = (partitions(events), Way::Partitions);
    for partition in &partitions {
        if let Some(reason) = failure(fold.apply(conn, partition).await?) {
            checked.findings.push(Finding::Fails { way, reason });
            return Ok(());
        }
    }
    checked.partitions = Some(partitions.len());
    checked.findings.extend(differs(way, difference(conn, whole, &shadow).await?));
    Ok(())
}

/// The events of each of three partitions, the one that begins last in the log first. The hashes that there are are
/// dealt out in turn, so that of a few aggregates not all are in one: by a number of partitions that is large enough,
/// any two hashes are in different ones.
fn partitions(events: &[Sampled]) -> Vec<Vec<&Sampled>> {
    let mut by_hash: BTreeMap<u32, Vec<&Sampled>> = BTreeMap::new();
    for event in events {
        by_hash.entry(event.hash()).or_default().push(event);
    }
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for (nth, events) in by_hash.into_values().enumerate() {
        partitions[nth % PARTITIONS].extend(events);
    }
    for partition in &mut partitions {
        partition.sort_by_key(|event| event.position);
    }
    partitions.retain(|partition| !partition.is_empty());
    partitions.sort_by_key(|partition| std::cmp::Reverse(partition[0].position));
    partitions
}

fn all(events: &[Sampled]) -> Vec<&Sampled> {
    events.iter().collect()
}

/// Why a batch was not applied as a whole.
fn failure(outcome: Outcome) -> Option<String> {
    match outcome {
        Outcome::Applied(_) => None,
        Outcome::Failed(sentence) => Some(sentence),
        Outcome::Parked(parked) => parked.first().map(Parked::to_string),
    }
}

fn differs(way: Way, tables: Vec<Difference>) -> Option<Finding> {
    (!tables.is_empty()).then_some(Finding::Differs { way, tables })
}

fn per_event(took: Duration, events: usize) -> Duration {
    took / u32::try_from(events).unwrap_or(u32::MAX)
}

fn describe(checked: &mut Checked, events: &[Sampled]) {
    let aggregates: HashSet<_> = events.iter().map(|event| &event.aggregate).collect();
    (checked.events, checked.aggregates) = (events.len(), aggregates.len());
    checked.positions = events.first().zip(events.last()).map(|(first, last)| (first.position, last.position));
}

fn warn(checked: &mut Checked, explained: &Explained) {
    checked.reads = explained.read.iter().map(ToString::to_string).collect();
    checked.warnings.extend(explained.warning());
    for table in &checked.tables {
        let null = table.always_null.join(", ");
        if !null.is_empty() {
            let sentence = format!(
                "{null} of {} is NULL in every row: does the payload have that field, and under this name?",
                table.table
            );
            checked.warnings.push(sentence);
        }
    }
}

async fn plans(conn: &mut PgConnection, fold: &Fold<'_>) -> Result<Vec<String>, sqlx::Error> {
    let mut plans = Vec::new();
    for statement in fold.statements() {
        let sql = format!("EXPLAIN {}", statement.sql);
        let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *conn).await?;
        plans.push(lines.join("\n"));
    }
    Ok(plans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenfold::Aggregate;

    fn sampled(position: i64, id: &str) -> Sampled {
        let aggregate = Aggregate::new("order", id);
        Sampled { position, version: 1, aggregate, event_type: "placed".to_owned() }
    }

    #[test]
    fn of_any_two_ids_each_is_in_a_partition_of_its_own_and_the_last_one_comes_first() {
        for n in 0..50 {
            let events = [sampled(1, &format!("a{n}")), sampled(2, &format!("b{n}")), sampled(3, &format!("a{n}"))];
            let positions: Vec<Vec<i64>> =
                partitions(&events).iter().map(|all| all.iter().map(|event| event.position).collect()).collect();
            assert_eq!(positions, [vec![2], vec![1, 3]]);
        }
        assert_eq!(partitions(&(0..100).map(|n| sampled(n, &n.to_string())).collect::<Vec<_>>()).len(), PARTITIONS);
    }
}
