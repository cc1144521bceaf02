use super::output::{print, print_json, redraw, table, thousands};
use super::session::Session;
use super::{Global, signals};
use clap::Args;
use evenfold::checkpoint::{ClassStatus, Status, status};
use evenfold::projection::counters::NAME;
use std::time::Duration;

/// How often `--watch` looks.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: StatusArgs) -> anyhow::Result<()> {
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    loop {
        let status = status(&mut conn, NAME).await?;
        match (args.json, args.watch) {
            (true, _) => print_json(&status)?,
            (false, true) => redraw(&render(&status))?,
            (false, false) => print(&render(&status))?,
        }
        if !args.watch || shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            break;
        }
    }
    drop(conn);
    session.close().await
}

fn render(status: &Status) -> String {
    let Some(total) = status.total_partitions else {
        return format!("the projection {} has not been begun: start a worker\n", status.projection);
    };
    let cover = if status.cover_complete { "complete" } else { "INCOMPLETE" };
    let mut lines = vec![format!("{}: {total} partitions, cover {cover}\n", status.projection)];
    for (total, ago) in &status.superseded {
        lines.push(format!("superseded: {total} partitions, {ago:.0} s ago\n"));
    }
    if let Some(seconds) = status.oldest_append_open_seconds {
        lines.push(format!("oldest open transaction that appended: {seconds:.1} s\n"));
    }
    let rows: Vec<Vec<String>> = status.classes.iter().map(cells).collect();
    lines.push(table(&["class", "position", "behind", "oldest", "rate", "parked", "beat", "owner"], &rows, 1));
    for class in &status.classes {
        if let Some(state) = class.state.as_ref().filter(|state| state.starts_with("retrying")) {
            lines.push(format!("{}: {state}\n", class.class));
        }
    }
    lines.concat()
}

fn cells(class: &ClassStatus) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        class.class.clone(),
        thousands(class.position),
        thousands(class.behind),
        format!("{:.1} s", class.behind_seconds),
        or_dash(class.per_second.map(|rate| format!("{rate:.0}/s"))),
        class.parked.to_string(),
        or_dash(class.heartbeat_seconds.map(|seconds| format!("{seconds:.0} s"))),
        or_dash(class.owner.clone()),
    ]
}
