//! Processes that others have started.

use std::fs;
use std::path::PathBuf;

/// A process that may have ended.
#[derive(Debug)]
pub struct Descendant {
    pub pid: u32,
    pub command: String,
    /// The directory that it works in.
    pub dir: PathBuf,
}

/// What `/proc/<pid>/stat` has after the name: the state, and the parent.
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

impl Descendant {
    fn of(pid: u32) -> Option<Self> {
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Some(Self { pid, command, dir: fs::read_link(format!("/proc/{pid}/cwd")).ok()? })
    }

    /// Whether it runs no more, though whoever has to may not have noticed.
    pub fn has_ended(&self) -> bool {
        state(self.pid).is_none_or(|(state, _)| state == 'Z')
    }
}

/// The processes that this one has started, and those that they have started.
pub fn descendants(pid: u32) -> Vec<Descendant> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, state(pid)?.1))).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&next) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == next).map(|(pid, _)| *pid));
        at += 1;
    }
    found.into_iter().skip(1).filter_map(Descendant::of).collect()
}
