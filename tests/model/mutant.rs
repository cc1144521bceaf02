//! Mistakes, and what they decide.

use super::cases::Case;
use super::reading::{closed_at, parts, seen_by};
use super::worker::Rules;
use evenfold::checkpoint::{Checkpoint, CheckpointRow, Next, next};
use evenfold::class::Class;
use evenfold::log::Fence;

/// A mistake that the protocol does not make, and the model must not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A fence reads the snapshot first, and then the floor.
    SnapshotBeforeFloor,
    /// A fence reads a floor that is ahead of the positions that were handed out, as the sequence's `last_value` may
    /// show it for a moment.
    FloorAhead,
    /// A fence knows of the listed transactions only.
    NoNextXid,
    /// A fence is taken on a standby, which has nobody in its list of transactions in progress.
    FenceInRecovery,
    /// A position is drawn before its transaction owns an xid, or has the sequence's lock, as one that a session has
    /// drawn earlier.
    DrawnEarlier,
    /// Events at or below the floor are not looked for: they count as seen.
    NoLateRows,
    /// A span begins at the floor, although events below it come first.
    SpanBeforeLateRows,
    /// A window whose floor a span has reached is closed, although it has events above.
    SpanClosesWindow,
    /// A fence that was taken before the row was read is used after it.
    FenceBeforeRow,
    /// An unmoved floor is taken for an unchanged log, whoever is in progress.
    UnchangedWhenNotFinal,
    /// Where the floor has not moved, the checkpoint moves on to the snapshot, which is later.
    UnchangedMovesOn,
    /// Rows are written whatever their revisions are.
    NoRevisionCheck,
    /// A revision counts the changes of one row, so that a row that comes back has a revision that was used before.
    ReusedRevisions,
    /// Converging rows go on to a target that was chosen before they were read again.
    RememberedTarget,
    /// Rows are merged while windows are open.
    MergedOpenWindows,
    /// A worker whose total was replaced goes on as long as the rows inside its partition are all of it.
    StragglersStay,
    /// Of the floors of merged rows the highest is taken, and of their next xids the lowest. (A whole fence of either
    /// row would do: both hold for the whole log.)
    MergedHigherFloor,
    /// A worker that has registered counts as gone until its first heartbeat.
    SilentRegistration,
    /// A worker compares its definition with the projection's when it registers, and never again.
    DefinitionAtRegistrationOnly,
    /// A worker compares its definition, and reads its rows afterwards.
    DefinitionBeforeRows,
    /// A rebuild that switches over leaves the rows their revisions.
    SwitchKeepsRevisions,
    /// Whoever has the lock of the table may write what is missing, and nobody else.
    TableLock,
    /// A worker goes on with what it has in memory on a server that has crashed and is back.
    RemembersAfterCrash,
    /// Prepared transactions are not among those who may.
    PreparedLeftOut,
    /// A prepared transaction that was renamed is another one.
    NotInherited,
    /// What is missing is nobody's.
    DeadAtOnce,
    /// What is missing is nobody's after a while.
    TimeOut,
    /// What is missing is nobody's as soon as all who might have written it have ended, without another look.
    DeadWithoutLook,
    /// A look reads the rows, and then who may write what is missing among them.
    LocksAfterRows,
    /// Whoever was seen to have the lock before a position was found missing may write it, and nobody else.
    HoldersOfBefore,
    /// Who may write what is missing is read before looks, and not before fences, which come where a look can't name
    /// all that is missing.
    OnlyLooksPrune,
    /// A look reads the positions that were missing in one statement, and those above the floor in the next.
    LookInTwo,
    /// A fence waits until all who could write anything have ended, and reads the highest position then.
    HoldersBeforeTop,
    /// A fence does not wait for anybody: all up to the highest position is visible.
    SettledAtOnce,
    /// A fence lists the gaps in two statements.
    GapsInTwo,
    /// A fence lists the gaps up to the highest position, and reads that once more for its floor.
    TopAfterGaps,
    /// A fence reads what of the missing positions can be seen before it lists the gaps.
    FoundBeforeGaps,
    /// Workers of a pool open their windows together up to the fence with the highest floor.
    GatheredAtHighest,
    /// Rows converge on the one with the highest floor.
    ConvergedOnHighest,
    /// Events at or below the floor are those of transactions that were in progress, as in evenfold's own log.
    LateWereInProgress,
    /// The events of a chunk, or of a look, are applied in the order of their positions.
    InOrderOfPositions,
    /// A chunk has the events up to a position, whichever earlier versions come later.
    ChunkOfPositions,
    /// Of the events that wait at the end of a chunk nothing is known in the next one, which begins above them.
    WaitingForgotten,
    /// A chunk that is cut, because more has waited than fits, counts as one that is not.
    CutAndReached,
    /// Events wait for earlier versions that were applied before their window: what workers of a pool read together
    /// begins where the one begins that is furthest behind.
    KeysOfAnotherWindow,
    /// Whether an event of an open window is applied is asked by its position.
    AppliedByPosition,
    /// What is known of an event is the xid of its savepoint, as of a row's `xmin`.
    KnownBySavepoint,
    /// A fence reads the floor in a statement before that of its snapshot.
    FloorBeforeSnapshot,
    /// A look reads the snapshot in a statement before that of the rows.
    SnapshotBeforeRows,
    /// A look that is full takes what fits, and leaves the window open at the last position of it.
    LookTakesWhatFits,
}

/// What the rows need next: the production code's decision, or a mutant's in its place.
pub fn decide(class: Class, rows: &[CheckpointRow], remembered: &mut Option<Fence>, rules: &Rules<'_>) -> Next {
    let rows: Vec<(Class, Checkpoint)> = rows
        .iter()
        .map(|row| match rules.mutant {
            Some(Mutant::MergedOpenWindows) if rows.len() > 1 => (row.class, closed_at(seen_by(&row.checkpoint))),
            _ => (row.class, row.checkpoint.clone()),
        })
        .collect();
    let view: Vec<(Class, &Checkpoint)> = rows.iter().map(|(class, checkpoint)| (*class, checkpoint)).collect();
    let decided = next(class, &view);
    if matches!(&decided, Next::Finish(together) if together.len() > 1) {
        rules.cases.note(Case::Together);
    }
    if let Next::CatchUp(_, upto) = &decided
        && view.iter().all(|(_, checkpoint)| seen_by(checkpoint) != *upto)
    {
        rules.cases.note(Case::Union);
    }
    match (rules.mutant, &decided) {
        (Some(Mutant::ConvergedOnHighest), Next::CatchUp(..) | Next::Merge(_)) => converge_on_highest(&view),
        (Some(Mutant::RememberedTarget), Next::CatchUp(..) | Next::Merge(_)) => {
            converge_on_remembered(&view, remembered, decided)
        }
        (Some(Mutant::MergedHigherFloor), Next::Merge(_)) => {
            let fences = view.iter().map(|(_, checkpoint)| seen_by(checkpoint));
            let next_xid = fences.clone().map(|fence| parts(&fence).1).min().unwrap();
            let highest = fences.max_by_key(|fence| fence.floor).unwrap();
            Next::Merge(closed_at(Fence::of_transactions(highest.floor, parts(&highest).0, next_xid)))
        }
        _ => decided,
    }
}

fn converge_on_highest(rows: &[(Class, &Checkpoint)]) -> Next {
    let highest = rows.iter().map(|(_, checkpoint)| seen_by(checkpoint)).max_by_key(|fence| fence.floor).unwrap();
    match rows.iter().position(|(_, checkpoint)| seen_by(checkpoint) != highest) {
        Some(behind) => Next::CatchUp(vec![behind], highest),
        None => Next::Merge(closed_at(highest)),
    }
}

fn converge_on_remembered(rows: &[(Class, &Checkpoint)], remembered: &mut Option<Fence>, decided: Next) -> Next {
    if let (None, Next::CatchUp(_, upto)) = (&remembered, &decided) {
        *remembered = Some(upto.clone());
    }
    let Some(target) = remembered.clone() else {
        return decided;
    };
    let is_behind = |(_, checkpoint): &(Class, &Checkpoint)| {
        let (snapshot, target) = (parts(&seen_by(checkpoint)).0, parts(&target).0);
        snapshot != target && snapshot.xmax() <= target.xmax()
    };
    if let Some(behind) = rows.iter().position(is_behind) {
        return Next::CatchUp(vec![behind], target);
    }
    Next::Merge(closed_at(target))
}
