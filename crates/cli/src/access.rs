//! Who can reach a service, and who may use it.

use crate::config::UsageError;
use anyhow::anyhow;
use clap::Args;
use evenfold_http::{AllowedHosts, ApiToken, Auth, Limits};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

/// The smallest limit for the bytes of requests in flight.
pub(super) const MIN_INFLIGHT_BYTES: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Access {
    /// The address; any but those of this machine alone need API_TOKEN
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDR")]
    bind: IpAddr,
    /// The secret that changes need, in the header that the service's /docs name
    #[arg(long, env = "API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<String>,
    /// Whether reads need it too: true or false
    #[arg(long, env = "READ_REQUIRES_AUTH", default_value = "false", value_name = "BOOL", action = clap::ArgAction::Set)]
    read_requires_auth: bool,
    /// The names that requests may have in the header Host, besides the service's address: names or addresses without
    /// ports, separated by commas [default: on addresses of this machine alone localhost, otherwise any]
    #[arg(long, env = "ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    allowed_hosts: Vec<String>,
}

/// File descriptors of a process besides those of its connections: the database's, those of NATS, and a few for probes.
const OTHER_FILES: u64 = 1024;

/// How many connections may be open, with as many file descriptors as the system lets this process have. Where these
/// are fewer than it needs, a quarter is left for its database and the other nodes: what clients open is not to cut it
/// off from them.
fn connections(wanted: usize) -> usize {
    let needed = wanted as u64 + OTHER_FILES;
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let more = needed.min(hard);
        if more > soft { setrlimit(Resource::RLIMIT_NOFILE, more, hard).map(|()| more) } else { Ok(soft) }
    });
    let allowed = match allowed {
        Ok(allowed) if allowed >= needed => return wanted,
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(
                "how many files this process may open is not known, {wanted} connections may be too many: {error}"
            );
            return wanted;
        }
    };
    let fewer = usize::try_from(allowed * 3 / 4).map_or(wanted, |fewer| fewer.clamp(1, wanted));
    tracing::warn!(
        "at most {fewer} connections are open at a time, since this process may open {allowed} files; {wanted} need ulimit -n {needed}"
    );
    fewer
}

impl Access {
    /// Who may do what, if that is a choice that can be meant.
    pub(super) fn auth(&self) -> Result<Option<Auth>, UsageError> {
        let Some(secret) = &self.api_token else {
            return if !self.bind.is_loopback() {
                Err(UsageError(format!(
                    "{} can be reached from other machines: set API_TOKEN, or bind to 127.0.0.1 (--bind)",
                    self.bind
                )))
            } else if self.read_requires_auth {
                Err(UsageError("READ_REQUIRES_AUTH is for services with a token: set API_TOKEN too".to_owned()))
            } else {
                Ok(None)
            };
        };
        let token = ApiToken::new(secret).map_err(|error| UsageError(format!("API_TOKEN (--api-token): {error}")))?;
        Ok(Some(Auth { token, reads: self.read_requires_auth }))
    }

    /// What connections may cost, and what they may ask for.
    pub(super) fn limits(&self) -> Result<Limits, UsageError> {
        let allowed_hosts = AllowedHosts::new(self.allowed_hosts.iter().map(String::as_str))
            .map_err(|error| UsageError(format!("ALLOWED_HOSTS (--allowed-hosts): {error}")))?;
        let limits = Limits::default().allowed_hosts(allowed_hosts);
        let most = connections(limits.connections);
        Ok(limits.connections(most))
    }

    /// Listens on a port, which this flag has named.
    pub(super) async fn listen(&self, port: u16, flag: &str) -> anyhow::Result<TcpListener> {
        let address = SocketAddr::new(self.bind, port);
        let bound = TcpListener::bind(address).await;
        bound.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => anyhow!("{address} is in use: stop who has it, or choose another port ({flag})"),
            ErrorKind::PermissionDenied => anyhow!("{address} is for the system: choose a port from 1024 up ({flag})"),
            ErrorKind::AddrNotAvailable => anyhow!("{} is no address of this machine: correct --bind", address.ip()),
            _ => anyhow!("can't listen on {address}: {error}"),
        })
    }
}
