//! Listening, and how many connections may be open.

use anyhow::anyhow;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// File descriptors of a process besides those of its connections: the database's, those of NATS, and a few for probes.
const OTHER_FILES: u64 = 1024;

/// How many connections may be open, with as many file descriptors as the system lets this process have. Where these
/// are fewer than it needs, a quarter is left for its database and the other nodes: what clients open is not to cut it
/// off from them.
pub(super) fn connections(wanted: usize) -> usize {
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

/// Listens on an address, whose port and whose host these flags have named.
pub(super) async fn bind(address: SocketAddr, (port, host): (&str, &str)) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!("{address} is in use: stop who has it, or choose another port ({port})"),
        ErrorKind::PermissionDenied => anyhow!("{address} is for the system: choose a port from 1024 up ({port})"),
        ErrorKind::AddrNotAvailable => anyhow!("{} is no address of this machine: correct {host}", address.ip()),
        _ => anyhow!("can't listen on {address}: {error}"),
    })
}
