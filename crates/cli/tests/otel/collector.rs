//! A collector of OpenTelemetry, which prints what it receives.

use evenfold_testkit::scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// A running collector, killed when dropped.
pub struct Collector {
    child: Child,
    printed: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    pub endpoint: String,
}

/// A span as it was received.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    text: String,
}

impl Span {
    /// An attribute, as it is printed: its type, and its value in parentheses.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.trim().strip_prefix("-> ")?.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The trace and the span of each link.
    pub fn links(&self) -> Vec<(String, String)> {
        let links = self.text.split("SpanLink #").skip(1);
        let field = |link: &str, name: &str| {
            let line = link.lines().find_map(|line| line.trim().strip_prefix("-> ")?.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {link}")).to_owned()
        };
        links.map(|link| (field(link, "Trace ID: "), field(link, "ID: "))).collect()
    }
}

impl Collector {
    pub fn start() -> Self {
        let [http, grpc] = [free_port(), free_port()];
        let mut command = Command::new(program());
        command.args(["start", "--exporter=blackhole", "--debug-log=traces", "--debug-log=metrics"]);
        command.args(["--debug-log-verbosity=detailed", "--batch-timeout=50ms"]);
        command.args([format!("--otlp-http-endpoint={http}"), format!("--otlp-grpc-endpoint={grpc}")]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (out, printed) = (child.stdout.take().unwrap(), Arc::<Mutex<String>>::default());
        let collected = Arc::clone(&printed);
        // Ends with the process that it reads from.
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let mut printed = collected.lock().unwrap();
                printed.push_str(&line);
                printed.push('\n');
            }
        });
        Self { child, printed, reader: Some(reader), endpoint: format!("http://{http}") }
    }

    /// Whether it takes connections by now.
    pub fn listens(&self) -> bool {
        std::net::TcpStream::connect(self.endpoint.trim_start_matches("http://")).is_ok()
    }

    /// Ends it, which prints all that it has received.
    pub fn end(&mut self) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
        self.reader.take().expect("it is ended once").join().unwrap();
    }

    /// What it has printed so far: the last message may be there in part, unless it has ended.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        let printed = self.printed();
        // What comes after the spans of a message begins with another word.
        let ends = ["\nSpan #", "\nResourceSpans #", "\nResourceMetrics #", "\nScopeSpans #"];
        let mut spans = Vec::new();
        for begun in printed.split("\nSpan #").skip(1) {
            let end = ends.iter().filter_map(|end| begun.find(end)).min().unwrap_or(begun.len());
            let text = &begun[..end];
            let field = |name: &str| {
                let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix(':'));
                value.map(|value| value.trim().to_owned()).unwrap_or_default()
            };
            let (name, trace, id, parent) = (field("Name"), field("Trace ID"), field("ID"), field("Parent ID"));
            spans.push(Span { name, trace, id, parent, text: text.to_owned() });
        }
        spans
    }

    pub fn spans_of(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of a port that nobody else takes meanwhile, most likely.
pub fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Where `scripts/lib/collector` has installed it.
fn program() -> PathBuf {
    let directory = scratch().parent().expect("it is in the target directory").join("collector");
    let installed = std::fs::read_to_string(directory.join("installed"));
    assert!(
        installed.is_ok_and(|installed| installed == REQUIREMENTS),
        "the collector is not in {}, or is another one: `scripts/test --test otel` installs it",
        directory.display()
    );
    directory.join("rotel-agent")
}
