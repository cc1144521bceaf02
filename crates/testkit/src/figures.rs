//! Figures for Prometheus, as its own tools read them.

use std::io::Write;
use std::process::{Command, Stdio};

/// The value of a figure, which is named with its labels.
pub fn figure(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Fails unless Prometheus' own tool finds nothing wrong with these figures.
pub fn linted(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = child.expect("promtool, of the package prometheus: scripts/test installs it");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let found = [output.stdout, output.stderr].concat();
    let found = String::from_utf8_lossy(&found);
    assert!(output.status.success() && found.trim().is_empty(), "promtool: {found}\nof\n{text}");
}
