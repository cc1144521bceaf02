//! A shard by itself.

use super::*;
use crate::handover::Moves;
use crate::message::{Handle, Message};
use crate::messages::Messages;
use crate::meters::Meters;
use crate::options::ActorsOptions;
use evenfold_cluster::sharding::{Claimed, Ownership};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::OnceLock;

#[derive(Default, Serialize, Deserialize)]
struct Sum(u64);

#[derive(Serialize, Deserialize)]
struct Wait;

impl Message for Wait {
    type Reply = ();
}

impl Actor for Sum {
    type Messages = (Wait,);
    type Handover = Moves;

    fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Handle<Wait> for Sum {
    async fn handle(&mut self, _: Wait) {
        std::future::pending::<()>().await;
    }
}

fn shard() -> ActorShard<Sum> {
    let common = Common {
        kind: "sum".into(),
        make: Box::new(|_| Sum(1)),
        ownership: Arc::new(Ownership::new(1, true)),
        meters: Meters::new(vec!["Wait"], 1),
        options: ActorsOptions::default(),
        shards: NonZeroU32::MIN,
        each: 10,
        finish: OnceLock::new(),
    };
    ActorShard::new(0, Arc::new(common))
}

#[tokio::test]
async fn what_another_node_has_had_is_merged_into_an_actor_that_is_at_work_when_it_is_done() {
    let (mut shard, key) = (shard(), Arc::<str>::from("a"));
    let (reply, _replied) = oneshot::channel();
    let call = <(Wait,) as Messages<Sum>>::read(0, &[], reply).unwrap();
    shard.receive(ShardMessage::Call(Addressed { key: Arc::clone(&key), once: None, call }));
    let moved = MovedActor { key: "a".to_owned(), state: Some(vec![41]), answered: Vec::new() };
    shard.receive(ShardMessage::Take(vec![moved]));
    shard.receive(ShardMessage::Finished(Arc::clone(&key), Done::Handled(Box::new(Sum(1)), None)));
    shard.common.ownership.lose(0);
    let claimed = shard.common.ownership.answer_claim(&[0]).unwrap();
    let [Claimed::Holds(holding)] = claimed[..] else { panic!("it has an actor: {claimed:?}") };
    let (answer, mut released) = oneshot::channel();
    let part = Part { holding, taking: 1, number: 0 };
    shard.receive(ShardMessage::Release(part, answer));
    let Released::Part(moved) = released.try_recv().unwrap() else { panic!("nothing is handed over") };
    assert_eq!(moved[0].state, Some(vec![42]));
}

#[tokio::test]
async fn an_actor_that_could_not_save_its_state_is_not_asked_again_before_its_shard_is() {
    let (mut shard, key) = (shard(), Arc::<str>::from("a"));
    shard.receive(ShardMessage::Take(vec![MovedActor {
        key: "a".to_owned(),
        state: Some(vec![1]),
        answered: Vec::new(),
    }]));
    shard.leaving.begin();
    let failed = Err("the disk is full".into());
    shard.receive(ShardMessage::Finished(Arc::clone(&key), Done::Saved(Box::new(Sum(1)), failed)));
    assert!(shard.entries[&key].is_idle(), "it is there, and at nothing");
    let (left, actors) = oneshot::channel();
    shard.receive(ShardMessage::Save(left));
    assert_eq!(actors.await, Ok(0));
}
