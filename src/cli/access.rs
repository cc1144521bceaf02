//! Who can reach a service, and who may use it.

use anyhow::anyhow;
use clap::Args;
use evenfold::config::UsageError;
use evenfold::http::{ApiToken, Auth};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

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
