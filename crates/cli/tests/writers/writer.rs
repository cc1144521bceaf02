//! A process that appends events by a library of others until it is asked to stop.

use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};

/// Killed when dropped.
pub struct Writer {
    child: Child,
    out: File,
    err: File,
}

/// An event that a library has acknowledged: its stream, and its version there.
pub type Acknowledged = (String, i64);

impl Writer {
    pub fn start(command: &mut Command) -> Self {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    /// Fails if it has ended.
    pub fn check(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("a writer has ended, {status}: {}", text(&mut self.err));
        }
    }

    /// Asks it to end, once what it has begun is done.
    pub fn stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Whether it has ended; fails if it has not done well.
    pub fn has_ended(&mut self) -> bool {
        let Some(status) = self.child.try_wait().unwrap() else { return false };
        assert!(status.success(), "a writer has failed, {status}: {}", text(&mut self.err));
        true
    }

    /// What was acknowledged to it.
    pub fn acknowledged(&mut self) -> Vec<Acknowledged> {
        acknowledged(&text(&mut self.out))
    }
}

/// What is in the output of a program.
pub fn acknowledged(out: &str) -> Vec<Acknowledged> {
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        (event["stream"].as_str().unwrap().to_owned(), event["version"].as_i64().unwrap())
    };
    out.lines().map(event).collect()
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Fails when it has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
