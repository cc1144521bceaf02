//! A real browser, which a program in JavaScript drives.

use evenfold_testkit::scratch;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/driver.mjs");

const INSTALL: &str = "`scripts/test --test browser` installs what these tests need, and runs them";

/// A browser with one window; it ends when it is dropped.
pub struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Where `scripts/lib/browser` has installed the packages.
fn packages() -> PathBuf {
    let directory = scratch().parent().expect("it is in the target directory").join("browser");
    let installed = std::fs::read_to_string(directory.join("installed"));
    assert!(
        installed.is_ok_and(|installed| installed == include_str!("package-lock.json")),
        "the browser's packages are not in {}, or are others: {INSTALL}",
        directory.display()
    );
    directory
}

fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = ["chromium", "chromium-browser", "google-chrome"];
    let mut all = std::env::split_paths(&path).flat_map(|directory| named.map(|name| directory.join(name)));
    all.find(|program| Path::is_file(program)).unwrap_or_else(|| panic!("there is no chromium: {INSTALL}"))
}

impl Browser {
    /// Opens the page of a monitor in a window of this width.
    pub fn open(address: SocketAddr, width: u32, scheme: &str) -> Self {
        let mut command = Command::new("node");
        command.arg(DRIVER).arg(chromium()).current_dir(packages());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("node does not run: {error}: {INSTALL}"));
        let (commands, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, commands, answers };
        let url = format!("http://{address}/");
        browser.ask("open", json!({ "url": url, "width": width, "scheme": scheme }));
        browser
    }

    fn ask(&mut self, command: &str, mut given: Value) -> Value {
        tokio::task::block_in_place(|| {
            given["command"] = command.into();
            let commands = self.commands.as_mut().unwrap();
            writeln!(commands, "{given}").unwrap();
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(answer["error"].is_null(), "{given}: {}", answer["error"]);
            answer["value"].take()
        })
    }

    /// The texts of all elements that there are.
    pub fn texts(&mut self, selector: &str) -> Vec<String> {
        let texts = self.ask("texts", json!({ "selector": selector }));
        texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// The text of the only element that there is.
    pub fn text(&mut self, selector: &str) -> String {
        let mut texts = self.texts(selector);
        assert_eq!(texts.len(), 1, "{selector}: {texts:?}");
        texts.remove(0)
    }

    /// Waits until an element is shown whose text has this part.
    pub fn wait(&mut self, selector: &str, part: &str) {
        self.ask("wait", json!({ "selector": selector, "part": part }));
    }

    /// Waits until no element has this part.
    pub fn wait_gone(&mut self, selector: &str, part: &str) {
        self.ask("wait_gone", json!({ "selector": selector, "part": part }));
    }

    pub fn click(&mut self, selector: &str) {
        self.ask("click", json!({ "selector": selector }));
    }

    pub fn fill(&mut self, selector: &str, value: &str) {
        self.ask("fill", json!({ "selector": selector, "value": value }));
    }

    pub fn press(&mut self, key: &str) {
        self.ask("press", json!({ "key": key }));
    }

    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.ask("evaluate", json!({ "expression": expression }))
    }

    pub fn resize(&mut self, width: u32) {
        self.ask("resize", json!({ "width": width }));
    }

    /// Fails where somebody is shut out, or has to scroll to the side, in both schemes.
    pub fn is_for_everybody(&mut self, width: u32, name: &str) {
        self.resize(width);
        for scheme in ["light", "dark"] {
            self.ask("scheme", json!({ "scheme": scheme }));
            // To be looked at by whoever changes the page.
            let path = scratch().join(format!("monitor-{name}-{width}-{scheme}.png"));
            self.ask("screenshot", json!({ "path": path }));
            let found = self.ask("axe", json!({}));
            assert_eq!(found, json!([]), "{name}, {width} pixels, {scheme}");
        }
        let wide = self.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert!(wide.as_i64().unwrap() <= 0, "{name}: {width} pixels are {wide} too few");
    }

    /// Fails if the page's script has failed, or the browser has refused to load something.
    pub fn has_no_complaints(&mut self) {
        assert_eq!(self.ask("complaints", json!({})), json!([]));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends itself, and what it has started, when there are no more commands.
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}
