//! The worker processes, and what is done to them.

use evenfold_testkit::Evenfold;
use evenfold_testkit::wait_until;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// What they fold in addition to the counters: rows that are added to, and a row per event.
const IN_SQL: [&str; 5] = [
    "--projections",
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/projections"),
    "--projection=counters",
    "--projection=totals",
    "--projection=timeline",
];

/// More are not kept: the oldest of them are killed.
const MOST: usize = 14;

/// Those that are stopped wake up at their time, and all are killed when this is dropped.
pub struct Crew {
    url: String,
    /// What they are started with in addition.
    more: Vec<String>,
    pub total: u32,
    members: Vec<Member>,
    pub counts: Counts,
}

struct Member {
    key: u32,
    total: u32,
    process: Evenfold,
    wakes: Option<Instant>,
}

/// How often what happened.
#[derive(Debug, Default)]
pub struct Counts {
    pub started: u64,
    pub kills: u64,
    pub terminations: u64,
    pub stops: u64,
    pub duplicates: u64,
    pub changes: u64,
    pub superseded: u64,
    /// Batches of which nothing was kept, because somebody else was first.
    pub outrun: u64,
    pub ended_otherwise: u64,
}

impl Crew {
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), more: Vec::new(), total: 1, members: Vec::new(), counts: Counts::default() }
    }

    /// The same, which fold projections in SQL as well.
    pub fn in_sql(self) -> Self {
        self.given(&IN_SQL)
    }

    /// The same, started with these arguments in addition.
    pub fn given(self, more: &[&str]) -> Self {
        Self { more: more.iter().map(|&argument| argument.to_owned()).collect(), ..self }
    }

    fn spawn(&mut self, key: u32, total: u32, more: &[&str]) {
        self.make_room();
        let (key_arg, total_arg) = (format!("--partition-key={key}"), format!("--total-partitions={total}"));
        let mut args = vec!["worker", &key_arg, &total_arg, "--database-url", &self.url, "--log=warn"];
        args.extend(["--batch-size=50", "--max-actors=500", "--takeover-after-ms=300", "--heartbeat-interval-ms=500"]);
        args.extend(self.more.iter().map(String::as_str));
        args.extend(more);
        let process = Evenfold::spawn(&args);
        self.members.push(Member { key, total, process, wakes: None });
        self.counts.started += 1;
    }

    /// A worker of the present total.
    pub fn start(&mut self, key: u32) {
        self.spawn(key, self.total, &["--takeover"]);
    }

    fn make_room(&mut self) {
        while self.members.len() >= MOST {
            let old = self.members.iter().position(|member| member.total != self.total).unwrap_or(0);
            self.kill_member(old);
        }
    }

    fn kill_member(&mut self, index: usize) -> Member {
        let mut member = self.members.remove(index);
        member.process.signal(Signal::SIGKILL);
        member.process.wait();
        self.counts.kills += 1;
        self.note(&member);
        member
    }

    fn picked(&mut self, pick: usize) -> Option<usize> {
        self.tend();
        (!self.members.is_empty()).then(|| pick % self.members.len())
    }

    /// In its place comes one of the same total, without the right to take over: it may have to wait.
    pub fn kill(&mut self, pick: usize) {
        if let Some(index) = self.picked(pick) {
            let Member { key, total, .. } = self.kill_member(index);
            self.spawn(key, total, &[]);
        }
    }

    pub fn terminate(&mut self, pick: usize) {
        let Some(index) = self.picked(pick) else { return };
        self.members[index].process.signal(Signal::SIGTERM);
        self.counts.terminations += 1;
        let (key, total) = (self.members[index].key, self.members[index].total);
        self.spawn(key, total, &[]);
    }

    pub fn freeze(&mut self, pick: usize, time: Duration) {
        let Some(index) = self.picked(pick) else { return };
        let member = &mut self.members[index];
        member.process.signal(Signal::SIGSTOP);
        member.wakes = Some(Instant::now() + time);
        self.counts.stops += 1;
        let (key, total) = (member.key, member.total);
        self.spawn(key, total, &[]);
    }

    pub fn duplicate(&mut self, pick: usize) {
        let Some(index) = self.picked(pick) else { return };
        let (key, total) = (self.members[index].key, self.members[index].total);
        self.counts.duplicates += 1;
        self.spawn(key, total, &[]);
    }

    pub fn change(&mut self, total: u32) {
        self.total = total;
        self.counts.changes += 1;
    }

    /// Wakes those whose time has come, and sees who has ended, and why.
    pub fn tend(&mut self) {
        for member in &mut self.members {
            if member.wakes.is_some_and(|wakes| wakes <= Instant::now()) {
                member.wakes = None;
                if member.process.ended().is_none() {
                    member.process.signal(Signal::SIGCONT);
                }
            }
        }
        let mut ended = Vec::new();
        let mut index = 0;
        while index < self.members.len() {
            match self.members[index].process.ended() {
                Some(code) => ended.push((self.members.remove(index), code)),
                None => index += 1,
            }
        }
        for (member, code) in ended {
            self.note(&member);
            // At its start there was no server.
            let superseded = member.process.log().contains("has gone on with");
            self.counts.superseded += u64::from(superseded);
            self.counts.ended_otherwise += u64::from(code != 0 && !superseded);
        }
        self.mend();
    }

    fn note(&mut self, member: &Member) {
        let log = member.process.log();
        assert!(!log.contains("panicked"), "{}/{}: {log}", member.key, member.total);
        self.counts.outrun += log.matches("nothing of this batch was kept").count() as u64;
    }

    /// Starts those that are missing, as whatever runs containers does.
    fn mend(&mut self) {
        let missing: Vec<u32> = (0..self.total).filter(|key| !self.has(*key)).collect();
        for key in missing {
            self.spawn(key, self.total, &[]);
        }
    }

    fn has(&self, key: u32) -> bool {
        self.members.iter().any(|member| (member.key, member.total) == (key, self.total))
    }

    /// Kills all of them, also those that are stopped.
    pub fn kill_all(&mut self) {
        self.members.clear();
    }

    /// Runs one set of workers until nothing is left to apply.
    pub async fn finish(&mut self, limit: Duration) {
        self.kill_all();
        for key in 0..self.total {
            self.spawn(key, self.total, &["--takeover", "--until-caught-up"]);
        }
        for mut member in std::mem::take(&mut self.members) {
            wait_until("the last workers to catch up", limit, async || member.process.ended().is_some()).await;
            assert_eq!(member.process.wait(), 0, "{}/{}: {}", member.key, member.total, member.process.log());
        }
    }
}
