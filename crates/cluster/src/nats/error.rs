//! Why there is no connection to NATS.

use std::path::PathBuf;

/// Why there is no connection to NATS. No password is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// The address can't be read.
    #[error("{0} is not the address of a NATS server: write it like nats://user:password@host:4222")]
    Address(String),
    /// Other machines reach the server, and nodes without a secret would believe them.
    #[error(
        "the NATS server at {0} can be reached from other machines: set EVENFOLD_CLUSTER_SECRET to the same secret on every \
         node, made with `openssl rand -hex 32`"
    )]
    NoSecret(String),
    /// A file can't be read, or is no such file.
    #[error("{} can't be used as {what}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it was given as.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answers there.
    #[error("no NATS server answers at {0} ({1}): start one with nats-server -js -a 127.0.0.1, or correct the address")]
    NoServer(String, String),
    /// The user, the password, the credentials or the nkey are wrong, or missing.
    #[error(
        "the NATS server at {0} refuses this user: correct the user and the password in the address, or the file of \
         --nats-creds or --nats-nkey"
    )]
    Refused(String),
    /// There is no TLS, or not with a certificate that is trusted.
    #[error(
        "no TLS with the NATS server at {0} ({1}): give the certificate that has signed the server's with --nats-ca, and use \
         tls:// where the server has TLS, nats:// where it has not"
    )]
    Tls(String, String),
    /// The user may not do what a node must.
    #[error("the NATS server at {0} refuses a node's messages: {1}")]
    Denied(String, String),
    /// There is a server, and the records can't be kept there.
    #[error("the NATS server at {0} can't keep the records of the nodes ({1}): start it with -js, for JetStream")]
    NoJetStream(String, String),
}
