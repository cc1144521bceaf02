//! Identical replicas choose their partitions themselves, and take over from those that end.

use crate::support::{Evenfold, SOON, TestDb, append_one, assert_counters_agree, counted, event, scalar, wait_until};
use evenfold::class::Class;
use evenfold::schema::Schema;
use evenfold::{lease, log};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Duration;
use uuid::Uuid;

const TERM: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_claimed_once_until_it_is_given_back_or_runs_out() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let [one, two, three] = [(); 3].map(|()| Uuid::new_v4());
    let partition = |key| Class::partition(key, 2).ok();
    assert_eq!(lease::claim(&Schema::default(), &mut conn, "p", 2, one, TERM).await.unwrap(), partition(0));
    assert_eq!(lease::claim(&Schema::default(), &mut conn, "p", 2, two, TERM).await.unwrap(), partition(1));
    assert_eq!(lease::claim(&Schema::default(), &mut conn, "p", 2, three, TERM).await.unwrap(), None, "all are taken");
    assert_eq!(
        lease::claim(&Schema::default(), &mut conn, "q", 2, three, TERM).await.unwrap(),
        partition(0),
        "of another projection"
    );

    let first = Class::partition(0, 2).unwrap();
    assert!(lease::renew(&Schema::default(), &mut conn, "p", first, one, Duration::ZERO).await.unwrap());
    assert_eq!(
        lease::claim(&Schema::default(), &mut conn, "p", 2, three, TERM).await.unwrap(),
        partition(0),
        "it ran out"
    );
    assert!(
        !lease::renew(&Schema::default(), &mut conn, "p", first, one, TERM).await.unwrap(),
        "and is somebody else's"
    );
    lease::release(&Schema::default(), &mut conn, "p", first, one).await.unwrap();
    assert_eq!(
        lease::claim(&Schema::default(), &mut conn, "p", 2, one, TERM).await.unwrap(),
        None,
        "nobody gives back another's"
    );
    lease::release(&Schema::default(), &mut conn, "p", first, three).await.unwrap();
    assert_eq!(lease::claim(&Schema::default(), &mut conn, "p", 2, one, TERM).await.unwrap(), partition(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_claims_at_the_same_moment_no_two_get_the_same_partition() {
    let db = TestDb::new().await;
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut conn = db.connect().await;
        claims.spawn(async move {
            // None may also mean that another one was faster with the same key; a replica asks again.
            loop {
                if let Some(class) =
                    lease::claim(&Schema::default(), &mut conn, "p", 8, Uuid::new_v4(), TERM).await.unwrap()
                {
                    return class.residue();
                }
            }
        });
    }
    let mut keys = tokio::time::timeout(SOON, claims.join_all()).await.unwrap();
    keys.sort_unstable();
    assert_eq!(keys, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_beyond_the_partitions_stand_by_and_take_over_from_one_that_is_killed_and_one_that_is_stopped() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let args =
        ["worker", "--partition-key=auto", "--total-partitions=2", "--lease-term-ms=1000", "--database-url", &db.url];
    let mut replicas: Vec<Evenfold> = (0..4).map(|_| Evenfold::spawn(&args)).collect();
    let claimed = |replica: &Evenfold| replica.log().contains("claimed");
    wait_until("two to work and two to stand by", SOON, async || {
        let standing_by = replicas.iter().filter(|replica| replica.log().contains("standing by")).count();
        replicas.iter().filter(|replica| claimed(replica)).count() == 2 && standing_by == 2
    })
    .await;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let at = replicas.iter().position(claimed).unwrap();
        let mut gone = replicas.remove(at);
        gone.signal(signal);
        gone.wait();
        wait_until("another one to take over", SOON, async || {
            replicas.iter().filter(|replica| claimed(replica)).count() == 2
        })
        .await;
        for n in 0..20 {
            append_one(&mut conn, &format!("a{n}"), n).await;
        }
    }
    log::append(&mut conn, &[event("last", 1)]).await.unwrap();
    wait_until("all of them", SOON, async || {
        scalar(&mut conn, "SELECT coalesce(sum(events), 0)::bigint FROM evenfold.counters").await == 41
    })
    .await;
    assert_counters_agree(&mut conn).await;
}

/// Makes each change of this kind to the leases fail as a deadlock does.
async fn fails(conn: &mut PgConnection, what: &str) {
    let trigger = format!(
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected', MESSAGE = 'a deadlock'; END $$;
         CREATE TRIGGER fails BEFORE {what} ON evenfold.leases EXECUTE FUNCTION fails()"
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(conn).await.unwrap();
}

fn replica(db: &TestDb) -> Evenfold {
    let args =
        ["worker", "--partition-key=auto", "--total-partitions=1", "--lease-term-ms=1000", "--database-url", &db.url];
    Evenfold::spawn(&args)
}

async fn applied(conn: &mut PgConnection, events: i64) {
    append_one(conn, "a", 1).await;
    wait_until("the event", SOON, async || counted(conn).await == events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_can_not_be_claimed_is_an_error_in_the_log_and_tried_again() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    fails(&mut conn, "INSERT").await;
    let mut replica = replica(&db);
    wait_until("the log", SOON, async || {
        replica.log().contains("ERROR no partition could be claimed")
            && replica.log().contains("a deadlock; trying again in")
    })
    .await;
    sqlx::raw_sql("DROP TRIGGER fails ON evenfold.leases").execute(&mut conn).await.unwrap();
    applied(&mut conn, 1).await;
    assert!(replica.log().contains("partitions can be claimed again"), "{}", replica.log());
    replica.signal(Signal::SIGTERM);
    assert_eq!(replica.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_can_not_be_renewed_is_a_warning_and_the_work_goes_on() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut replica = replica(&db);
    applied(&mut conn, 1).await;
    fails(&mut conn, "UPDATE").await;
    wait_until("the log", SOON, async || replica.log().contains("WARN the lease was not renewed")).await;
    applied(&mut conn, 2).await;
    sqlx::raw_sql("DROP TRIGGER fails ON evenfold.leases").execute(&mut conn).await.unwrap();
    wait_until("the end of it", SOON, async || replica.log().contains("leases can be renewed again")).await;
    applied(&mut conn, 3).await;
    replica.signal(Signal::SIGTERM);
    assert_eq!(replica.wait(), 0);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.leases").await, 0, "it is given back");
}
