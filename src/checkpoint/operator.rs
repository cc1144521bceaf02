//! What operators do to checkpoints while workers run: each gives the rows new revisions, so that workers notice.

use super::RegisterError;
use super::definition::{check_cover, classes};
use super::store::class_of;
use crate::class::Class;
use crate::database::Schema;
use crate::hash::IdHash;
use crate::invariant::invariant;
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

/// How often a row that is to be locked may be replaced while it is waited for.
const LOCK_ATTEMPTS: u32 = 10;

/// Locks the checkpoints that these hashes belong to until the transaction ends, and gives them new revisions: a worker
/// that is in the middle of a batch rolls back and reads everything anew.
///
/// # Errors
///
/// [`RegisterError::Incomplete`] where one has no checkpoint: whatever is done about it, a worker would not learn of
/// it.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub(crate) async fn lock_and_bump(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    hashes: &HashSet<IdHash>,
) -> Result<(), RegisterError> {
    // A change of partitions that this waits for takes the row away, and what it puts in its place is in no snapshot
    // but the next statement's. As the rows are a cover, one must be there.
    for _ in 0..LOCK_ATTEMPTS {
        let present = classes(schema, tx, projection).await?;
        let bumped = bump(schema, tx, projection, &holding(&present, hashes)).await?;
        if holds_all(&bumped, hashes) {
            return Ok(());
        }
    }
    check_cover(schema, tx, projection, Class::partition(0, 1)?).await?;
    Err(RegisterError::Database(sqlx::Error::Protocol("the number of partitions is being changed: try again".into())))
}

/// Those of the classes that hold one of the hashes.
fn holding(classes: &[Class], hashes: &HashSet<IdHash>) -> Vec<Class> {
    let mut residues: HashMap<u32, HashSet<u32>> = HashMap::new();
    for class in classes {
        residues
            .entry(class.modulus())
            .or_insert_with_key(|modulus| hashes.iter().map(|hash| hash.value() % modulus).collect());
    }
    let holds = |class: &&Class| residues.get(&class.modulus()).is_some_and(|r| r.contains(&class.residue()));
    classes.iter().filter(holds).copied().collect()
}

fn holds_all(classes: &[Class], hashes: &HashSet<IdHash>) -> bool {
    let moduli: HashSet<u32> = classes.iter().map(|class| class.modulus()).collect();
    let classes: HashSet<(u32, u32)> = classes.iter().map(|class| (class.modulus(), class.residue())).collect();
    let inside = |hash: &IdHash| moduli.iter().any(|modulus| classes.contains(&(*modulus, hash.value() % modulus)));
    hashes.iter().all(inside)
}

/// In the order of the keys, as all who lock several rows do, on a connection that goes by the indexes.
async fn bump(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    classes: &[Class],
) -> Result<Vec<Class>, sqlx::Error> {
    sqlx::query(schema.sql(
        "UPDATE evenfold.checkpoints c SET revision = nextval('evenfold.checkpoint_revisions')
         FROM unnest($2::bigint[], $3::bigint[]) AS k (modulus, residue)
         WHERE c.projection = $1 AND c.modulus = k.modulus AND c.residue = k.residue
         RETURNING c.modulus, c.residue",
    ))
    .bind(projection)
    .bind(classes.iter().map(|class| i64::from(class.modulus())).collect::<Vec<_>>())
    .bind(classes.iter().map(|class| i64::from(class.residue())).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?
    .iter()
    .map(|row| class_of(row, 0))
    .collect()
}

/// Makes these classes, each with the checkpoint of the only class of `source`, those of the projection, with fresh
/// revisions. The rows that there are, and the projection itself, must be locked.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub(super) async fn replace_all(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    source: &str,
    classes: &[Class],
) -> Result<(), sqlx::Error> {
    let moduli: Vec<i64> = classes.iter().map(|class| i64::from(class.modulus())).collect();
    let residues: Vec<i64> = classes.iter().map(|class| i64::from(class.residue())).collect();
    sqlx::query(schema.sql(
        "DELETE FROM evenfold.checkpoints WHERE projection = $1
         AND (modulus, residue) NOT IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))",
    ))
    .bind(projection)
    .bind(&moduli)
    .bind(&residues)
    .execute(&mut *tx)
    .await?;
    // Those that stay keep their owners, who go on at once.
    let written = sqlx::query(
        schema.sql("INSERT INTO evenfold.checkpoints (projection, modulus, residue, seen, floor, next_xid, missing,
             upto, upto_floor, upto_next_xid, upto_missing, cursor)
         SELECT $1, k.modulus, k.residue, seen, floor, next_xid, missing,
             upto, upto_floor, upto_next_xid, upto_missing, cursor
         FROM evenfold.checkpoints r CROSS JOIN unnest($2::bigint[], $3::bigint[]) AS k (modulus, residue)
         WHERE r.projection = $4
         ON CONFLICT (projection, modulus, residue) DO UPDATE SET seen = excluded.seen, floor = excluded.floor,
             next_xid = excluded.next_xid, missing = excluded.missing, upto = excluded.upto, upto_floor = excluded.upto_floor,
             upto_next_xid = excluded.upto_next_xid, upto_missing = excluded.upto_missing, cursor = excluded.cursor, moved_at = now(),
             revision = nextval('evenfold.checkpoint_revisions')"),
    )
    .bind(projection)
    .bind(&moduli)
    .bind(&residues)
    .bind(source)
    .execute(tx)
    .await?
    .rows_affected();
    invariant!(written == classes.len() as u64, "{written} checkpoints were written for {} classes", classes.len());
    Ok(())
}
