//! A wire between a client and a server that the test can spoil, or lay to another server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Whole,
    /// Each piece takes that long, in both directions.
    Slow(Duration),
    /// Nothing gets through, and nobody is notified: connections stay open, and what was sent comes when it is whole
    /// again.
    Silent,
    /// What the node sends gets through, and nothing comes back.
    Deaf,
    /// Connections break, and there are no new ones.
    Cut,
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Forwards what comes to a port of its own, until it is dropped.
pub struct Proxy {
    pub port: u16,
    wire: watch::Sender<Wire>,
    /// And how often it was another one at whose coming connections broke.
    server: watch::Sender<(Server, u32)>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (wire, state) = watch::channel(Wire::Whole);
        let (server, place) = watch::channel((server, 0));
        let accepting = tokio::spawn(accept(listener, place, state));
        Self { port, wire, server, accepting }
    }

    /// Leads to another server from here on, as an address does that is given to it: connections break.
    pub fn lead_to(&self, server: Server) {
        self.server.send_modify(|now| *now = (server, now.1 + 1));
    }

    /// New connections lead to another server from here on; those that there are stay.
    pub fn lead_new_to(&self, server: Server) {
        self.server.send_modify(|now| now.0 = server);
    }

    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Wire::Cut);
    }
}

/// A wire to the server of this URL, and the URL of the database through it.
pub async fn wire_to(url: &str) -> (Proxy, String) {
    let (socket, base) = socket_of(url);
    let proxy = Proxy::start(socket).await;
    let (user, name) = base.rsplit_once('@').map(|(user, rest)| (user, rest.rsplit('/').next().unwrap())).unwrap();
    let url = format!("{user}@127.0.0.1:{}/{name}?sslmode=disable", proxy.port);
    (proxy, url)
}

/// Where a server of our own listens, and its URL without that.
pub fn socket_of(url: &str) -> (Server, &str) {
    let (base, directory) = url.split_once("?host=").expect("a server of our own, with a socket");
    (Server::Unix(PathBuf::from(directory).join(".s.PGSQL.5432")), base)
}

async fn accept(listener: TcpListener, server: watch::Receiver<(Server, u32)>, wire: watch::Receiver<Wire>) {
    while let Ok((client, _)) = listener.accept().await {
        // Ends with its connection, and when the wire is cut.
        tokio::spawn(connect(client, server.clone(), wire.clone()));
    }
}

async fn connect(client: TcpStream, mut server: watch::Receiver<(Server, u32)>, wire: watch::Receiver<Wire>) {
    if *wire.borrow() == Wire::Cut {
        return;
    }
    let (place, laid) = server.borrow().clone();
    tokio::select! {
        () = forward(client, &place, wire) => {}
        _ = server.wait_for(|(_, now)| *now != laid) => {}
    }
}

async fn forward(client: TcpStream, server: &Server, wire: watch::Receiver<Wire>) {
    let (from, to) = client.into_split();
    match server {
        Server::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            let (answers, asks) = server.into_split();
            both((from, asks), (answers, to), wire).await;
        }
        Server::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            let (answers, asks) = server.into_split();
            both((from, asks), (answers, to), wire).await;
        }
    }
}

async fn both<A: AsyncRead + Unpin, B: AsyncWrite + Unpin, C: AsyncRead + Unpin, D: AsyncWrite + Unpin>(
    there: (A, B),
    back: (C, D),
    wire: watch::Receiver<Wire>,
) {
    let mut cut = wire.clone();
    tokio::select! {
        () = pump(there, wire.clone(), false) => {}
        () = pump(back, wire, true) => {}
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

/// One direction, until one of both ends closes.
async fn pump(
    (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut wire: watch::Receiver<Wire>,
    back: bool,
) {
    let mut bytes = vec![0; 65_536];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let passes = |wire: &Wire| match wire {
            Wire::Silent => false,
            Wire::Deaf => !back,
            Wire::Whole | Wire::Slow(_) | Wire::Cut => true,
        };
        let Ok(now) = wire.wait_for(passes).await.map(|wire| *wire) else { return };
        if let Wire::Slow(time) = now {
            tokio::time::sleep(time).await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
