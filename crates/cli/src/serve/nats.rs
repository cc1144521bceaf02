//! How the nodes get into NATS, and what they share.

use crate::config::UsageError;
use clap::Args;
use evenfold_cluster::nats::{Credentials, NatsOptions};
use evenfold_cluster::{ClusterSecret, NodeId};
use std::path::PathBuf;

/// Read by itself: as a flag's, whatever shows flags would show it.
const SECRET: &str = "EVENFOLD_CLUSTER_SECRET";

#[derive(Debug, Args)]
pub(super) struct NatsArgs {
    /// A file with the secret that all nodes of the cluster share, at least 16 bytes, in place of the variable that has
    /// it; needed unless NATS is on this machine alone [env: EVENFOLD_CLUSTER_SECRET]
    #[arg(long, value_name = "FILE")]
    cluster_secret_file: Option<PathBuf>,
    /// A file with the credentials of the NATS user, as nsc writes them: a JWT and a seed
    #[arg(long, env = "NATS_CREDS", value_name = "FILE", conflicts_with = "nats_nkey")]
    nats_creds: Option<PathBuf>,
    /// A file with the seed of the NATS user's nkey
    #[arg(long, env = "NATS_NKEY", value_name = "FILE")]
    nats_nkey: Option<PathBuf>,
    /// A file with the certificates by which that of the NATS server is known; nothing is sent without TLS then
    /// [default: those of the system]
    #[arg(long, env = "NATS_CA", value_name = "FILE")]
    nats_ca: Option<PathBuf>,
}

impl NatsArgs {
    /// How a server of NATS is to be entered that is not the demonstration's own: the first setting that says so, and
    /// its variable.
    pub(super) fn entry(&self) -> Option<(&'static str, &'static str)> {
        let settings = [
            (&self.nats_creds, ("--nats-creds", "NATS_CREDS")),
            (&self.nats_nkey, ("--nats-nkey", "NATS_NKEY")),
            (&self.nats_ca, ("--nats-ca", "NATS_CA")),
        ];
        settings.into_iter().find_map(|(file, names)| file.as_ref().map(|_| names))
    }

    /// The first setting that only a node of a cluster has a use for.
    pub(super) fn given(&self) -> Option<&'static str> {
        let secret = self.cluster_secret_file.as_ref().map(|_| "--cluster-secret-file");
        secret.or_else(|| self.entry().map(|(flag, _)| flag))
    }

    /// The connection of a node, if it can be one.
    pub(super) fn options(&self, url: &str, cluster: NodeId) -> Result<NatsOptions, UsageError> {
        let creds = self.nats_creds.clone().map(Credentials::Creds);
        let credentials = creds.or_else(|| self.nats_nkey.clone().map(Credentials::Nkey));
        let secret = self.secret(std::env::var(SECRET).ok().filter(|secret| !secret.is_empty()))?;
        let options = NatsOptions::new(url, cluster).secret(secret).credentials(credentials).ca(self.nats_ca.clone());
        options.check().map_err(|error| UsageError(error.to_string()))?;
        Ok(options)
    }

    /// That of the file, or that of the variable.
    fn secret(&self, variable: Option<String>) -> Result<Option<ClusterSecret>, UsageError> {
        let (text, place) = match (&self.cluster_secret_file, variable) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(UsageError(format!("give --cluster-secret-file or {SECRET}, and not both")));
            }
            (None, Some(text)) => (text, SECRET.to_owned()),
            (Some(path), None) => {
                let place = format!("--cluster-secret-file {}", path.display());
                let text = std::fs::read_to_string(path).map_err(|error| UsageError(format!("{place}: {error}")))?;
                (text, place)
            }
        };
        ClusterSecret::new(&text).map(Some).map_err(|error| UsageError(format!("{place}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(cluster_secret_file: Option<PathBuf>) -> NatsArgs {
        NatsArgs { cluster_secret_file, nats_creds: None, nats_nkey: None, nats_ca: None }
    }

    #[test]
    fn the_secret_is_that_of_the_file_or_of_the_variable_and_a_bad_one_says_what_to_do() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let of_file = args(Some(file.path().to_owned()));
        let secret = ClusterSecret::new("0123456789abcdef").unwrap();
        assert_eq!(of_file.secret(None).unwrap(), Some(secret.clone()));
        assert_eq!(args(None).secret(Some("0123456789abcdef".to_owned())).unwrap(), Some(secret));
        assert_eq!(args(None).secret(None).unwrap(), None);
        let sentence =
            |args: &NatsArgs, variable: Option<&str>| args.secret(variable.map(str::to_owned)).unwrap_err().to_string();
        assert!(sentence(&of_file, Some("0123456789abcdef")).contains("not both"));
        let short = sentence(&args(None), Some("topsecret"));
        assert!(short.starts_with(SECRET) && short.contains("openssl rand") && !short.contains("topsecret"), "{short}");
        let missing = sentence(&args(Some("/nowhere/at-all".into())), None);
        assert!(missing.contains("--cluster-secret-file /nowhere/at-all"), "{missing}");
    }
}
