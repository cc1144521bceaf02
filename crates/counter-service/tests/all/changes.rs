//! Who listens on the group `counters/changes` receives what was committed, and nothing else.

use crate::support::{
    SOON, TestDb, append_one, counter, drain, event, ids_in, nats_url, partition, pointer, scalar, wait_until,
};
use evenfold::class::Class;
use evenfold::counters::{Changes, CounterRow, Counters, NAME, Rebuild};
use evenfold::event::{Aggregate, NewEvent};
use evenfold::log;
use evenfold::projection::parked::{Retried, drop_first};
use evenfold::projection::{Batch, BoxError, Pool, Projection, RunOptions, Step, Worker, WorkerOptions};
use evenfold::schema::Schema;
use evenfold::shadow::Rebuilt;
use evenfold_cluster::nats::{Nats, NatsOptions};
use evenfold_cluster::{ClusterSecret, Groups, NodeId};
use evenfold_counter_service::{changes_group, subscribers};
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{Group, JoinOptions, Member, Slow};
use serde_json::json;
use sqlx::PgConnection;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

type ChangesGroup = Group<Arc<Changes>>;
type Listener = Member<Arc<Changes>>;

fn listened() -> (ProcessGroups<Arc<Changes>>, ChangesGroup, Listener) {
    let groups = ProcessGroups::default();
    let group = changes_group(&groups).unwrap();
    assert_eq!(group.path(), "evenfold/counters/changes");
    let listener = group.join("listener", JoinOptions::default()).unwrap();
    (groups, group, listener)
}

fn publishing_to(group: &ChangesGroup) -> Counters {
    Counters::new(pointer(), 100_000).publishing(subscribers(group.clone()))
}

async fn only_worker_of<P: Projection>(conn: &mut PgConnection, projection: P) -> Worker<P> {
    let options = WorkerOptions::default().batch_size(10_000);
    let mut worker = Worker::new(partition(0, 1), projection, options);
    worker.register(conn).await.unwrap();
    worker
}

/// What has been received: id and value of each counter; none for any.
fn received(listener: &mut Listener) -> Vec<Option<Vec<(String, i64)>>> {
    let values = |changes: Arc<Changes>| match &*changes {
        Changes::Listed(rows) => Some(rows.iter().map(|row| (row.aggregate_id.clone(), row.value)).collect()),
        Changes::Any => None,
    };
    std::iter::from_fn(|| listener.try_recv().unwrap()).map(values).collect()
}

fn listed(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|&(id, value)| (id.to_owned(), value)).collect()
}

async fn all_rows(conn: &mut PgConnection) -> HashMap<String, CounterRow> {
    let rows = evenfold::counters::top(&Schema::default(), conn, None, 1_000_000).await.unwrap();
    rows.into_iter().map(|row| (row.aggregate_id.clone(), row)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_row_that_two_workers_have_published_of_each_counter_is_that_of_the_read_model() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (_groups, group, mut listener) = listened();
    let (partitions, stop) = ([partition(0, 2), partition(1, 2)], CancellationToken::new());
    let ids: Vec<String> = partitions.iter().flat_map(|&class| ids_in(class, 20)).collect();
    let make = move |class: Class| Worker::new(class, publishing_to(&group), WorkerOptions::default());
    let mut pool = Pool::start(&db.database, &partitions, make, &RunOptions::default(), &stop).unwrap();
    // The first commit of each worker lists nothing: others may have written before it.
    for class in partitions {
        append_one(&mut conn, &ids_in(class, 1)[0], 1).await;
        assert_eq!(*soon(listener.recv()).await.unwrap(), Changes::Any);
    }
    let mut last: HashMap<String, CounterRow> = HashMap::new();
    for round in 0..30 {
        let events: Vec<NewEvent> = ids.iter().skip(round % 3).step_by(2).map(|id| event(id, 1)).collect();
        log::append(&mut conn, &events).await.unwrap();
    }
    let events = scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await;
    wait_until("all changes", SOON, async || {
        while let Some(changes) = listener.try_recv().unwrap() {
            let Changes::Listed(rows) = &*changes else { panic!("there are few enough to be listed") };
            last.extend(rows.iter().map(|row| (row.aggregate_id.clone(), row.clone())));
        }
        last.values().map(|row| row.events).sum::<i64>() == events
    })
    .await;
    assert_eq!(last, all_rows(&mut conn).await);
    stop.cancel();
    while let Some((_, ended)) = pool.ended().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_aggregates_are_not_published_and_others_of_their_batch_are() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (_groups, group, mut listener) = listened();
    let mut worker = only_worker_of(&mut conn, publishing_to(&group)).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(received(&mut listener), [None]);
    let bad = |id: &str| NewEvent::new("t", id, "added", &json!({"amount": "x"})).unwrap();
    log::append(&mut conn, &[bad("b"), event("b", 1), event("a", 2), event("c", 5), bad("c"), event("c", 6)])
        .await
        .unwrap();
    drain(&mut worker, &mut conn).await;
    assert_eq!(
        received(&mut listener),
        [Some(listed(&[("a", 3), ("c", 5)]))],
        "what was applied of c before it was parked"
    );
    log::append(&mut conn, &[event("b", 1), event("c", 1)]).await.unwrap();
    drain(&mut worker, &mut conn).await;
    assert_eq!(received(&mut listener), []);
    assert_eq!((counter(&mut conn, "b").await, counter(&mut conn, "c").await), (None, Some((5, 1))));
    // Whoever has them applied after all publishes that, once it is committed.
    let c = Aggregate { aggregate_type: "t".to_owned(), aggregate_id: "c".to_owned() };
    assert_eq!(
        drop_first(&Schema::default(), &mut conn, &mut publishing_to(&group), &c).await.unwrap(),
        Retried::Applied { events: 2 }
    );
    assert_eq!(received(&mut listener), [None]);
}

/// What happens once, after the counters were written and before the commit.
enum Meddling {
    Fails,
    Joins(ChangesGroup, oneshot::Sender<Listener>),
}

struct Meddled {
    counters: Counters,
    next: Arc<Mutex<Option<Meddling>>>,
}

impl Projection for Meddled {
    fn name(&self) -> &'static str {
        NAME
    }

    fn settings(&self) -> String {
        self.counters.settings()
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.counters.apply(conn, batch).await?;
        match self.next.lock().unwrap().take() {
            Some(Meddling::Fails) => return Err("on purpose".into()),
            Some(Meddling::Joins(group, joined)) => drop(joined.send(group.join("late", JoinOptions::default())?)),
            None => {}
        }
        Ok(())
    }

    fn committed(&mut self) {
        self.counters.committed();
    }

    fn forget(&mut self) {
        self.counters.forget();
    }
}

/// A worker with which this can be meddled, after its first commit.
async fn meddled(conn: &mut PgConnection, group: &ChangesGroup) -> (Worker<Meddled>, Arc<Mutex<Option<Meddling>>>) {
    let next = Arc::default();
    let mut worker = only_worker_of(conn, Meddled { counters: publishing_to(group), next: Arc::clone(&next) }).await;
    append_one(conn, "a", 1).await;
    catch_up(&mut worker, conn).await;
    (worker, next)
}

async fn catch_up(worker: &mut Worker<Meddled>, conn: &mut PgConnection) {
    while worker.step(conn).await.unwrap() != Step::CaughtUp {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_change_is_not_published() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (_groups, group, mut listener) = listened();
    let (mut worker, next) = meddled(&mut conn, &group).await;
    assert_eq!(received(&mut listener), [None]);
    append_one(&mut conn, "a", 2).await;
    *next.lock().unwrap() = Some(Meddling::Fails);
    assert!(worker.step(&mut conn).await.is_err());
    assert_eq!(received(&mut listener), []);
    catch_up(&mut worker, &mut conn).await;
    append_one(&mut conn, "b", 7).await;
    catch_up(&mut worker, &mut conn).await;
    assert_eq!(received(&mut listener), [None, Some(listed(&[("b", 7)]))]);
    assert_eq!(counter(&mut conn, "a").await, Some((3, 2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_after_the_counters_were_written_and_before_the_commit_is_notified() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let groups = ProcessGroups::default();
    let group = changes_group(&groups).unwrap();
    let (mut worker, next) = meddled(&mut conn, &group).await;
    assert_eq!(group.stats().unwrap().broadcasts, 0, "nobody listens");
    let (joined, late) = oneshot::channel();
    *next.lock().unwrap() = Some(Meddling::Joins(group.clone(), joined));
    append_one(&mut conn, "a", 2).await;
    catch_up(&mut worker, &mut conn).await;
    let mut late = late.await.unwrap();
    append_one(&mut conn, "a", 3).await;
    catch_up(&mut worker, &mut conn).await;
    assert_eq!(received(&mut late), [None, Some(listed(&[("a", 6)]))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_publishes_once_that_anything_may_have_changed_when_its_counters_are_in_use() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (_groups, group, mut listener) = listened();
    let mut worker = only_worker_of(&mut conn, Counters::new(pointer(), 1_000)).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    let rebuild = || Rebuild::new(publishing_to(&group), 10).unwrap();
    assert_eq!(rebuild().run(&db.database, &stopped).await.unwrap(), Rebuilt::Stopped);
    assert_eq!(received(&mut listener), []);
    assert_eq!(rebuild().run(&db.database, &CancellationToken::new()).await.unwrap(), Rebuilt::Switched);
    assert_eq!(received(&mut listener), [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_many_counters_lists_none_and_the_next_small_one_does() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (_groups, group, mut listener) = listened();
    let mut worker = only_worker_of(&mut conn, publishing_to(&group)).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    // A look takes the first 1,000 along; then the worker is behind, and applies the rest together.
    let many: Vec<NewEvent> = (0..3_000).map(|n| event(&format!("b{n}"), 1)).collect();
    log::append(&mut conn, &many).await.unwrap();
    drain(&mut worker, &mut conn).await;
    append_one(&mut conn, "a", 2).await;
    drain(&mut worker, &mut conn).await;
    let received = received(&mut listener);
    assert_eq!(
        received.iter().map(|rows| rows.as_ref().map(Vec::len)).collect::<Vec<_>>(),
        [None, Some(1_000), None, Some(1)]
    );
    assert_eq!(received[3], Some(listed(&[("a", 3)])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_no_listener_whatever_that_one_wishes() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (_groups, group, mut listener) = listened();
    let options = JoinOptions::default().queue(1).slow(Slow::Wait(std::time::Duration::MAX));
    let slow = group.join("slow", options).unwrap();
    let mut worker = only_worker_of(&mut conn, publishing_to(&group)).await;
    for n in 1..=5 {
        append_one(&mut conn, "a", n).await;
        soon(drain(&mut worker, &mut conn)).await;
    }
    let four = [3, 6, 10, 15].map(|value| Some(listed(&[("a", value)])));
    assert_eq!(received(&mut listener), [&[None], &four[..]].concat());
    assert_eq!((slow.stats().accepted, slow.stats().refused), (1, 4));
}

#[tokio::test]
async fn the_changes_of_counters_travel_between_nodes() {
    let id = |name: &str| NodeId::new(name).unwrap();
    let secret = Some(ClusterSecret::new("of the nodes of a test").unwrap());
    let cluster = id(&format!("changes-{}", std::process::id()));
    let options = NatsOptions::new(nats_url(), cluster).secret(secret);
    let connect = async |node: &str| {
        let (transport, local) = (Nats::connect_with(&options).await.unwrap(), ProcessGroups::default());
        Groups::connect(Arc::new(transport), id(node), "changes", local, || Arc::new(Changes::Any)).await.unwrap()
    };
    let (a, b) = (connect("a").await, connect("b").await);
    let group = changes_group(b.local()).unwrap();
    let mut member = group.join("m", JoinOptions::default()).unwrap();
    let listed = Arc::new(Changes::Listed(Vec::new()));
    for changes in [&listed, &Arc::new(Changes::Any)] {
        a.broadcast("evenfold", "counters", "changes", Arc::clone(changes)).await.unwrap();
        let received = tokio::time::timeout(SOON, member.recv()).await.unwrap();
        assert_eq!(received.as_ref(), Ok(changes));
    }
}
