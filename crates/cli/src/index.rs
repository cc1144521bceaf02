//! `index`: the indexes by partition.

use super::Global;
use super::output::{print, table, thousands};
use super::session::Session;
use crate::config::number;
use clap::Args;
use evenfold::class::MAX_PARTITIONS;
use evenfold::schema::{self, HashIndex, IndexState};

#[derive(Debug, Args)]
pub(super) struct IndexArgs {
    /// For this number of partitions: 2 to 65536; without it, the indexes that there are are listed
    #[arg(long, value_name = "N", value_parser = |t: &str| number::<u32>(t, &(2..=MAX_PARTITIONS)))]
    total: Option<u32>,
    /// Drop it instead of building it
    #[arg(long, requires = "total")]
    drop: bool,
}

pub(super) async fn run(global: &Global, args: IndexArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let own = session.database.schema();
    let mut conn = session.connect().await?;
    let done = match (args.total, args.drop) {
        (None, _) => list(&schema::indexes(own, &mut conn).await?),
        (Some(total), false) if schema::create_index(own, &mut conn, total).await? => {
            format!("the index for {total} partitions is built: their workers use it from now on\n")
        }
        (Some(total), false) => format!("there is an index for {total} partitions already\n"),
        (Some(total), true) if schema::drop_index(own, &mut conn, total).await? => {
            format!("the index for {total} partitions is dropped\n")
        }
        (Some(total), true) => format!("there is no index for {total} partitions\n"),
    };
    drop(conn);
    session.close().await?;
    print(&done)
}

fn list(indexes: &[HashIndex]) -> String {
    if indexes.is_empty() {
        return "there is no index by partition: workers read the whole log, and drop what is not theirs\n".to_owned();
    }
    let cells = |index: &HashIndex| {
        let state = match index.state {
            IndexState::Ready => "ready".to_owned(),
            IndexState::Building => "being built".to_owned(),
            IndexState::Failed => format!("failed: run evenfold index --total {} again", index.total),
        };
        vec![index.total.to_string(), thousands(index.bytes), state]
    };
    table(&["partitions", "bytes", "state"], &indexes.iter().map(cells).collect::<Vec<_>>(), 3)
}
