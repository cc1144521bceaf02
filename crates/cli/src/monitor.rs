//! `monitor`: every projection of a database, counted there.

use super::access::AccessRules;
use super::files::FilesArg;
use super::listen::bind;
use super::operating::Operating;
use super::output::print;
use super::projections::Projections;
use super::session::Session;
use super::source::open as open_source;
use super::{Global, signals};
use crate::config::number;
use clap::Args;
use evenfold_http::serve;
use evenfold_monitor::{Logs, MonitorService, PageOptions, PageService, read_on};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct MonitorArgs {
    /// The address, with its port; 0 takes one that is free. Other machines can read without a token, and without one
    /// nothing can be changed, nor what events contain be read
    #[arg(long, env = "EVENFOLD_HTTP", default_value = "127.0.0.1:9600", value_name = "ADDRESS:PORT")]
    http: SocketAddr,
    #[command(flatten)]
    access: AccessRules,
    /// The shortest pause between two counts of the projections, in milliseconds: 100 to 60000
    #[arg(long, env = "EVENFOLD_COUNT_INTERVAL_MS", default_value = "1000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(100..=60_000)))]
    count_interval_ms: u64,
    #[command(flatten)]
    _files: FilesArg,
}

/// So many pages are kept up to date at a time.
const WATCHERS: usize = 64;

pub(super) async fn run(global: &Global, args: MonitorArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let (auth, limits) = (args.access.auth()?, args.access.limits()?);
    let projections = known.configured_as_they_are()?;
    let shutdown = signals::shutdown()?;
    let listener = bind(args.http, ("--http", "--http")).await?;
    let address = listener.local_addr()?;
    let session = Session::open(global).await?;
    let source = open_source(global, &session).await?;
    let operator = Arc::new(Operating::new(&session.database, source.clone(), projections));
    let logs = Logs::new(source);
    let readings = read_on(&session.database, logs, Duration::from_millis(args.count_interval_ms), &shutdown);
    let options =
        PageOptions { auth: auth.clone(), remote: !address.ip().is_loopback(), max_watchers: WATCHERS, operator };
    let page = PageService::new(&session.database, readings.clone(), options);
    let service = MonitorService::new(readings, auth, page);
    print(&format!("all projections on http://{address}\nfigures for Prometheus on http://{address}/metrics\n"))?;
    tracing::info!(%address, "started");
    serve(listener, service, limits, shutdown.cancelled()).await;
    session.close().await?;
    tracing::info!("stopped");
    Ok(())
}
