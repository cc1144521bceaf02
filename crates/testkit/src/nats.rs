//! NATS servers, which end with the process that has started them, however that ends.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Runs the server, and kills it when its own input ends: the pipe is closed when the test's process ends, by whatever.
const KEEPER: &str = r#"dir=$1; shift; "$@" >"$dir/log" 2>&1 & cat >/dev/null; kill -9 $!; rm -rf "$dir""#;

/// A server of one test, to be killed and started again.
pub struct NatsServer {
    port: u16,
    keeper: Child,
    configuration: String,
}

fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's is where the PATH of an ordinary user does not look.
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    places.map(|place| place.join("nats-server")).find(|binary| binary.is_file())
}

impl NatsServer {
    pub fn start() -> Self {
        Self::configured("")
    }

    /// One with this in its configuration file.
    pub fn configured(configuration: &str) -> Self {
        let binary = binary().expect("nats-server is missing: install it (apt-get install nats-server), for this test");
        let mut why = String::new();
        for _ in 0..5 {
            // Somebody else may get it before the server does.
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            match Self::at(&binary, free, configuration) {
                Ok(server) => return server,
                Err(log) => why = log,
            }
        }
        panic!("nats-server does not start: {why}");
    }

    /// Or what it has logged.
    fn at(binary: &Path, port: u16, configuration: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = crate::scratch().join(format!("nats-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("nats.conf"), configuration).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(&dir).arg(binary).args(["-js", "-a", "127.0.0.1", "-p"]);
        command.arg(port.to_string()).arg("-sd").arg(&dir).arg("-c").arg(dir.join("nats.conf"));
        let keeper = command.stdin(Stdio::piped()).spawn().unwrap();
        let server = Self { port, keeper, configuration: configuration.to_owned() };
        if server.answers() { Ok(server) } else { Err(std::fs::read_to_string(dir.join("log")).unwrap_or_default()) }
    }

    fn answers(&self) -> bool {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            let mut first = [0; 4];
            let greeting = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            if greeting.and_then(|mut stream| stream.read_exact(&mut first)).is_ok() {
                return &first == b"INFO";
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// The host and the port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it. Its port is free when this returns.
    pub fn kill(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }

    /// Kills it, and starts another one in its place, which knows nothing of what this one knew.
    pub fn restart(&mut self) {
        self.restart_configured(&self.configuration.clone());
    }

    /// The same, with this in its configuration file.
    pub fn restart_configured(&mut self, configuration: &str) {
        self.kill();
        *self = Self::at(&binary().unwrap(), self.port, configuration).expect("its port is free");
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server that the tests of this process share: one of their own, or that of `NATS_URL` where none is installed.
/// Each test has a cluster name of its own.
pub fn nats_url() -> &'static str {
    static SHARED: OnceLock<Option<NatsServer>> = OnceLock::new();
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match SHARED.get_or_init(|| binary().map(|_| NatsServer::start())) {
        Some(server) => server.url(),
        None => std::env::var("NATS_URL")
            .expect("the tests need NATS: install nats-server (apt-get install nats-server), or set NATS_URL"),
    })
}
