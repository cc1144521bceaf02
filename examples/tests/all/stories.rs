//! Each example runs to its end, and shows what it is about.

use crate::example::{example, run_at};
use evenfold_testkit::cli::CliOutput;
use evenfold_testkit::{Evenfold, TestDb, assert_counters_agree, scalar};

fn run(name: &str, args: &[&str]) -> CliOutput {
    Evenfold::finish(example(name, args), b"").into()
}

#[test]
fn the_smallest_whole_folds_a_log_into_a_read_model() {
    let output = run("basic", &[]);
    assert!(output.fine().contains("partition 1 of 2 applied"), "{output:?}");
    assert!(output.out.lines().any(|line| line.starts_with("customer-0: ")), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_with_a_partition_each_apply_everything_between_them() {
    let db = TestDb::new().await;
    let processes: Vec<_> = ["0", "1", "2", "3"]
        .map(|key| {
            let mut command = example("partitioned", &[]);
            command.env("DATABASE_URL", &db.url).env("PARTITION_KEY", key).env("ROUNDS", "2");
            std::thread::spawn(move || CliOutput::from(Evenfold::finish(command, b"")))
        })
        .into();
    for process in processes {
        let output = process.join().unwrap();
        assert!(output.fine().contains("is at work") && output.out.contains("and ends"), "{output:?}");
    }
    let mut conn = db.connect().await;
    assert_counters_agree(&mut conn).await;
    assert!(scalar(&mut conn, "SELECT count(*) FROM evenfold.counters").await > 0);
    let unset = run_at(&db, "partitioned", &[], "");
    assert!(unset.code == 1 && unset.err.contains("set PARTITION_KEY"), "{unset:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_and_a_changing_number_of_partitions_apply_everything_once() {
    let db = TestDb::new().await;
    let pool = run_at(&db, "worker_pool", &[], "");
    assert!(pool.fine().contains("4 partitions have applied 5000 events between them"), "{pool:?}");
    let scaled = run_at(&db, "scaling", &[], "");
    assert!(scaled.fine().contains("1 partitions have become 4") && scaled.out.contains("4 partitions have become 3"));
    assert!(scaled.out.contains("6000 events were appended meanwhile, and 6000 applied"), "{scaled:?}");
    assert_counters_agree(&mut db.connect().await).await;
}

#[test]
fn groups_begin_with_the_plain_story_and_their_help_names_their_settings() {
    let members = run("process_groups_pubsub", &[]);
    // In lines of 80 columns.
    let story = members.fine().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["each has received order 1", "2 members have received order 2", "order 3 is refused"] {
        assert!(story.contains(part), "{part}: {story}");
    }
    assert!(run("process_groups_pubsub", &["--help"]).fine().contains("no settings"));
    let shards = run("actor_groups_sharding", &["--shard-count=3"]);
    assert!(shards.fine().contains("ada -> shard ") && shards.out.contains("over all shards: 12"), "{shards:?}");
    for part in
        ["by a resize from 3 to 4 shards", "of the senders' time", "of the shards' time", "to its turn", "1 is even"]
    {
        assert!(shards.out.contains(part), "{part}: {shards:?}");
    }
    assert!(shards.out.lines().all(|line| line.chars().count() <= 80), "{shards:?}");
    let help = run("actor_groups_sharding", &["--help"]);
    assert!(help.fine().contains("SHARDING_SHARD_COUNT") && help.out.contains("SHARDING_GROUP_ID"), "{help:?}");
}
