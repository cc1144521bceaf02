//! Who can reach a service, and who may use it.

use crate::config::UsageError;
use crate::listen::{bind, connections};
use clap::Args;
use evenfold_http::{AllowedHosts, ApiToken, Auth, Limits};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

/// The smallest limit for the bytes of requests in flight.
pub(super) const MIN_INFLIGHT_BYTES: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Access {
    /// The address; any but those of this machine alone need API_TOKEN
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDR")]
    bind: IpAddr,
    #[command(flatten)]
    rules: AccessRules,
}

#[derive(Debug, Args)]
pub(super) struct AccessRules {
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

impl AccessRules {
    /// Who may do what, if that is a choice that can be meant; none where there is no token.
    pub(super) fn auth(&self) -> Result<Option<Auth>, UsageError> {
        let Some(secret) = &self.api_token else {
            return if self.read_requires_auth {
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
}

#[cfg(any(feature = "cache", feature = "serve"))]
impl Access {
    /// Who may do what: changes from other machines need a token.
    pub(super) fn auth(&self) -> Result<Option<Auth>, UsageError> {
        if self.rules.api_token.is_none() && !self.bind.is_loopback() {
            return Err(UsageError(format!(
                "{} can be reached from other machines: set API_TOKEN, or bind to 127.0.0.1 (--bind)",
                self.bind
            )));
        }
        self.rules.auth()
    }

    /// What connections may cost, and what they may ask for.
    pub(super) fn limits(&self) -> Result<Limits, UsageError> {
        self.rules.limits()
    }

    /// Listens on a port, which this flag has named.
    pub(super) async fn listen(&self, port: u16, flag: &str) -> anyhow::Result<TcpListener> {
        bind(SocketAddr::new(self.bind, port), (flag, "--bind")).await
    }
}
