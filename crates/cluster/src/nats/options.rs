//! How a node connects to NATS, and as whom.

use super::super::NodeId;
use super::super::seal::ClusterSecret;
use super::error::NatsError;
use super::user;
use async_nats::{ConnectOptions, ServerAddr};
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Where NATS is, and how to get in.
#[derive(Clone)]
#[non_exhaustive]
pub struct NatsOptions {
    /// `nats://user:password@host:port`, or `tls://…`, of which only the host is needed; several with commas between
    /// them, of which the first user and password that are given are for all.
    pub url: String,
    /// Which cluster.
    pub cluster: NodeId,
    /// What its nodes share; needed unless all the addresses are loopback ones.
    pub secret: Option<ClusterSecret>,
    /// Who connects, where that is not in the address.
    pub credentials: Option<Credentials>,
    /// The certificates, in PEM, by which the server's is known, in place of those of the system. Then there is no
    /// connection without TLS, whatever the address says.
    pub ca: Option<PathBuf>,
}

impl NatsOptions {
    /// The same with this [`url`](Self::url).
    #[must_use]
    pub fn url(self, url: String) -> Self {
        Self { url, ..self }
    }

    /// The same with this [`cluster`](Self::cluster).
    #[must_use]
    pub fn cluster(self, cluster: NodeId) -> Self {
        Self { cluster, ..self }
    }

    /// The same with this [`secret`](Self::secret).
    #[must_use]
    pub fn secret(self, secret: Option<ClusterSecret>) -> Self {
        Self { secret, ..self }
    }

    /// The same with this [`credentials`](Self::credentials).
    #[must_use]
    pub fn credentials(self, credentials: Option<Credentials>) -> Self {
        Self { credentials, ..self }
    }

    /// The same with this [`ca`](Self::ca).
    #[must_use]
    pub fn ca(self, ca: Option<PathBuf>) -> Self {
        Self { ca, ..self }
    }
}

/// A file by which NATS knows a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A JWT and the seed of its nkey, as `nsc` writes them.
    Creds(PathBuf),
    /// The seed of an nkey alone.
    Nkey(PathBuf),
}

impl NatsOptions {
    /// Without a secret and credentials.
    #[must_use]
    pub fn new(url: &str, cluster: NodeId) -> Self {
        Self { url: url.to_owned(), cluster, secret: None, credentials: None, ca: None }
    }

    /// What can be found without connecting.
    ///
    /// # Errors
    ///
    /// [`NatsError::Address`] and [`NatsError::NoSecret`].
    pub fn check(&self) -> Result<(), NatsError> {
        self.servers().map(drop)
    }

    pub(super) fn servers(&self) -> Result<Vec<ServerAddr>, NatsError> {
        let parse = |part: &str| part.trim().parse::<ServerAddr>().ok().filter(|server| !server.host().is_empty());
        let servers: Option<Vec<ServerAddr>> = self.url.split(',').map(parse).collect();
        let servers = servers.ok_or_else(|| NatsError::Address(shown(&self.url)))?;
        if self.secret.is_none() && !servers.iter().all(|server| is_loopback(server.host())) {
            return Err(NatsError::NoSecret(shown(&self.url)));
        }
        Ok(servers)
    }

    /// As whom, and whom to trust.
    pub(super) fn identify(&self) -> Result<ConnectOptions, NatsError> {
        let mut options = user::identify(ConnectOptions::new(), &self.servers()?);
        match &self.credentials {
            None => {}
            Some(Credentials::Creds(path)) => {
                let creds = read(path, CREDS)?;
                options = options.credentials(&creds).map_err(|error| wrong(path, CREDS, error))?;
            }
            Some(Credentials::Nkey(path)) => {
                let seed = read(path, NKEY)?;
                let seed = seed.lines().map(str::trim).find(|line| line.starts_with("SU"));
                let seed = seed.ok_or_else(|| wrong(path, NKEY, "the seed of a user begins with SU"))?;
                options = options.nkey(seed.to_owned());
            }
        }
        if let Some(path) = &self.ca {
            if !read(path, CA)?.contains("-----BEGIN CERTIFICATE-----") {
                return Err(wrong(path, CA, "there is no certificate in it"));
            }
            // Whoever says by whom the server is known wants no other: without this, nats:// would do without TLS.
            options = options.add_root_certificates(path.clone()).require_tls(true);
        }
        Ok(options)
    }
}

const CREDS: &str = "credentials (--nats-creds)";
const NKEY: &str = "an nkey (--nats-nkey)";
const CA: &str = "certificates (--nats-ca)";

fn read(path: &Path, what: &'static str) -> Result<String, NatsError> {
    std::fs::read_to_string(path).map_err(|error| wrong(path, what, error))
}

fn wrong(path: &Path, what: &'static str, reason: impl fmt::Display) -> NatsError {
    NatsError::File { path: path.to_owned(), what, reason: reason.to_string() }
}

/// Whether only this machine reaches this host.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The addresses without what is before their hosts.
pub(super) fn shown(url: &str) -> String {
    let hosts = url.split(',').map(|part| part.trim().rsplit_once('@').map_or(part.trim(), |(_, host)| host));
    hosts.collect::<Vec<_>>().join(",")
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions")
            .field("url", &shown(&self.url))
            .field("cluster", &self.cluster)
            .field("secret", &self.secret)
            .field("credentials", &self.credentials)
            .field("ca", &self.ca)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        assert_eq!(shown("nats://me:p@ss@host:4222, nats://me:secret@other"), "host:4222,other");
        assert_eq!(shown("nats://host"), "nats://host");
        let options = NatsOptions::new("nats://me:secret@host", NodeId::new("c").unwrap());
        assert!(!format!("{options:?}").contains("secret@"));
    }

    #[test]
    fn nodes_need_a_secret_unless_no_other_machine_can_reach_the_server() {
        let servers = |url: &str, secret: Option<&str>| {
            let secret = secret.map(|secret| ClusterSecret::new(secret).unwrap());
            NatsOptions { secret, ..NatsOptions::new(url, NodeId::new("c").unwrap()) }.check()
        };
        for own in ["nats://127.0.0.1:4222", "nats://localhost", "127.1.2.3", "tls://u:p@[::1]:4222,LOCALHOST"] {
            assert_eq!(servers(own, None), Ok(()), "{own}");
        }
        for others in
            ["nats://nats:4222", "10.0.0.1", "nats://127.0.0.1,nats://10.0.0.1", "nats://localhost.example.org"]
        {
            assert!(matches!(servers(others, None), Err(NatsError::NoSecret(_))), "{others}");
            assert_eq!(servers(others, Some("0123456789abcdef")), Ok(()), "{others}");
        }
        for none in ["", "http://localhost", "nats://", "nats://localhost,"] {
            assert!(matches!(servers(none, None), Err(NatsError::Address(_))), "{none}");
        }
    }
}
