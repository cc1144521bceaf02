//! `--http`: the probes and figures of a process that folds.

use super::listen::bind;
use crate::config::number;
use clap::Args;
use evenfold::projection::{Process, RunOptions};
#[cfg(feature = "serve")]
use evenfold_counter_service::http::CounterService;
use evenfold_http::{Limits, serve};
use evenfold_monitor::{OtherWork, ProcessService};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Connections at a time: figures are made anew for each request.
const CONNECTIONS: usize = 64;

#[derive(Debug, Clone, Args)]
pub(super) struct HttpArgs {
    /// Serve probes and figures on this address: /livez, /readyz and /metrics, which need no token [default: off]
    #[arg(long, env = "EVENFOLD_HTTP", value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// With --http, how long ago a worker may have finished its last step for the process to be ready, in milliseconds,
    /// in addition to its poll interval: 1000 to 3600000
    #[arg(long, env = "EVENFOLD_MAX_STEP_AGE_MS", default_value = "10000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1_000..=3_600_000)))]
    max_step_age_ms: u64,
}

/// A listener that is bound, and answers from when there is something to show.
pub(super) struct Bound {
    listener: TcpListener,
    max_step_age: Duration,
}

impl HttpArgs {
    /// Binds the address, if there is one. Before anything else is begun: what is wrong with it is the user's to mend.
    pub(super) async fn bind(&self) -> anyhow::Result<Option<Bound>> {
        let Some(address) = self.http else { return Ok(None) };
        let listener = bind(address, ("--http", "--http")).await?;
        Ok(Some(Bound { listener, max_step_age: Duration::from_millis(self.max_step_age_ms) }))
    }
}

/// Answers until it is dropped.
pub(super) struct Answering(#[expect(dead_code, reason = "it answers as long as it lives")] AbortOnDropHandle<()>);

impl Bound {
    /// Answers for this process, whose workers look for events that often.
    pub(super) fn answer(self, process: &Process, poll_interval: Duration) -> anyhow::Result<Answering> {
        self.show(Some(process), poll_interval, None)
    }

    /// Answers for a process that serves counters, and may have workers.
    #[cfg(feature = "serve")]
    pub(super) fn answer_for_service(
        self,
        process: Option<&Process>,
        service: &CounterService,
    ) -> anyhow::Result<Answering> {
        let (figures, ready) = (service.clone(), service.clone());
        let other =
            OtherWork { figures: Arc::new(move || figures.figures()), ready: Arc::new(move || ready.is_ready()) };
        self.show(process, RunOptions::default().poll_interval, Some(other))
    }

    fn show(
        self,
        process: Option<&Process>,
        poll_interval: Duration,
        other: Option<OtherWork>,
    ) -> anyhow::Result<Answering> {
        let address = self.listener.local_addr()?;
        tracing::info!("probes and figures on http://{address}: /livez, /readyz and /metrics");
        let service = ProcessService::new(process, self.max_step_age + poll_interval, other);
        let limits = Limits::default().connections(CONNECTIONS);
        let stop = CancellationToken::new();
        let answering = async move { serve(self.listener, service, limits, stop.cancelled()).await };
        Ok(Answering(AbortOnDropHandle::new(tokio::spawn(answering))))
    }
}
