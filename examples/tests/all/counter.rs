//! The typed actors of `counter`, on its ports.

use crate::example::example;
use evenfold_testkit::{Client, Evenfold, SOON, wait_until};
use nix::sys::signal::Signal;
use std::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn seven_nodes_answer_the_three_lines_and_end_with_ctrl_c() {
    let mut nodes = Evenfold::start(example("counter", &[]));
    let serves = async || {
        assert_eq!(nodes.ended(), None, "{}", nodes.log());
        TcpStream::connect(("127.0.0.1", 8181)).is_ok()
    };
    wait_until("it serves", SOON, serves).await;
    let mut client = Client::connect(([127, 0, 0, 1], 8181).into()).await;
    // They enter at any of the nodes.
    for value in 1..=50 {
        assert_eq!(client.post("/counter/my-counter/increment", "").await.json()["value"], value);
    }
    assert_eq!(client.get("/counter/my-counter").await.json()["value"], 50);
    let figures = Client::connect(([127, 0, 0, 1], 2121).into()).await.get("/metrics").await.body;
    let sum = |name: &str| -> f64 {
        let lines = figures.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let handled = sum("evenfold_actors_message_duration_seconds_count");
    assert!(sum("evenfold_actors_remote_requests_total") > 0.0, "{figures}");
    let present = ["actors{", "owned_shards{", "cluster_members{"].map(|name| sum(&format!("evenfold_actors_{name}")));
    for (figure, expected) in [(handled, 51.0), (present[0], 1.0), (present[1], 64.0), (present[2], 49.0)] {
        assert!((figure - expected).abs() < 0.5, "{figure} and not {expected}: {figures}");
    }
    nodes.signal(Signal::SIGINT);
    assert_eq!(nodes.wait(), 0, "{}", nodes.log());
}
