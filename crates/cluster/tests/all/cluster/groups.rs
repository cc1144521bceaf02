//! Process groups across nodes, over both transports.

use super::connectors::{Connector, over_both};
use super::nodes::{LIMIT, id};
use evenfold_cluster::local::{Cut, Network};
use evenfold_cluster::{Groups, Transport};
use evenfold_groups::ProcessGroups;
use evenfold_groups::process::{JoinOptions, Member};
use std::sync::Arc;

over_both!(
    members_on_every_node_get_every_broadcast_in_order_per_sender,
    tenants_and_namespaces_stay_apart_on_every_node,
);

/// What stands for something that was missed.
const MISSED: (u8, u32) = (u8::MAX, 0);

type Message = (u8, u32);

async fn groups(transport: Arc<dyn Transport>, node: &str) -> Groups<Message> {
    Groups::connect(transport, id(node), "groups", ProcessGroups::default(), || MISSED).await.unwrap()
}

fn member(groups: &Groups<Message>, tenant: &str, namespace: &str) -> Member<Message> {
    let group = groups.local().tenant(tenant).unwrap().open(namespace, "g").unwrap();
    group.join("m", JoinOptions::default()).unwrap()
}

async fn next(member: &mut Member<Message>) -> Message {
    tokio::time::timeout(LIMIT, member.recv()).await.expect("it was not notified").unwrap()
}

async fn members_on_every_node_get_every_broadcast_in_order_per_sender(connector: Connector) {
    let all = [
        groups(connector.transport().await, "a").await,
        groups(connector.transport().await, "b").await,
        groups(connector.transport().await, "c").await,
    ];
    let mut members: Vec<_> = all.iter().map(|groups| member(groups, "t", "n")).collect();
    let send = async |sender: u8| {
        for number in 0..200 {
            let accepted = all[usize::from(sender)].broadcast("t", "n", "g", (sender, number)).await.unwrap();
            assert_eq!(accepted.accepted, 1, "the one on its own node");
        }
    };
    tokio::join!(send(0), send(1), send(2));
    for member in &mut members {
        let mut expected = [0; 3];
        for _ in 0..600 {
            let (sender, number) = next(member).await;
            assert_eq!(number, expected[usize::from(sender)], "of {sender}, each once and in order");
            expected[usize::from(sender)] += 1;
        }
    }
}

async fn tenants_and_namespaces_stay_apart_on_every_node(connector: Connector) {
    let (a, b) = (groups(connector.transport().await, "a").await, groups(connector.transport().await, "b").await);
    let mut own = member(&b, "t", "n");
    let mut others = [member(&b, "u", "n"), member(&b, "t", "m")];
    a.broadcast("t", "n", "g", (0, 1)).await.unwrap();
    a.broadcast("u", "n", "g", (0, 2)).await.unwrap();
    a.broadcast("t", "m", "g", (0, 3)).await.unwrap();
    assert_eq!(next(&mut own).await, (0, 1));
    assert_eq!(next(&mut others[0]).await, (0, 2));
    assert_eq!(next(&mut others[1]).await, (0, 3));
    for member in others.iter_mut().chain([&mut own]) {
        assert_eq!(member.try_recv(), Ok(None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_was_lost_is_reported_as_missed() {
    let network = Network::new();
    let (sends, receives) = (network.endpoint(), network.endpoint());
    let (a, b) = (groups(Arc::new(sends.clone()), "a").await, groups(Arc::new(receives.clone()), "b").await);
    let mut member = member(&b, "t", "n");
    a.broadcast("t", "n", "g", (0, 1)).await.unwrap();
    assert_eq!(next(&mut member).await, (0, 1));
    // The sender's own loss is seen by the gap in its numbers alone.
    sends.cut(Cut::Everything);
    a.broadcast("t", "n", "g", (0, 2)).await.unwrap();
    sends.cut(Cut::Nothing);
    a.broadcast("t", "n", "g", (0, 3)).await.unwrap();
    assert_eq!((next(&mut member).await, next(&mut member).await), (MISSED, (0, 3)));
    a.broadcast("t", "n", "g", (0, 4)).await.unwrap();
    assert_eq!(next(&mut member).await, (0, 4));
    assert_eq!(member.try_recv(), Ok(None));
    // A sender that starts again is no gap.
    let again = groups(Arc::new(network.endpoint()), "a").await;
    again.broadcast("t", "n", "g", (0, 9)).await.unwrap();
    assert_eq!(next(&mut member).await, (0, 9));
}
