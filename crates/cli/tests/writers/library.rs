//! What the test has to know of a library.

use std::process::Command;

/// A library that writes a log, and our program that has it do so.
pub struct Library {
    /// What it is called.
    pub name: &'static str,
    /// The preset of its log.
    pub preset: &'static str,
    /// Makes its tables if called with `prepare URL`, in which there may be events then, and appends by it if called
    /// with `write URL`, as the process of the number in `WRITER`.
    pub program: fn() -> Command,
    /// What its log needs in addition to the preset, as it is in the settings file.
    pub settings: &'static str,
    /// What `evenfold source check` asks for before its log can be folded, one after the other.
    pub needs: &'static [&'static str],
    /// The log as the library has it: position, stream and version of each event, which is the position again where a
    /// library has none.
    pub log: &'static str,
    /// Its table.
    pub table: &'static str,
    /// The column of the positions.
    pub position: &'static str,
    /// The version of a stream's first event.
    pub first_version: i64,
}

impl Library {
    /// Our program, which makes the tables.
    pub fn prepare(&self, url: &str) -> Command {
        let mut command = (self.program)();
        command.args(["prepare", url]);
        command
    }

    /// Our program, which appends.
    pub fn write(&self, url: &str, number: usize) -> Command {
        let mut command = (self.program)();
        command.args(["write", url]).env("WRITER", number.to_string());
        command
    }
}
